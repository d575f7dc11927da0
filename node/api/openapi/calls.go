package main

import "github.com/tidings-mesh/tidings/node/api/reply"

// call is one operation of the interface.
type call struct {
	method, path string
	id           string // operationId
	tag          string
	summary      string
	text         string   // more than the summary; "" for nothing
	parameters   []string // names in components.json
	bodies       []media  // what it takes; none for nothing
	answers      []answer // where nothing is wrong
	problems     []reply.Code
}

// answer is what a call gives where nothing is wrong.
type answer struct {
	status  int
	text    string
	media   []media  // none for an answer without a body
	headers []string // beside those that every answer has
}

// media is a media type and the schema in components.json of what it holds: of
// NDJSON, of a line.
type media struct{ kind, schema string }

const (
	typeJSON    = "application/json"
	typeNDJSON  = "application/x-ndjson"
	typeEvents  = "text/event-stream"
	typeSVG     = "image/svg+xml"
	typeText    = "text/plain"
	typeHTML    = "text/html"
	typeProblem = "application/problem+json"
)

// ok is the answer of most calls.
func ok(text, schema string) []answer {
	return []answer{{status: 200, text: text, media: []media{{typeJSON, schema}}}}
}

// common are the problems of most calls below /v1, to which others are added.
// The path and query that are too long are too_large, with status 414.
func common(more ...reply.Code) []reply.Code {
	return append([]reply.Code{reply.CodeBadRequest, reply.CodeNotAcceptable, reply.CodeTooLarge, reply.CodeInternal, reply.CodeClosing}, more...)
}

var feed = []answer{{
	status: 200, text: "A batch, perhaps an empty one, or a stream of them.",
	media: []media{{typeJSON, "Batch"}, {typeEvents, "Events"}},
}}

