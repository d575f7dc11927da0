package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// conforming holds what the tests of this package are answered to openapi.json:
// what is answered has to be described there, by route, method, status, media
// type, problem code, headers and schema; and what is described has to have been
// answered to some test.
type conforming struct{ m *testing.M }

// Run runs the tests. A run of some of them need not produce everything.
func (c conforming) Run() int {
	status := c.m.Run()
	if status != 0 {
		return status
	}
	wrong := observations.wrong()
	if whole() {
		wrong = append(wrong, observations.missing()...)
	}
	for _, line := range wrong {
		fmt.Fprintln(os.Stderr, "openapi.json:", line)
	}
	return min(len(wrong), 1)
}

// whole reports whether all tests were to run.
func whole() bool {
	for _, name := range []string{"run", "skip", "list", "fuzz"} {
		if flag.Lookup("test."+name).Value.String() != "" {
			return false
		}
	}
	return !testing.Short()
}

var observations = newConformity(description)

// observed is a handler whose answers are held to the description, if it is the
// interface itself.
func observed(h http.Handler) http.Handler {
	own, ok := h.(*Handler)
	if !ok {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o := &observer{ResponseWriter: w, request: r}
		if r.Body != nil {
			body := r.Body
			r.Body = struct {
				io.Reader
				io.Closer
			}{io.TeeReader(body, &o.sent), body}
		}
		own.ServeHTTP(o, r)
		rt, _ := own.find(r.URL.Path)
		if o.status != 0 { // else the client had gone
			observations.observe(rt, o)
		}
	})
}

// observer keeps what is answered to a request.
type observer struct {
	http.ResponseWriter
	request    *http.Request
	status     int
	sent, body bytes.Buffer
}

func (o *observer) Unwrap() http.ResponseWriter { return o.ResponseWriter }

func (o *observer) WriteHeader(status int) {
	if o.status == 0 {
		o.status = status
	}
	o.ResponseWriter.WriteHeader(status)
}

func (o *observer) Write(b []byte) (int, error) {
	if o.status == 0 {
		o.status = http.StatusOK
	}
	o.body.Write(b)
	return o.ResponseWriter.Write(b)
}

// conformity compares answers with a description.
type conformity struct {
	document map[string]any
	compiler *jsonschema.Compiler

	mu        sync.Mutex // protects what follows
	schemas   map[string]*jsonschema.Schema
	described map[string]bool // what is to be seen, and whether it was
	faults    map[string]bool
}

const documentURL = "mem:///openapi.json"

func newConformity(text []byte) *conformity {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		panic(err)
	}
	closeObjects(document)
	c := &conformity{
		document: document.(map[string]any), compiler: jsonschema.NewCompiler(),
		schemas: map[string]*jsonschema.Schema{}, described: map[string]bool{}, faults: map[string]bool{},
	}
	c.compiler.AssertFormat()
	c.compiler.AssertContent()
	if err := c.compiler.AddResource(documentURL, document); err != nil {
		panic(err)
	}
	for path, item := range c.at("paths").(map[string]any) {
		for method := range item.(map[string]any) {
			c.describe(path, method)
		}
	}
	return c
}

// closeObjects makes the schemas of objects refuse members that they do not name.
// The description leaves them open, since later versions may have more.
func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, sub := range v {
			closeObjects(sub)
		}
		if _, ok := v["properties"].(map[string]any); ok && v["type"] == "object" {
			v["unevaluatedProperties"] = false
		}
	case []any:
		for _, sub := range v {
			closeObjects(sub)
		}
	}
}

// at is what the document has at a path of names, with references followed; nil
// if there is nothing.
func (c *conformity) at(names ...string) any {
	var v any = c.document
	for _, name := range names {
		m, _ := v.(map[string]any)
		v = c.follow(m[name])
	}
	return v
}

