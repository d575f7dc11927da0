// The live feed: server-sent events of the node, newest first.
import { h, put, rows, say, section } from "./dom.js";
import { idText, who } from "./names.js";
import { get, linkTo } from "./net.js";
import { clock, exact, json, plain, short } from "./text.js";

const most = 500; // lines that are kept
const drawn = 120; // lines that are drawn, until somebody scrolls down
const patience = 50; // batches in a row that the node had more after: then the page is too slow, and skips
const retry = 2000; // milliseconds
const away = 30000; // milliseconds after which one who comes back sees the present, not what was missed
const backChains = 12; // whose last updates are fetched to begin with
const backUpdates = 15; // of each of them

export class Feed {
  onupdates = () => {}; // is told of updates that come
  #lines = []; // { key, update, taken } or { key, gap }, newest first
  #cursor = null; // the place after what came
  #source = null;
  #timer = 0;
  #failures = 0; // attempts to connect since the last that worked
  #full = 0; // batches in a row that were not the last
  #gaps = 0;
  #wanted = false; // the page shows the feed
  #left = 0; // when the tab was hidden
  #paused = false;
  #shown = null; // lines as they were when somebody began to read, null while live
  #drawing = false;
  #filled = false; // the beginning is fetched
  #begun = false; // and shown

  #list = h("ol", { class: "lines", tabindex: "0", "aria-label": "Updates, newest first", onscroll: () => this.#draw() });
  #empty = h("p", { class: "empty" });
  #state = h("span", { class: "pill", role: "status" }, "connecting");
  #fresh = h("button", { type: "button", class: "fresh", hidden: true, onclick: () => this.#live() });
  #pause = h("button", { type: "button", "aria-pressed": "false", onclick: () => this.#toggle() }, "Pause");
  #prefix = h("input", { type: "search", placeholder: "Prefix", "aria-label": "Only subjects with this prefix", autocomplete: "off", spellcheck: "false", maxlength: "512", onchange: () => this.#restart() });
  #authority = h("select", { "aria-label": "Only updates of this authority", onchange: () => this.#restart() }, h("option", { value: "" }, "All authorities"));
  node = section("feed", "Feed", this.#state,
    h("div", { class: "filters" }, this.#prefix, this.#authority, this.#pause),
    h("div", { class: "pane" }, this.#fresh, this.#list, this.#empty));

  constructor() {
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#hide();
      else if (this.#wanted) this.#come();
    });
  }

  open() {
    this.#wanted = true;
    this.#come();
  }

  close() {
    this.#wanted = false;
    this.#hide();
  }

  // mesh tells which authorities there are.
  mesh(mesh) {
    const names = [...new Set(mesh.chains.map((c) => c.authority))].sort();
    const shown = [...this.#authority.options].slice(1).map((o) => o.value);
    if (names.join("\n") !== shown.join("\n")) {
      const chosen = this.#authority.value;
      put(this.#authority, h("option", { value: "" }, "All authorities"), names.map((n) => h("option", { value: n, selected: n === chosen }, plain(n))));
    }
  }

  #hide() {
    if (!this.#source && !this.#timer) return;
    this.#left = Date.now();
    this.#stop();
  }

  #come() {
    if (this.#source) return;
    if (this.#cursor && Date.now() - this.#left > away) this.#skip("Not followed while the page was not seen.");
    this.#connect();
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#source?.close();
    [this.#source, this.#timer] = [null, 0];
  }

  // restart follows with another filter, from the beginning that can be fetched.
  #restart() {
    this.#stop();
    [this.#lines, this.#cursor, this.#filled, this.#begun, this.#full] = [[], null, false, false, 0];
    this.#live();
    this.#connect();
  }

  // skip leaves out what came between, and says so.
  #skip(why) {
    this.#cursor = null;
    this.#add([{ key: "gap" + this.#gaps++, gap: why }]);
  }

  #connect() {
    const query = new URLSearchParams({ since: this.#cursor ?? "now", limit: 200, prefix: this.#prefix.value.trim() });
    if (this.#authority.value) query.set("authority", this.#authority.value);
    const source = new EventSource("v1/changes?" + query);
    this.#source = source;
    source.addEventListener("open", () => {
      this.#failures = 0;
      this.#tell();
    });
    source.addEventListener("bookmark", (e) => {
      this.#cursor = e.lastEventId;
      if (!this.#filled) this.#fill();
    });
    source.addEventListener("changes", (e) => this.#take(exact(e.data), e.lastEventId));
    source.addEventListener("error", () => this.#fail(source));
  }

  // fail connects again. The browser does so by itself, from the last event's ID,
  // unless the node has refused: then this does.
  #fail(source) {
    if (source !== this.#source) return;
    this.#say("reconnecting", "warn");
    if (source.readyState !== EventSource.CLOSED) return;
    this.#stop();
    if (++this.#failures > 2 && this.#cursor) this.#skip("The node could not go on from here; what follows begins later.");
    this.#timer = setTimeout(() => this.#connect(), retry);
  }

  #take(batch, cursor) {
    this.#cursor = cursor;
    this.#full = batch.up_to_date ? 0 : this.#full + 1;
    for (const { origin, after } of batch.retracted ?? []) {
      this.#lines = this.#lines.map((l) => (l.update && seqAfter(l.update.id, origin, Number(after)) ? { ...l, taken: true } : l));
    }
    this.#add(batch.updates.map(line).reverse());
    this.onupdates(batch.updates);
    if (this.#full > patience) {
      this.#full = 0;
      this.#stop();
      this.#skip("More came than this page can follow. What follows begins later.");
      this.#connect();
    }
  }

  #add(lines) {
    const there = new Set(this.#lines.map((l) => l.key));
    this.#lines = [...lines.filter((l) => !there.has(l.key)), ...this.#lines].slice(0, most);
    this.#draw();
  }

  // fill fetches the last updates of the chains that moved last, so that there is
  // something to begin with. The stream has its place already, so nothing falls
  // between.
  async #fill() {
    this.#filled = true;
    const mesh = await get("v1/mesh").catch(() => ({ chains: [] }));
    const prefix = this.#prefix.value.trim();
    const authority = this.#authority.value;
    const chains = mesh.chains.filter((c) => Number(c.applied) > 1 && (!authority || c.authority === authority))
      .sort((a, b) => Number(a.age_ms) - Number(b.age_ms)).slice(0, backChains);
    const fetched = await Promise.all(chains.map(async (c) => {
      const from = Math.max(2, Number(c.applied) - backUpdates + 1);
      const page = await get(`v1/chains/${c.origin}?from=${from}&limit=${backUpdates}`).catch(() => ({ updates: [] }));
      return page.updates.filter((u) => !u.kind && Number(u.id.split(".")[1]) <= Number(c.applied));
    }));
    if (prefix !== this.#prefix.value.trim() || authority !== this.#authority.value) return;
    const there = new Set(this.#lines.map((l) => l.key));
    const older = fetched.flat().filter((u) => within(u.subject, prefix) && !there.has(u.id))
      .sort((a, b) => (a.hlc === b.hlc ? 0 : a.hlc < b.hlc ? 1 : -1));
    this.#lines = [...this.#lines, ...older.map(line)].slice(0, most);
    this.#begun = true;
    this.#draw();
    requestAnimationFrame(() => this.#tell()); // once that is drawn
  }

  // tell says that the feed is live: once its beginning is shown, and while it is connected.
  #tell() {
    if (this.#source?.readyState !== EventSource.OPEN) return;
    if (this.#begun) this.#say("live", "good");
    else this.#say("loading", "warn");
  }

  #toggle() {
    this.#paused = !this.#paused;
    this.#pause.setAttribute("aria-pressed", String(this.#paused));
    say(this.#pause, this.#paused ? "Go on" : "Pause");
    this.#draw();
  }

  // live goes back to what comes.
  #live() {
    if (this.#paused) this.#toggle();
    this.#list.scrollTop = 0;
    this.#draw();
  }

  // draw shows the lines, once a frame at most. They stand still for one who has
  // paused the feed, or has scrolled down in it.
  #draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      const reading = this.#paused || this.#list.scrollTop > 4;
      if (!reading) this.#shown = null;
      else this.#shown ??= this.#lines;
      const lines = this.#shown ?? this.#lines;
      rows(this.#list, reading ? lines : lines.slice(0, drawn), (l) => l.key, row);
      const fresh = reading ? this.#lines.findIndex((l) => l.key === lines[0]?.key) : 0;
      this.#fresh.hidden = fresh === 0 || this.#lines.length === 0;
      say(this.#fresh, fresh < 0 ? `more than ${most} new` : `${fresh} new`);
      this.#list.hidden = lines.length === 0;
      this.#empty.hidden = lines.length > 0;
      say(this.#empty, this.#prefix.value || this.#authority.value
        ? "Nothing yet that this filter admits. It appears here as soon as it is applied."
        : "Nothing yet. Publish something, say: tidings publish order/42 '{\"state\":\"placed\"}'");
    });
  }

  #say(text, mood) {
    say(this.#state, text);
    this.#state.className = "pill " + mood;
  }
}

const line = (update) => ({ key: update.id, update });

// within is the node's rule for a prefix: whole segments, and with a slash at its
// end only what is below.
function within(subject, prefix) {
  if (prefix === "" || subject === prefix) return true;
  return subject.startsWith(prefix.endsWith("/") ? prefix : prefix + "/");
}

function seqAfter(id, origin, after) {
  const [o, seq] = id.split(".");
  return o === origin && Number(seq) > after;
}

function row(l) {
  if (l.gap) return { node: h("li", { class: "gap" }, l.gap), update() {} };
  const u = l.update;
  const node = h("li", {},
    who(u.authority), h("a", { href: linkTo(u.subject) }, plain(u.subject)),
    h("time", { datetime: u.time, title: u.time }, clock(u.time)), h("code", {}, short(json(u.delta))), idText(u.id));
  const update = (now) => {
    node.classList.toggle("taken", Boolean(now.taken));
    if (now.taken) node.title = "Taken back: its chain was frozen before it.";
  };
  return { node, update };
}
