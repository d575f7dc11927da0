// Which subjects are in conflict. A node has no list of them, so this looks at
// the first subjects once, and then at those that change while the page is open.
import { Table, h, section } from "./dom.js";
import { Problem, get, linkTo, pathOf, pause } from "./net.js";
import { count, json, plain, short } from "./text.js";

const first = 1000; // subjects that are looked at to begin with
const most = 100; // that are shown
const waiting = 500; // that wait to be looked at; the oldest give way
const atOnce = 10; // views a round
const round = 2000; // milliseconds
const again = 5; // rounds after which those that are shown are looked at again

export class Conflicts {
  #found = new Map(); // the conflicts of a subject
  #changed = new Set(); // subjects to look at
  #looked = 0;
  #whole = false; // the first subjects were all that there are
  #life = null; // its signal ends with the page's being shown
  #table = new Table({
    label: "Conflicts", key: (c) => c.key, empty: "Looking…", most,
    columns: [
      { title: "Subject", class: "subject", text: (c) => c.subject, node: (c) => h("a", { href: linkTo(c.subject) }, plain(c.subject)) },
      { title: "Field", text: (c) => plain(c.path.slice(1)) || "the whole" },
      { title: "Writes", class: "long", text: (c) => c.text },
    ],
  });
  node = section("conflicts", "Conflicts", null, this.#table.node);

  open() {
    this.#life = new AbortController();
    this.#run(this.#life.signal);
  }

  close() {
    this.#life?.abort();
  }

  changed(subjects) {
    for (const s of subjects) {
      this.#changed.delete(s);
      this.#changed.add(s);
      if (this.#changed.size > waiting) this.#changed.delete(this.#changed.values().next().value);
    }
  }

  async #run(signal) {
    if (this.#looked === 0) await this.#begin(signal);
    for (let n = 1; !signal.aborted; n++) {
      await pause(round, signal);
      if (signal.aborted || document.hidden) continue;
      if (n % again === 0) this.changed([...this.#found.keys()].slice(0, atOnce));
      const subjects = [...this.#changed].slice(-atOnce);
      try {
        for (const s of subjects) {
          this.#changed.delete(s);
          await this.#look(s, signal);
        }
      } catch {
        // The node does not answer, which is said above; what was not looked at changes again, or is shown.
      }
      this.#show();
    }
  }

  async #begin(signal) {
    let page = "";
    try {
      do {
        const answer = await get("v1/subjects?" + new URLSearchParams({ limit: 200, page }), { signal });
        for (const view of answer.subjects) this.#take(view);
        this.#looked += answer.subjects.length;
        page = answer.next_page;
      } while (page && this.#looked < first);
      this.#whole = !page;
    } catch {
      // As above.
    }
    this.#show();
  }

  async #look(subject, signal) {
    try {
      this.#take(await get("v1/subjects/" + pathOf(subject), { signal }));
    } catch (err) {
      if (!(err instanceof Problem && err.status === 404)) throw err;
      this.#found.delete(subject); // all of it was taken back
    }
  }

  #take(view) {
    if (view.conflicts.length === 0) this.#found.delete(view.subject);
    else if (this.#found.has(view.subject) || this.#found.size < most) this.#found.set(view.subject, view.conflicts);
  }

  #show() {
    const lines = [...this.#found].flatMap(([subject, conflicts]) => conflicts.map((c) => ({
      key: subject + "\n" + c.path, subject, path: c.path,
      text: c.writes.map((w) => `${plain(w.authority)} ${w.deleted ? "removed it" : short(json(w.value), 60)}`).join("   ≠   "),
    })));
    this.#table.show(lines, this.#whole ? "No subject is in conflict."
      : `No conflict among the first ${count(this.#looked)} subjects, and those that changed since this page was opened.`);
  }
}
