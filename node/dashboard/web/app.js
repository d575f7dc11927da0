// The page: which part of it is shown, what the node says of itself, keys.
import { h, put } from "./dom.js";
import { Feed } from "./feed.js";
import { MeshPage } from "./mesh.js";
import { learn } from "./names.js";
import { Problem, ask, get, linkTo, pause, whyNot } from "./net.js";
import { SubjectPage } from "./subject.js";
import { SubjectsPage } from "./subjects.js";
import { clock, count, plain } from "./text.js";

const pollEvery = 1000; // milliseconds

const main = document.getElementById("main");
const search = document.getElementById("search");
const feed = new Feed();
const meshPage = new MeshPage(feed);

let page = null; // what is shown: { node, title, mesh?(mesh), close?() }
let mesh = null; // the node's last picture of the mesh

// route shows the page that the address names.
function route() {
  const [path, query = ""] = location.hash.slice(1).split("?");
  page?.close?.();
  let nav = "nav-subjects";
  if (path.startsWith("/subject/")) page = new SubjectPage(decode(path.slice("/subject/".length)));
  else if (path === "/subjects") page = new SubjectsPage(new URLSearchParams(query));
  else [page, nav] = [meshPage, "nav-mesh"];
  put(main, page.node);
  page.open?.();
  if (mesh) page.mesh?.(mesh);
  for (const a of document.querySelectorAll("nav a")) {
    if (a.id === nav) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  title();
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // typed by hand, with a stray %
  }
}

function title() {
  document.title = [page.title, mesh && plain(mesh.node), "Tidings"].filter(Boolean).join(" · ");
}

// watch asks the node for its picture of the mesh, again and again, while the
// page is to be seen. What is shown waits for the first, which has the names.
async function watch() {
  let heard = null;
  for (;;) {
    if (document.hidden) {
      await new Promise((seen) => document.addEventListener("visibilitychange", seen, { once: true }));
      continue;
    }
    try {
      const [picture, ready] = await Promise.all([get("v1/mesh"), readiness()]);
      mesh = picture;
      heard = Date.now();
      learn(mesh);
      if (!page) route();
      notices(mesh, ready);
      head(mesh);
      document.body.classList.remove("stale");
      feed.mesh(mesh);
      page.mesh?.(mesh);
      title();
    } catch (err) {
      if (!page) route();
      document.body.classList.add("stale");
      silent(err, heard);
      if (!(err instanceof Problem || err instanceof TypeError || err.name === "TimeoutError")) console.error(err);
    }
    await pause(pollEvery);
  }
}

async function readiness() {
  return (await ask("readyz", { fine: [503] })).json();
}

// head tells whose page this is.
function head(mesh) {
  const name = mesh.authority === mesh.node ? plain(mesh.node) : `${plain(mesh.node)} · ${plain(mesh.authority)}`;
  const state = mesh.converged ? "converged" : "not converged";
  const who = document.getElementById("who");
  if (who.dataset.shown === name + state) return;
  who.dataset.shown = name + state;
  const hint = mesh.converged ? "This node has all that the living members are known to have." : "This node does not have all that others are known to have, or does not hear most of them.";
  put(who, h("span", { class: "name" }, name), h("span", { class: "pill " + (mesh.converged ? "good" : "warn"), title: hint }, state));
}

// silent tells that the node does not answer.
function silent(err, heard) {
  const since = heard ? ` What is shown is of ${clock(heard).slice(0, 8)}.` : "";
  if (err instanceof Problem && err.body.progress) {
    const { reason, progress } = err.body;
    return notify([{ key: "silent", mood: "warn", text: `This node is not ready: ${plain(reason)}.${since}`, progress }]);
  }
  notify([{ key: "silent", mood: "bad", text: `This node does not answer (${plain(whyNot(err))}). Trying again.${since}` }]);
}

// notices are what the owner of a node has to know first.
function notices(mesh, ready) {
  const all = [];
  if (mesh.store.failed) {
    all.push({ key: "store", mood: "bad", text: `This node writes nothing any more: ${plain(mesh.store.failed)}. It goes on serving what it has. See to its disk, then start it again.` });
  }
  if (!ready.ready && ready.reason) {
    all.push({ key: "ready", mood: "warn", text: `This node is not ready: ${plain(ready.reason)}.`, progress: ready.progress });
  }
  for (const m of mesh.members) {
    if (m.clock_off_ms) {
      all.push({ key: "clock " + m.name, mood: "bad", text: `The clock of ${plain(m.name)} is off by ${count(m.clock_off_ms)} ms, so it refuses to publish. Set it right.` });
    }
  }
  notify(all);
}

let notified = "";

function notify(all) {
  const now = JSON.stringify(all);
  if (now === notified) return; // or a screen reader would say it again
  notified = now;
  put(document.getElementById("notices"), all.slice(0, 5).map((n) => h("p", { class: "notice " + n.mood },
    h("span", {}, n.text), n.progress && Number(n.progress.want) > 0 ? progress(n.progress) : null)));
}

function progress({ have, want }) {
  return h("span", { class: "progress" },
    h("progress", { value: have, max: want, "aria-label": "Updates caught up on" }), ` ${count(have)} of ${count(want)} updates`);
}

// open goes to what was typed: a subject, or with a slash at its end what is below it.
function open(text) {
  if (text === "" || text.endsWith("/")) location.hash = "#/subjects?" + new URLSearchParams({ prefix: text });
  else location.hash = linkTo(text);
}

search.addEventListener("keydown", (e) => {
  if (e.key === "Escape") search.blur();
  if (e.key !== "Enter" || e.isComposing) return;
  open(search.value.trim());
  search.value = "";
  main.focus();
});

document.addEventListener("keydown", (e) => {
  const typing = e.target.closest?.("input, select, textarea");
  if (e.key !== "/" || typing || e.ctrlKey || e.metaKey || e.altKey) return;
  e.preventDefault();
  search.focus();
});

document.querySelector(".skip").addEventListener("click", (e) => {
  e.preventDefault(); // the address names a page
  main.focus();
});

window.addEventListener("hashchange", () => {
  route();
  window.scrollTo(0, 0);
});
watch();
