// How values are written for people.

// Num is a number as it was written: 49.90 stays that, and so does one with more
// digits than a double has.
class Num {
  constructor(source) { this.source = source; }
  valueOf() { return Number(this.source); }
  toString() { return this.source; }
}

// exact parses JSON and keeps the text of its numbers, where the browser tells it.
export function exact(text) {
  return JSON.parse(text, (key, value, context) => (typeof value === "number" && context?.source ? new Num(context.source) : value));
}

// plain shows marks that would turn or hide text around them by their codes.
export function plain(text) {
  return String(text).replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

// json writes a parsed value in one line.
export function json(value) {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "number" || value instanceof Num) return String(value);
  if (typeof value === "string") return plain(JSON.stringify(value));
  if (Array.isArray(value)) return "[" + value.map(json).join(", ") + "]";
  return "{" + Object.entries(value).map(([k, v]) => plain(JSON.stringify(k)) + ": " + json(v)).join(", ") + "}";
}

// short is text of at most so many characters.
export function short(text, most = 400) {
  return text.length > most ? text.slice(0, most) + "…" : text;
}

// leaves are the JSON pointers of a value with what stands there. An array is a
// leaf, as it is for conflicts.
export function leaves(value, path = "", into = new Map()) {
  const inner = value !== null && typeof value === "object" && !Array.isArray(value) && !(value instanceof Num);
  const entries = inner ? Object.entries(value) : [];
  if (entries.length === 0) {
    if (path !== "" || !inner) into.set(path, json(value));
    return into;
  }
  for (const [key, v] of entries) leaves(v, path + "/" + key.replaceAll("~", "~0").replaceAll("/", "~1"), into);
  return into;
}

// count writes a whole number in groups of three digits.
export function count(n) {
  return Number(n).toLocaleString("en");
}

export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return (i === 0 || n >= 100 ? n.toFixed(0) : n.toFixed(1)) + " " + units[i];
}

// age writes a duration in milliseconds, roughly.
export function age(ms) {
  const s = Math.max(0, ms) / 1000;
  if (s < 1) return "now";
  if (s < 60) return Math.floor(s) + " s";
  if (s < 3600) return Math.floor(s / 60) + " min";
  if (s < 86400) return Math.floor(s / 3600) + " h";
  return Math.floor(s / 86400) + " d";
}

// clock is the time of day of a moment, in the reader's zone; with its day where
// that is not today.
export function clock(moment) {
  const t = new Date(moment);
  if (Number.isNaN(t.getTime())) return "";
  const two = (n, w = 2) => String(n).padStart(w, "0");
  const time = `${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}.${two(t.getMilliseconds(), 3)}`;
  if (t.toDateString() === new Date().toDateString()) return time;
  return `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())} ${time}`;
}