// calls is the whole interface. What holds for all of it is in about.
var calls = []call{
	{
		method: "post", path: "/v1/updates", id: "publish", tag: "publish",
		summary:    "Publish a status change, or many, on this node's own chain.",
		text:       "An object is one draft, an array several, and NDJSON a stream of one a line without end. A bad one of several fails alone.",
		parameters: []string{"ack", "publish_wait", "idempotency_key"},
		bodies:     []media{{typeJSON, "Draft|Drafts"}, {typeNDJSON, "Draft"}},
		answers: []answer{
			{status: 200, text: "Nothing new: the key was used with this content, or unchanged. Of several drafts, an item for each, in order.", media: []media{{typeJSON, "Receipt|Items"}, {typeNDJSON, "Item"}}},
			{status: 201, text: "Published, and committed on this node.", media: []media{{typeJSON, "Receipt"}}},
			{status: 202, text: "Published, but on fewer nodes than ack asked for when wait was over.", media: []media{{typeJSON, "Receipt"}}},
		},
		problems: common(
			reply.CodeBadDelta, reply.CodeBadSubject, reply.CodeNotAllowed, reply.CodeUnknownDependency, reply.CodeWrongAuthority,
			reply.CodeUnsupportedMediaType, reply.CodeKeyReused, reply.CodeBusy, reply.CodeNotReady, reply.CodeStoreFailed, reply.CodeClockSkew,
		),
	},
	{
		method: "get", path: "/v1/updates/{id}", id: "update", tag: "read", summary: "One update, as soon as it was received.",
		parameters: []string{"id"}, answers: ok("The update, and whether it is applied.", "UpdateState"), problems: common(reply.CodeNotFound),
	},
	{
		method: "get", path: "/v1/subjects", id: "subjects", tag: "read", summary: "Subjects with their views, in ascending order.",
		parameters: []string{"prefix", "subject_authority", "empty", "subjects_limit", "page", "wait", "at_least"},
		answers:    ok("A page.", "Subjects"), problems: common(reply.CodeBadCursor, reply.CodeBusy, reply.CodeBehind),
	},
	{
		method: "get", path: "/v1/subjects/{subject}", id: "view", tag: "read", summary: "The rolled-up status of a subject.",
		text:       "The same bytes under the same ETag on every node with the same updates of the subject. With wait, an absent subject is waited for, and with If-None-Match a change; with at, that the cut is applied here.",
		parameters: []string{"subject", "wait", "at_least", "at", "expect", "if_none_match"},
		answers: []answer{
			{status: 200, text: "The view.", media: []media{{typeJSON, "View"}}, headers: []string{"ETag", "Tidings-Age-Ms"}},
			{status: 304, text: "One of If-None-Match still holds.", headers: []string{"ETag", "Tidings-Age-Ms"}},
		},
		problems: common(reply.CodeBadSubject, reply.CodeBadCursor, reply.CodeNotFound, reply.CodeBusy, reply.CodeBehind),
	},
	{
		method: "get", path: "/v1/history/{subject}", id: "history", tag: "read", summary: "All updates of a subject, in stitched order.",
		parameters: []string{"subject", "wait", "at_least"},
		answers:    []answer{{status: 200, text: "The history, the same on every node.", media: []media{{typeJSON, "History"}, {typeNDJSON, "Update"}, {typeSVG, "Text"}}}},
		problems:   common(reply.CodeBadSubject, reply.CodeBadCursor, reply.CodeNotFound, reply.CodeBusy, reply.CodeBehind),
	},
	{
		method: "get", path: "/v1/chains/{origin}", id: "chain", tag: "read", summary: "One chain as it was signed, to be verified by hand.",
		parameters: []string{"origin", "from", "updates_limit"},
		answers:    ok("A page, of at most 8 MiB.", "Chain"), problems: common(reply.CodeNotFound),
	},
	{
		method: "get", path: "/v1/changes", id: "changes", tag: "follow", summary: "What is applied here after a cursor.",
		parameters: []string{"since", "wait", "updates_limit", "prefix", "update_authority", "at_least", "last_event_id"},
		answers:    feed, problems: common(reply.CodeBadCursor, reply.CodeGone, reply.CodeBusy, reply.CodeBehind),
	},
	{
		method: "post", path: "/v1/changes", id: "changesByPost", tag: "follow", summary: "The same, for cursors that are too long for a URL.",
		parameters: []string{"last_event_id"}, bodies: []media{{typeJSON, "Query"}}, answers: feed,
		problems: common(reply.CodeBadCursor, reply.CodeNotAllowed, reply.CodeGone, reply.CodeUnsupportedMediaType, reply.CodeBusy, reply.CodeBehind),
	},
	{
		method: "get", path: "/v1/mesh", id: "mesh", tag: "operate", summary: "The mesh and this node, as this node sees them.",
		answers: ok("The mesh.", "Mesh"), problems: common(),
	},
	{
		method: "delete", path: "/v1/mesh/members/{name}", id: "forget", tag: "operate", summary: "Forget a member that left or failed.",
		parameters: []string{"name"}, answers: []answer{{status: 204, text: "It is forgotten."}},
		problems: []reply.Code{reply.CodeBadRequest, reply.CodeNotAllowed, reply.CodeNotFound, reply.CodeTooLarge, reply.CodeInternal, reply.CodeClosing},
	},
	{
		method: "get", path: "/v1/openapi.json", id: "openapi", tag: "operate", summary: "This description.",
		parameters: []string{"if_none_match"},
		answers: []answer{
			{status: 200, text: "OpenAPI 3.1.", media: []media{{typeJSON, "OpenAPI"}}, headers: []string{"ETag"}},
			{status: 304, text: "One of If-None-Match still holds.", headers: []string{"ETag"}},
		},
		problems: []reply.Code{reply.CodeBadRequest, reply.CodeNotAcceptable, reply.CodeTooLarge, reply.CodeClosing},
	},
	{
		method: "get", path: "/healthz", id: "healthz", tag: "operate", summary: "Whether the process serves.",
		answers: ok("It does.", "Alive"), problems: []reply.Code{reply.CodeBadRequest, reply.CodeTooLarge},
	},
	{
		method: "get", path: "/readyz", id: "readyz", tag: "operate", summary: "Whether the node publishes and has caught up.",
		answers: ok("It does, and has.", "Ready"), problems: []reply.Code{reply.CodeBadRequest, reply.CodeTooLarge, reply.CodeNotReady},
	},
	{
		method: "get", path: "/metrics", id: "metrics", tag: "operate", summary: "Metrics in the text format of Prometheus.",
		answers:  []answer{{status: 200, text: "The metrics.", media: []media{{typeText, "Text"}}}},
		problems: []reply.Code{reply.CodeNotFound, reply.CodeTooLarge},
	},
	{
		method: "get", path: "/", id: "index", tag: "operate", summary: "What there is, for people.",
		answers:  []answer{{status: 200, text: "The dashboard; a list of the calls where it is left out.", media: []media{{typeHTML, "Text"}, {typeText, "Text"}}}},
		problems: []reply.Code{reply.CodeBadRequest, reply.CodeTooLarge, reply.CodeClosing},
	},
}

// about holds for all calls, and has no place of its own in OpenAPI.
const about = `The HTTP interface of a node. Any node will do for reading; publishing goes to the node whose authority is to speak.

HEAD works wherever GET does, and has no body. OPTIONS answers 204 with Allow. A method that a path does not take is 405 method_not_allowed with Allow, and a path that there is not 404 not_found. Nothing is redirected.

What a browser sends for a page of another site is 403 not_allowed, unless it is GET, HEAD or OPTIONS. A parameter or field that is unknown, given twice or out of its range is 400 bad_request.

While an agent opens its store, everything but /healthz is answered 503 not_ready with the reason "starting". One connection too many to an agent is answered 429 busy with Retry-After, whatever it asks for and before that is read; this answer alone has no Tidings-Node and Tidings-Converged.`
