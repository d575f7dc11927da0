// Elements, and tables that change in place.

// h makes an element. Children are nodes, or become text: nothing is ever markup.
export function h(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  put(node, ...children);
  return node;
}

// put makes these the only children of an element. Those that are null are left out.
export function put(node, ...children) {
  node.replaceChildren(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
}

// say sets an element's text, where it is another.
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const kept = new WeakMap(); // the rows of each parent, by key

// rows makes the children of parent show items, in their order. Those of the
// same key stay the same elements, so that focus and selection survive.
// make(item) returns { node, update(item) }.
export function rows(parent, items, key, make) {
  const old = kept.get(parent) ?? new Map();
  const now = new Map();
  for (const item of items) {
    const k = key(item);
    if (now.has(k)) continue;
    const row = old.get(k) ?? make(item);
    row.update(item);
    now.set(k, row);
  }
  for (const [k, row] of old) if (!now.has(k)) row.node.remove();
  let at = parent.firstChild;
  for (const row of now.values()) {
    if (row.node === at) at = at.nextSibling;
    else parent.insertBefore(row.node, at);
  }
  kept.set(parent, now);
}

// section is a part of a page with its heading; extra stands beside that.
export function section(id, title, extra, ...children) {
  const heading = h("h2", { id: id + "-title" }, title);
  return h("section", { id, "aria-labelledby": id + "-title" }, h("div", { class: "bar" }, heading, extra), ...children);
}

// Table shows items, a row each. A column has a title, text(item), and where
// there is more to it than text: node(item), made anew when the text changes;
// mood(item), a class; wide, not shown on a phone; number, set to the right.
export class Table {
  #columns;
  #key;
  #most;
  #body = h("tbody");
  #more = h("p", { class: "empty", hidden: true });
  #empty;
  #scroll;

  constructor({ label, columns, key, empty, most = 200 }) {
    this.#columns = columns;
    this.#key = key;
    this.#most = most;
    this.#empty = h("p", { class: "empty" }, empty);
    const head = columns.map((c) => h("th", { scope: "col", class: classes(c), title: c.hint }, c.title));
    this.#scroll = h("div", { class: "scroll", role: "region", "aria-label": label, tabindex: "0" },
      h("table", { "aria-label": label }, h("thead", {}, h("tr", {}, head)), this.#body));
    this.node = h("div", { class: "table" }, this.#scroll, this.#empty, this.#more);
  }

  // show shows items, and in place of none why there are none.
  show(items, empty) {
    if (empty !== undefined) say(this.#empty, empty);
    this.#empty.hidden = items.length > 0;
    this.#scroll.hidden = items.length === 0;
    this.#more.hidden = items.length <= this.#most;
    say(this.#more, `${items.length - this.#most} more are not shown.`);
    rows(this.#body, items.slice(0, this.#most), this.#key, () => this.#row());
  }

  #row() {
    const cells = this.#columns.map((c, i) => (i === 0 ? h("th", { scope: "row" }) : h("td")));
    const shown = [];
    const update = (item) => this.#columns.forEach((c, i) => {
      const text = c.text(item);
      if (shown[i] !== text) {
        if (c.node) put(cells[i], ...[c.node(item)].flat());
        else cells[i].textContent = text;
        cells[i].title = text.length > 20 ? text : ""; // it may be cut off
        shown[i] = text;
      }
      const name = classes(c, item);
      if (cells[i].className !== name) cells[i].className = name;
    });
    return { node: h("tr", {}, cells), update };
  }
}

function classes(column, item) {
  return [column.number && "number", column.wide && "wide", column.class, item && column.mood?.(item)].filter(Boolean).join(" ");
}

// spark is a small line of what a number was.
export function spark() {
  const space = "http://www.w3.org/2000/svg";
  const line = document.createElementNS(space, "polyline");
  const node = document.createElementNS(space, "svg");
  node.setAttribute("class", "spark");
  node.setAttribute("viewBox", "0 0 80 18");
  node.setAttribute("aria-hidden", "true");
  node.append(line);
  const update = (values, most) => {
    const top = Math.max(1, ...values);
    const step = 80 / (most - 1);
    const from = most - values.length;
    line.setAttribute("points", values.map((v, i) => `${((from + i) * step).toFixed(1)},${(16.5 - (15 * v) / top).toFixed(1)}`).join(" "));
  };
  return { node, update };
}
