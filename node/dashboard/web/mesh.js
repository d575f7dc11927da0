// The first page: the mesh, its chains as they move, what waits, and the feed.
import { Conflicts } from "./conflicts.js";
import { Table, h, section, say, spark } from "./dom.js";
import { chainName, idText, nameOf, who } from "./names.js";
import { age, bytes, count, plain, short } from "./text.js";

const samples = 60; // of each chain's line, one a poll

export class MeshPage {
  title = "Mesh";
  #feed;
  #conflicts = new Conflicts();
  #facts = new Facts();
  #trail = new Map(); // what was applied of each chain: { at, applied, steps, spark }
  #members = new Table({
    label: "Members", key: (m) => m.name, empty: "No members yet.",
    columns: [
      { title: "Member", text: (m) => plain(m.name) + (m.self ? " (this one)" : ""), node: (m) => [plain(m.name), m.self ? h("span", { class: "dim" }, " this one") : null] },
      { title: "Authority", wide: true, text: (m) => plain(m.authority), node: (m) => who(m.authority) },
      { title: "Status", text: (m) => plain(m.status), node: (m) => h("span", { class: "pill " + (moods[m.status] ?? "warn") }, plain(m.status)) },
      { title: "Round trip", hint: "of the link between this node and the member", number: true, wide: true, text: (m) => (m.self || m.status !== "alive" ? "–" : trip(m.rtt_ms)) },
      { title: "Behind", hint: "updates that it has still to get", number: true, text: (m) => count(m.behind), mood: (m) => Number(m.behind) > 0 && "warn" },
      { title: "Contents", hint: "whether its root is the same as this node's", wide: true, text: (m) => (m.self ? m.root.slice(0, 8) : m.status !== "alive" ? "–" : m.same ? "the same" : "other"), mood: (m) => !m.same && "dim" },
      { title: "Zone", wide: true, text: (m) => plain(m.zone) || "–" },
      { title: "HTTP", wide: true, text: (m) => plain(m.http) || "–", node: (m) => door(m) },
    ],
  });
  #chains = new Table({
    label: "Chains", key: (c) => c.origin, empty: "No chains yet: nobody has published.",
    columns: [
      { title: "Chain", text: (c) => chainName(c.origin), node: (c) => h("span", { title: c.origin }, chainName(c.origin)) },
      { title: "Authority", wide: true, text: (c) => plain(c.authority), node: (c) => who(c.authority) },
      { title: "Applied", hint: "the highest seq that is applied here", number: true, text: (c) => count(c.applied) },
      { title: "Known", hint: "the highest seq that anyone has reported", number: true, wide: true, text: (c) => count(c.known) },
      { title: "Lag", hint: "updates that are known and not applied here", number: true, text: (c) => count(lag(c)), mood: (c) => lag(c) > 0 && "warn" },
      { title: "Moves", hint: "updates applied from poll to poll, the last minute", wide: true, class: "sparks", text: () => "line", node: (c) => this.#trail.get(c.origin).spark.node },
      { title: "Newest", hint: "since its newest applied update was made", number: true, text: (c) => age(c.age_ms) },
      { title: "State", wide: true, text: (c) => (c.frozen ? "frozen" : Number(c.held) > 0 ? count(c.held) + " held" : "ok"), mood: (c) => (c.frozen ? "bad" : Number(c.held) > 0 ? "warn" : "dim") },
    ],
  });
  #held = new Table({
    label: "Held updates", key: (u) => u.id, empty: "Nothing waits.",
    columns: [
      { title: "Update", text: (u) => u.id, node: (u) => idText(u.id) },
      { title: "Because of", text: (u) => plain(u.reason) },
      { title: "Waits for", text: (u) => u.waiting_for.map(nameOf).join(", ") || (u.reason === "clock" ? "its time to come" : "–") },
      { title: "Since", number: true, text: (u) => age(u.age_ms) },
    ],
  });
  #freezes = new Table({
    label: "Frozen chains", key: (f) => f.origin, empty: "No chain is frozen.",
    columns: [
      { title: "Chain", text: (f) => chainName(f.origin), node: (f) => h("span", { title: f.origin }, chainName(f.origin)) },
      { title: "Authority", text: (f) => plain(f.authority), node: (f) => who(f.authority) },
      { title: "Ends after", number: true, text: (f) => count(f.after) },
      { title: "Reason", text: (f) => plain(f.reason) },
      { title: "Detail", class: "long", text: (f) => short(plain(f.detail)) },
    ],
  });

  constructor(feed) {
    this.#feed = feed;
    feed.onupdates = (updates) => this.#conflicts.changed(updates.map((u) => u.subject));
    this.node = h("div", { class: "mesh" },
      h("div", { class: "column" },
        h("h1", { class: "unseen" }, "Mesh"),
        this.#facts.node,
        section("members", "Members and links", null, this.#members.node),
        section("chains", "Chains", null, this.#chains.node),
        section("held", "Held updates", null, this.#held.node),
        this.#conflicts.node,
        section("freezes", "Frozen chains", null, this.#freezes.node)),
      feed.node);
  }

  open() {
    this.#conflicts.open();
    this.#feed.open();
  }

  close() {
    this.#conflicts.close();
    this.#feed.close();
  }

  mesh(mesh) {
    const now = Date.now();
    for (const c of mesh.chains) this.#move(c, now);
    for (const o of this.#trail.keys()) if (!mesh.chains.some((c) => c.origin === o)) this.#trail.delete(o);
    this.#facts.show(mesh);
    const members = mesh.members.map((m) => ({ ...m, self: m.origin === mesh.origin, same: m.root === mesh.root }));
    this.#members.show(urgent(members, (m) => m.status === "failed", (m) => Number(m.behind) > 0));
    this.#chains.show(urgent(mesh.chains, (c) => c.frozen, (c) => lag(c) > 0));
    this.#held.show(mesh.held);
    this.#freezes.show(mesh.freezes ?? []);
  }

  // move notes how far a chain has come since the last poll.
  #move(c, now) {
    const applied = Number(c.applied);
    const t = this.#trail.get(c.origin) ?? { at: now, applied, steps: [], spark: spark() };
    this.#trail.set(c.origin, t);
    if (now - t.at > 0) t.steps.push(Math.max(0, applied - t.applied));
    if (t.steps.length > samples) t.steps.shift();
    [t.at, t.applied] = [now, applied];
    t.spark.update(t.steps, samples);
  }
}

const moods = { alive: "good", leaving: "warn", left: "", failed: "bad" };

const lag = (c) => Math.max(0, Number(c.known) - Number(c.applied));

// urgent puts what stays wrong first where a list is too long to be seen at once, and
// then what is wrong for now where it is too long to be shown whole.
function urgent(items, stays, now) {
  if (items.length <= 12) return items;
  const rank = (i) => (stays(i) ? 0 : items.length > 200 && now(i) ? 1 : 2);
  return [0, 1, 2].flatMap((r) => items.filter((i) => rank(i) === r));
}

function trip(ms) {
  const n = Number(ms);
  return n <= 0 ? "–" : n < 1 ? n.toFixed(2) + " ms" : n.toFixed(n < 10 ? 1 : 0) + " ms";
}

// door leads to another member's own page, where it tells a plain host and port.
function door(m) {
  const text = plain(m.http) || "–";
  if (m.self || !/^(\[[0-9a-fA-F:]+\]|[a-zA-Z0-9.-]+):[0-9]{1,5}$/.test(m.http)) return text;
  return h("a", { href: `${location.protocol}//${m.http}/`, rel: "noreferrer" }, text);
}

// Facts are the few numbers on top.
class Facts {
  #values = {};
  node = h("dl", { class: "facts" }, ["Members", "Updates", "Subjects", "Lag", "Held", "Store"].map((name) => {
    this.#values[name] = h("dd", {}, "–");
    return h("div", {}, h("dt", {}, name), this.#values[name]);
  }));

  show(mesh) {
    const alive = mesh.members.filter((m) => m.status === "alive").length;
    const behind = mesh.chains.reduce((sum, c) => sum + lag(c), 0);
    this.#say("Members", `${count(alive)} of ${count(mesh.members.length)}`, alive < mesh.members.length && "warn");
    this.#say("Updates", count(mesh.store.updates));
    this.#say("Subjects", count(mesh.store.subjects));
    this.#say("Lag", count(behind), behind > 0 && "warn");
    this.#say("Held", count(mesh.held.length), mesh.held.length > 0 && "warn");
    this.#say("Store", mesh.store.failed ? "failed" : Number(mesh.store.bytes) > 0 ? bytes(Number(mesh.store.bytes)) : "in memory", mesh.store.failed && "bad");
  }

  #say(name, text, mood) {
    say(this.#values[name], text);
    this.#values[name].className = mood || "";
  }
}
