// One subject: its status, who said what, its conflicts, its history. It is live:
// the view is asked for with its tag, and the node holds the answer until it is
// another.
import { Table, h, put, say, section } from "./dom.js";
import { History } from "./history.js";
import { idText, who } from "./names.js";
import { ask, pathOf, pause, whyNot, wrongSubject } from "./net.js";
import { age, clock, count, exact, json, leaves, plain, short } from "./text.js";

const hold = 25; // seconds that the node may hold an answer
const leastPause = 250; // milliseconds between two answers
const retry = 2000; // milliseconds after one that failed
const mostFields = 300;

export class SubjectPage {
  #subject;
  #tag = null; // of the view that is shown
  #absent = false;
  #life = new AbortController();
  #history;
  #facts = h("p", { class: "facts-line" });
  #message = h("p", { class: "empty", role: "status" }, "Loading…");
  #parts = h("div", { hidden: true });
  #fields = h("div", { class: "scroll", role: "region", "aria-label": "Who said what", tabindex: "0" });
  #conflicts = h("div");
  #conflictsPart = section("subject-conflicts", "Conflicts", null, this.#conflicts);

  constructor(subject) {
    this.#subject = subject;
    this.title = plain(short(subject, 60));
    this.#history = new History(subject);
    put(this.#parts, section("fields", "Who said what", null, this.#fields), this.#conflictsPart, this.#history.node);
    this.node = h("div", {}, h("h1", { class: "subject" }, plain(subject)), this.#facts, this.#message, this.#parts);
  }

  open() {
    const wrong = wrongSubject(this.#subject);
    if (wrong) say(this.#message, wrong);
    else this.#follow();
  }

  close() {
    this.#life.abort();
    this.#history.close();
  }

  async #follow() {
    const signal = this.#life.signal;
    while (!signal.aborted) {
      if (document.hidden) {
        await new Promise((seen) => document.addEventListener("visibilitychange", seen, { once: true }));
        continue;
      }
      try {
        await this.#look(signal);
        await pause(leastPause, signal);
      } catch (err) {
        if (signal.aborted) return;
        this.#message.hidden = false;
        say(this.#message, `The subject could not be loaded: ${plain(whyNot(err))}. Trying again.`);
        await pause(retry, signal);
      }
    }
  }

  // look asks once: at first for what there is, then for what is new.
  async #look(signal) {
    const waits = this.#tag !== null || this.#absent;
    const query = new URLSearchParams({ expect: true });
    if (waits) query.set("wait", hold + "s");
    const answer = await ask(`v1/subjects/${pathOf(this.#subject)}?${query}`, {
      signal, wait: waits ? hold * 1000 : 0, fine: [304, 404], headers: this.#tag ? { "If-None-Match": this.#tag } : {},
    });
    if (answer.status === 304) return;
    if (answer.status === 404) return this.#none();
    this.#tag = answer.headers.get("ETag");
    this.#absent = false;
    this.#show(exact(await answer.text()), Number(answer.headers.get("Tidings-Age-Ms")));
    this.#history.load();
  }

  #none() {
    [this.#absent, this.#tag] = [true, null];
    this.#parts.hidden = true;
    this.#message.hidden = false;
    put(this.#facts);
    put(this.#message, "Nothing was said of this subject. It appears here as soon as something is. ",
      h("a", { href: "#/subjects?" + new URLSearchParams({ prefix: this.#subject + "/" }) }, "What is below it?"));
  }

  #show(view, heard) {
    this.#message.hidden = true;
    this.#parts.hidden = false;
    const ended = Object.keys(view.status).length === 0;
    put(this.#facts,
      fact("Updates", count(view.updates)), fact("Last", h("time", { datetime: view.time, title: view.time }, clock(view.time))),
      fact("Heads", view.heads.slice(0, 8).map(idText)), fact("Heard from all", heard < 1000 ? "just now" : age(heard) + " ago"),
      view.missing?.length ? fact("Waiting for", view.missing.map((a) => [who(a), view.late.includes(a) ? h("span", { class: "pill bad" }, "late") : null])) : null,
      ended ? h("span", { class: "pill" }, "ended: its status is empty") : null,
      view.conflicts.length ? h("span", { class: "pill bad" }, view.conflicts.length === 1 ? "1 conflict" : `${count(view.conflicts.length)} conflicts`) : null);
    this.#showFields(view);
    this.#conflictsPart.hidden = view.conflicts.length === 0;
    put(this.#conflicts, view.conflicts.slice(0, 50).map(conflict));
  }

  // showFields is a table with a row for each leaf of anything said, and a column
  // for the status and for each authority.
  #showFields(view) {
    const names = Object.keys(view.authorities).sort();
    const status = leaves(view.status);
    const said = names.map((n) => leaves(view.authorities[n].status));
    const paths = [...new Set([...status.keys(), ...said.flatMap((s) => [...s.keys()])])].sort();
    const open = view.conflicts.map((c) => c.path);
    const disputed = (p) => open.some((c) => p === c || p.startsWith(c + "/"));
    const cell = (value, shown) => h("td", { class: value === undefined ? "dim" : value === shown ? "" : "other" }, value === undefined ? "–" : h("code", {}, short(value)));
    put(this.#fields, h("table", { class: "fields", "aria-label": "Who said what" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Field"), h("th", { scope: "col" }, "Status"),
        names.map((n) => h("th", { scope: "col", title: `its newest: ${view.authorities[n].update}` }, who(n))))),
      h("tbody", {}, paths.slice(0, mostFields).map((p) => h("tr", { class: disputed(p) ? "disputed" : null },
        h("th", { scope: "row" }, plain(p.slice(1)) || "the whole", disputed(p) ? h("span", { class: "pill bad" }, "conflict") : null),
        h("td", { class: "shown" }, status.has(p) ? h("code", {}, short(status.get(p))) : "–"),
        said.map((s) => cell(s.get(p), status.get(p))))))),
    paths.length === 0 ? h("p", { class: "empty" }, "Nothing is said any more: all of it was removed.") : null,
    paths.length > mostFields ? h("p", { class: "empty" }, `${count(paths.length - mostFields)} more fields are not shown.`) : null);
  }
}

const fact = (name, ...values) => h("span", {}, h("b", {}, name), ...values.flat(2));

// conflict is a path with the writes that compete for it. They had not seen each
// other; the first is what the status shows.
function conflict(c) {
  const table = new Table({
    label: "Writes to " + (plain(c.path) || "the whole"), key: (w) => w.update, empty: "",
    columns: [
      { title: "Authority", text: (w) => w.authority, node: (w) => who(w.authority) },
      { title: "Wrote", class: "long", text: (w) => (w.deleted ? "removed it" : short(json(w.value))), node: (w) => (w.deleted ? h("em", {}, "removed it") : h("code", {}, short(json(w.value)))) },
      { title: "Update", text: (w) => w.update, node: (w) => idText(w.update) },
      { title: "When", text: (w) => clock(w.time) },
      { title: "", text: (w) => (w === c.writes[0] ? "shown" : ""), node: (w) => (w === c.writes[0] ? h("span", { class: "pill" }, "shown") : "") },
    ],
  });
  table.show(c.writes);
  return h("div", { class: "conflict" }, h("h3", {}, plain(c.path.slice(1)) || "the whole"), table.node);
}
