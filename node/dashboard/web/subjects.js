// The list of subjects, by prefix and authority.
import { Table, h, put, say, section } from "./dom.js";
import { who } from "./names.js";
import { get, linkTo, whyNot } from "./net.js";
import { clock, count, json, plain, short } from "./text.js";

const pageSize = 100;
const most = 500; // rows
const pagesOfASearch = 20; // that are looked through for conflicts at a time
const leastPause = 2000; // milliseconds between two loads by themselves

export class SubjectsPage {
  title = "Subjects";
  #query;
  #found = [];
  #next = null; // where to go on
  #looked = 0;
  #more = false; // somebody asked for more than the first page
  #root = null; // the contents that are shown
  #loaded = 0;
  #life = new AbortController();
  #prefix = h("input", { type: "search", placeholder: "Prefix, such as order/", "aria-label": "Only subjects with this prefix", autocomplete: "off", spellcheck: "false", maxlength: "512", onchange: () => this.#go() });
  #authority = h("select", { "aria-label": "Only subjects that this authority wrote", onchange: () => this.#go() });
  #conflicts = h("input", { type: "checkbox", onchange: () => this.#go() });
  #ended = h("input", { type: "checkbox", onchange: () => this.#go() });
  #failure = h("p", { class: "notice bad", role: "alert", hidden: true });
  #button = h("button", { type: "button", hidden: true, onclick: () => this.#load(true) }, "More");
  #sum = h("span", { class: "dim" });
  #table = new Table({
    label: "Subjects", key: (v) => v.subject, empty: "Loading…", most,
    columns: [
      { title: "Subject", class: "subject", text: (v) => v.subject, node: (v) => h("a", { href: linkTo(v.subject) }, plain(v.subject)) },
      { title: "Status", class: "status", text: (v) => short(json(v.status), 200), node: (v) => h("code", {}, short(json(v.status), 200)) },
      { title: "Conflicts", number: true, text: (v) => (v.conflicts.length ? count(v.conflicts.length) : "–"), mood: (v) => v.conflicts.length > 0 && "bad" },
      { title: "Authorities", wide: true, text: (v) => Object.keys(v.authorities).join("\n"), node: (v) => authorities(Object.keys(v.authorities)) },
      { title: "Updates", number: true, wide: true, text: (v) => count(v.updates) },
      { title: "Last", number: true, wide: true, text: (v) => clock(v.time) },
    ],
  });
  node = h("div", {}, h("h1", { class: "unseen" }, "Subjects"),
    section("subjects", "Subjects", this.#sum,
      h("div", { class: "filters" }, this.#prefix, this.#authority,
        h("label", {}, this.#conflicts, "in conflict"), h("label", {}, this.#ended, "ended too")),
      this.#failure, this.#table.node, this.#button));

  constructor(query) {
    this.#query = query;
    this.#prefix.value = query.get("prefix") ?? "";
    this.#conflicts.checked = query.has("conflicts");
    this.#ended.checked = query.has("empty");
    this.#choices([]);
  }

  open() { this.#load(false); }

  close() { this.#life.abort(); }

  // mesh loads the list anew once the node's contents are others, unless somebody
  // has gone further than its first page.
  mesh(mesh) {
    this.#choices([...new Set(mesh.chains.map((c) => c.authority))].sort());
    if (mesh.root === this.#root || this.#more || Date.now() - this.#loaded < leastPause) return;
    this.#root = mesh.root;
    this.#load(false);
  }

  #choices(names) {
    const chosen = this.#query.get("authority") ?? "";
    if (chosen && !names.includes(chosen)) names.push(chosen);
    const shown = [...this.#authority.options].slice(1).map((o) => o.value);
    if (this.#authority.options.length && names.join("\n") === shown.join("\n")) return;
    put(this.#authority, h("option", { value: "" }, "All authorities"), names.map((n) => h("option", { value: n, selected: n === chosen }, plain(n))));
  }

  // go makes the filter the page's address.
  #go() {
    const query = new URLSearchParams();
    if (this.#prefix.value.trim()) query.set("prefix", this.#prefix.value.trim());
    if (this.#authority.value) query.set("authority", this.#authority.value);
    if (this.#conflicts.checked) query.set("conflicts", "true");
    if (this.#ended.checked) query.set("empty", "true");
    location.hash = "#/subjects" + (query.size ? "?" + query : "");
  }

  async #load(more) {
    this.#more ||= more;
    this.#loaded = Date.now();
    this.#button.disabled = true;
    const [found, searching] = [more ? this.#found : [], this.#conflicts.checked];
    let next = more ? this.#next : "";
    let looked = more ? this.#looked : 0;
    try {
      const enough = found.length + pageSize;
      for (let n = 0; n < (searching ? pagesOfASearch : 1) && found.length < enough; n++) {
        const query = new URLSearchParams({ limit: pageSize, page: next, prefix: this.#query.get("prefix") ?? "" });
        for (const name of ["authority", "empty"]) if (this.#query.get(name)) query.set(name, this.#query.get(name));
        const page = await get("v1/subjects?" + query, { signal: this.#life.signal });
        looked += page.subjects.length;
        found.push(...page.subjects.filter((v) => !searching || v.conflicts.length > 0));
        next = page.next_page;
        if (!next) break;
      }
      [this.#found, this.#next, this.#looked] = [found.slice(0, most), next, looked];
      this.#failure.hidden = true;
    } catch (err) {
      if (this.#life.signal.aborted) return;
      this.#failure.hidden = false;
      say(this.#failure, `The list could not be loaded: ${plain(whyNot(err))}.`);
    }
    this.#show();
  }

  #show() {
    const filtered = this.#query.size > 0;
    this.#table.show(this.#found, this.#conflicts.checked ? `None of the ${count(this.#looked)} subjects looked at is in conflict.`
      : filtered ? "No subject matches. A prefix goes by whole segments: order is order and all below it."
        : "No subject yet. Publish something, say: tidings publish order/42 '{\"state\":\"placed\"}'");
    say(this.#sum, this.#conflicts.checked ? `${count(this.#found.length)} in conflict of ${count(this.#looked)} looked at` : `${count(this.#found.length)} shown`);
    this.#button.hidden = !this.#next || this.#found.length >= most;
    this.#button.disabled = false;
    say(this.#button, this.#conflicts.checked ? "Look further" : "More");
  }
}

// authorities are the first three of some, and how many more there are.
function authorities(names) {
  const more = names.length - 3;
  return h("span", { class: "row", title: names.map(plain).join(", ") }, names.slice(0, 3).map(who), more > 0 ? h("span", { class: "dim" }, "+" + more) : null);
}
