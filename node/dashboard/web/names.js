// What chains are called. An update's ID begins with 26 characters of its
// chain's origin; people read the name of the node that writes it.
import { h } from "./dom.js";
import { plain } from "./text.js";

const colours = 8; // that style.css has
const nodes = new Map(); // the name of the node by origin
const hues = new Map(); // the colour of an authority

// learn takes the names from a picture of the mesh.
export function learn(mesh) {
  nodes.clear();
  for (const c of mesh.chains) if (c.node) nodes.set(c.origin, c.node);
}

// nameOf is an update's ID with its node's name in place of its origin.
export function nameOf(id) {
  const [origin, seq] = id.split(".");
  return chainName(origin) + "." + seq;
}

// chainName is the name of an origin's node, or the origin's beginning where it
// is not known.
export function chainName(origin) {
  return nodes.has(origin) ? plain(nodes.get(origin)) : origin.slice(0, 7) + "…";
}

// idText is an update's short name, with the whole as its title.
export function idText(id) {
  return h("span", { class: "id", title: id }, nameOf(id));
}

// who is an authority, with a dot of its colour.
export function who(authority) {
  return h("span", { class: "authority" }, h("i", { class: "dot " + hue(authority), "aria-hidden": "true" }), plain(authority) || "unknown");
}

// hue is the colour of an authority. It keeps the one that it gets here first: that of
// its letters, or the next that nobody has.
function hue(authority) {
  if (!hues.has(authority)) {
    let n = 0;
    for (const c of authority) n = (n * 31 + c.codePointAt(0)) % 9973;
    const taken = new Set(hues.values());
    for (let i = 0; i < colours && taken.has(n % colours); i++) n++;
    if (hues.size >= colours * 32) hues.clear();
    hues.set(authority, n % colours);
  }
  return "hue" + hues.get(authority);
}
