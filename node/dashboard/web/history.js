// How a subject came about: its updates in causal order, as a list or drawn.
import { Table, h, put, say, section } from "./dom.js";
import { idText, nameOf, who } from "./names.js";
import { Problem, ask, pathOf, whyNot } from "./net.js";
import { clock, count, exact, json, plain, short } from "./text.js";

const most = 500; // updates that are shown, the last ones
const patience = 30000; // milliseconds for all of it

export class History {
  #subject;
  #life = new AbortController();
  #loading = false;
  #again = false; // something new came while it was loading
  #drawn = false; // the drawing is chosen
  #image = null; // its address
  #refused = ""; // why there is no drawing
  #note = h("p", { class: "empty", role: "status", hidden: true });
  #drawing = h("div", { class: "scroll drawing", role: "region", "aria-label": "Drawing of the history", tabindex: "0", hidden: true });
  #list = h("button", { type: "button", "aria-pressed": "true", onclick: () => this.#choose(false) }, "List");
  #draw = h("button", { type: "button", "aria-pressed": "false", onclick: () => this.#choose(true) }, "Drawing");
  #table = new Table({
    label: "History", key: (u) => u.id, empty: "Loading…", most,
    columns: [
      { title: "Update", text: (u) => u.id, node: (u) => idText(u.id) },
      { title: "Time", text: (u) => clock(u.time) },
      { title: "Authority", text: (u) => u.authority, node: (u) => who(u.authority) },
      { title: "Change", class: "long", text: (u) => short(json(u.delta)), node: (u) => h("code", {}, short(json(u.delta))) },
      { title: "After", text: (u) => u.deps.map(nameOf).join(", ") || "–", node: (u) => h("span", { class: "several" }, u.deps.length ? u.deps.map(idText) : "–") },
      { title: "Reaction", wide: true, text: (u) => (u.hook ? `${plain(u.hook)} to ${nameOf(u.cause)}` : "–"), mood: (u) => !u.hook && "dim" },
    ],
  });

  constructor(subject) {
    this.#subject = subject;
    this.node = section("history", "History", h("div", { class: "choice", role: "group", "aria-label": "Show as" }, this.#list, this.#draw),
      this.#note, this.#table.node, this.#drawing);
  }

  close() {
    this.#life.abort();
    if (this.#image) URL.revokeObjectURL(this.#image);
  }

  // load loads what is chosen, anew where it is being loaded already.
  async load() {
    this.#again = true;
    if (this.#loading) return;
    this.#loading = true;
    while (this.#again && !this.#life.signal.aborted) {
      this.#again = false;
      try {
        await (this.#drawn ? this.#loadDrawing() : this.#loadList());
      } catch (err) {
        if (!this.#life.signal.aborted) this.#say(`The history could not be loaded: ${plain(whyNot(err))}.`);
      }
    }
    this.#loading = false;
  }

  #choose(drawn) {
    this.#drawn = drawn;
    this.#list.setAttribute("aria-pressed", String(!drawn));
    this.#draw.setAttribute("aria-pressed", String(drawn));
    this.#table.node.hidden = drawn;
    this.#drawing.hidden = !drawn;
    this.load();
  }

  // loadList reads the updates as they come, and keeps the last ones.
  async #loadList() {
    const answer = await this.#ask("application/x-ndjson");
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let [updates, rest, all] = [[], "", 0];
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      all += lines.length;
      updates = [...updates, ...lines.slice(-most)].slice(-most);
    }
    this.#table.show(updates.filter((l) => l !== "").map((l) => exact(l)), "There is no history.");
    this.#say(all > most ? `The last ${count(most)} of ${count(all)} updates. All of them: tidings history ${plain(this.#subject)}` : this.#refused);
  }

  // loadDrawing shows what the node draws, as an image: nothing in it can run.
  async #loadDrawing() {
    try {
      const blob = await (await this.#ask("image/svg+xml")).blob();
      if (this.#image) URL.revokeObjectURL(this.#image);
      this.#image = URL.createObjectURL(blob);
      put(this.#drawing, h("img", { src: this.#image, alt: `The history of ${plain(this.#subject)}: a lane for each authority, an arrow for each dependency` }));
      this.#say("");
    } catch (err) {
      if (!(err instanceof Problem && err.status === 406)) throw err;
      this.#draw.disabled = true;
      this.#refused = "This node draws no histories. This is the list.";
      this.#choose(false);
    }
  }

  #ask(type) {
    return ask("v1/history/" + pathOf(this.#subject), { headers: { Accept: type }, signal: this.#life.signal, wait: patience });
  }

  #say(text) {
    this.#note.hidden = text === "";
    say(this.#note, text);
  }
}