func (c *conformity) follow(v any) any {
	m, _ := v.(map[string]any)
	if ref, ok := m["$ref"].(string); ok && len(m) == 1 {
		return c.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	return v
}

// describe notes what there is to be seen of an operation: its answers, and its
// parameters in the query.
func (c *conformity) describe(path, method string) {
	responses, _ := c.at("paths", path, method, "responses").(map[string]any)
	for status := range responses {
		content, _ := c.at("paths", path, method, "responses", status, "content").(map[string]any)
		if content == nil {
			c.described[sight(method, path, status, "no body")] = false
		}
		for media := range content {
			codes, _ := c.at("paths", path, method, "responses", status, "content", media, "schema", "properties", "code", "enum").([]any)
			if codes == nil {
				c.described[sight(method, path, status, media)] = false
			}
			for _, code := range codes {
				c.described[sight(method, path, status, media, code.(string))] = false
			}
		}
	}
	parameters, _ := c.at("paths", path, method, "parameters").([]any)
	for _, p := range parameters {
		if p := c.follow(p).(map[string]any); p["in"] == "query" {
			c.described[sight(method, path, "takes", p["name"].(string))] = false
		}
	}
}

func sight(method, path string, more ...string) string {
	return strings.ToUpper(method) + " " + path + ": " + strings.Join(more, " ")
}

// observe holds one answer to the description.
func (c *conformity) observe(rt *route, o *observer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.check(rt, o); err != nil {
		c.faults[fmt.Sprintf("%s %.100s: %d %s: %v", o.request.Method, o.request.URL, o.status, o.Header().Get("Content-Type"), err)] = true
	}
}

func (c *conformity) check(rt *route, o *observer) error {
	method := o.request.Method
	switch {
	case rt == nil && o.status != http.StatusNotFound && o.status != http.StatusRequestURITooLong && method != http.MethodOptions:
		return fmt.Errorf("there is no such path")
	case rt == nil:
		return nil
	case method == http.MethodHead:
		method = http.MethodGet
	}
	path, method := rt.pattern, strings.ToLower(method)
	if c.at("paths", path) == nil {
		return fmt.Errorf("the path %s is not described", path)
	}
	if c.at("paths", path, method) == nil {
		return c.checkMethod(method, o)
	}
	status := strconv.Itoa(o.status)
	response, _ := c.at("paths", path, method, "responses", status).(map[string]any)
	if response == nil {
		return fmt.Errorf("the status is not described")
	}
	if err := c.checkHeaders(response, o.Header()); err != nil {
		return err
	}
	seen, err := c.checkContent(path, method, status, o)
	if err != nil {
		return err
	}
	if o.request.Method == http.MethodHead {
		if o.body.Len() > 0 {
			return fmt.Errorf("an answer to HEAD has a body")
		}
		return nil
	}
	c.described[seen] = true
	if o.status >= http.StatusBadRequest {
		return nil
	}
	return c.checkRequest(path, method, o)
}

// checkMethod holds an answer to what the description says of methods that a
// path does not take.
func (c *conformity) checkMethod(method string, o *observer) error {
	allow := o.Header().Get("Allow") != ""
	switch {
	case o.status == http.StatusRequestURITooLong:
		return nil
	case method == "options" && o.status == http.StatusNoContent && allow:
		return nil
	case method != "options" && o.status == http.StatusMethodNotAllowed && allow:
		return c.validate([]string{"components", "schemas", "Problem"}, o.body.Bytes())
	}
	return fmt.Errorf("the method is not described")
}

// checkHeaders looks for the headers that are described as required, and at the
// values of all.
func (c *conformity) checkHeaders(response map[string]any, header http.Header) error {
	described, _ := response["headers"].(map[string]any)
	for name, of := range described {
		of := c.follow(of).(map[string]any)
		value := header.Get(name)
		if value == "" {
			if of["required"] == true {
				return fmt.Errorf("the header %s is not there", name)
			}
			continue
		}
		text, _ := json.Marshal(value)
		if err := c.validate([]string{"components", "headers", name, "schema"}, text); err != nil {
			return fmt.Errorf("the header %s: %w", name, err)
		}
	}
	return nil
}

// checkContent holds an answer's body to its schema, and says what was seen.
func (c *conformity) checkContent(path, method, status string, o *observer) (string, error) {
	at := []string{"paths", path, method, "responses", status, "content"}
	content, _ := c.at(at...).(map[string]any)
	kind := o.Header().Get("Content-Type")
	if kind == "" {
		if content != nil || o.body.Len() > 0 {
			return "", fmt.Errorf("there is no Content-Type")
		}
		return sight(method, path, status, "no body"), nil
	}
	media, _, err := mime.ParseMediaType(kind)
	if err != nil {
		return "", err
	}
	if content[media] == nil {
		return "", fmt.Errorf("the media type is not described")
	}
	seen := []string{status, media}
	if o.request.Method == http.MethodHead {
		return sight(method, path, seen...), nil
	}
	at = append(at, media, "schema")
	switch media {
	case typeJSON:
		err = c.validate(at, o.body.Bytes())
	case problemHeader[0]:
		var p Problem
		if err = c.validate(at, o.body.Bytes()); err == nil {
			err = json.Unmarshal(o.body.Bytes(), &p)
		}
		seen = append(seen, string(p.Code))
	case typeNDJSON:
		for line := range bytes.Lines(o.body.Bytes()) {
			if err = c.validate(at, line); err != nil {
				break
			}
		}
	case typeEvents:
		err = c.checkEvents(o.body.String())
	}
	return sight(method, path, seen...), err
}

// checkEvents holds the data of events to the schemas that their description
// names. The last event may have been cut off.
func (c *conformity) checkEvents(text string) error {
	events := strings.SplitAfter(text, "\n\n")
	for _, event := range events[:len(events)-1] {
		head, data, _ := strings.Cut(event, "data: ")
		schema := map[string]string{"changes": "Batch", "bookmark": "Batch", "error": "Problem"}[strings.TrimPrefix(strings.SplitN(head, "\n", 2)[0], "event: ")]
		if schema == "" {
			return fmt.Errorf("the event %q is not described", head)
		}
		if err := c.validate([]string{"components", "schemas", schema}, []byte(data)); err != nil {
			return err
		}
	}
	return nil
}

// checkRequest holds what was answered well to what the call is described to take.
func (c *conformity) checkRequest(path, method string, o *observer) error {
	for name := range o.request.URL.Query() {
		seen := sight(method, path, "takes", name)
		if _, ok := c.described[seen]; !ok {
			return fmt.Errorf("the parameter %s is not described", name)
		}
		c.described[seen] = true
	}
	if media, _, _ := mime.ParseMediaType(o.request.Header.Get("Content-Type")); o.sent.Len() > 0 && (media == "" || media == typeJSON) && o.sent.Bytes()[0] == '{' {
		return c.validate([]string{"paths", path, method, "requestBody", "content", typeJSON, "schema"}, o.sent.Bytes())
	}
	return nil
}

// validate holds JSON to the schema at a path of names in the document.
func (c *conformity) validate(at []string, text []byte) error {
	pointer := documentURL + "#"
	for _, name := range at {
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(name)
	}
	schema := c.schemas[pointer]
	if schema == nil {
		var err error
		if schema, err = c.compiler.Compile(pointer); err != nil {
			return err
		}
		c.schemas[pointer] = schema
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return schema.Validate(v)
}

// wrong is what was answered and is not described so.
func (c *conformity) wrong() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.faults))
}

// missing is what is described and was not seen.
func (c *conformity) missing() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var missing []string
	for what, seen := range c.described {
		if !seen {
			missing = append(missing, what+" is described, and no test was answered so")
		}
	}
	slices.Sort(missing)
	return missing
}
