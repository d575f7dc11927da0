// Requests to the node that serves this page. All paths are relative to it.
import { exact } from "./text.js";

// Problem is an answer that says no: what a node answers as problem+json.
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || `the answer was ${status}`);
    this.status = status;
    this.body = body;
  }
}

const patience = 5000; // milliseconds for an answer that does not wait

// ask returns the response of a GET; one that is neither in the 200s nor among
// fine is thrown as a Problem.
export async function ask(path, { headers, signal, wait = 0, fine = [] } = {}) {
  const signals = [AbortSignal.timeout(patience + wait)];
  if (signal) signals.push(signal);
  const answer = await fetch(path, { headers, signal: AbortSignal.any(signals), cache: "no-store" });
  if (answer.ok || fine.includes(answer.status)) return answer;
  const body = await answer.json().catch(() => null);
  throw new Problem(answer.status, body ?? {});
}

// get returns the JSON of a GET, with numbers as they are in it.
export async function get(path, options) {
  return exact(await (await ask(path, options)).text());
}

// pathOf is a subject in a path: its slashes stay.
export function pathOf(subject) {
  return subject.split("/").map(encodeURIComponent).join("/");
}

// wrongSubject says what keeps a text from being a subject, "" for nothing. The
// browser would make another path of some, so they are not even asked for.
export function wrongSubject(text) {
  if (text.split("/").some((s) => s === "" || s === "." || s === "..")) return "A subject has no empty segment, and none that is “.” or “..”.";
  if (/[\u0000-\u001f\u007f]/.test(text)) return "A subject has no control characters.";
  if (new TextEncoder().encode(text).length > 512) return "A subject has at most 512 bytes.";
  return "";
}

// linkTo is the address, within this page, of a subject.
export function linkTo(subject) {
  return "#/subject/" + pathOf(subject);
}

// pause resolves after some time, or as soon as the signal is aborted.
export function pause(ms, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
  });
}

// whyNot is an error in words for people.
export function whyNot(err) {
  if (err instanceof Problem) return err.message;
  if (err.name === "TimeoutError") return "no answer in time";
  return "no connection";
}
