// Package api is the HTTP interface of a node: publish, read, follow.
//
// Start from [New], which makes a [Handler] over a [Backend], and [NewServer],
// which serves it with the time-outs and bounds that the handler counts on. A
// Handler may as well be mounted in a server of the caller's own, below a
// prefix by http.StripPrefix. [Problem] is the form of every error, and
// docs/http.md describes every call.
//
// What the package promises:
//
//   - A request is answered as documented or by a Problem with a stable code;
//     nothing is redirected, and nothing of a request is guessed: an unknown
//     parameter or field, or a duplicate key, is an error.
//   - A delta goes to the Backend as the bytes that were sent, and views,
//     histories and batches of the feed are appended to the answer by hand:
//     those paths use no reflection and re-encode nothing.
//   - A request that waits is woken by what concerns it alone, and those that
//     wait for the same batch of the feed share it: see [FeedWatch].
//   - What users wrote is never markup: a history that is drawn shows it as text.
//   - Everything is bounded: bodies, lines, headers, waiting requests, streams,
//     pages by size as well as by count, and the time that a body may take.
//   - Requests that wait end at once with the code "closing" when the Handler
//     is closed; a publish that was taken is still answered by its outcome.
//
// It does not authenticate, compress, or keep anything between requests: every
// cursor and page token is good on every node of the mesh.
package api
