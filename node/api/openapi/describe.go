package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/tidings-mesh/tidings/node/api/reply"
)

//go:embed components.json
var components []byte

// The parts of an OpenAPI document that are used here, in the order in which
// they are written.
type (
	document struct {
		OpenAPI    string                           `json:"openapi"`
		Info       info                             `json:"info"`
		Tags       []tag                            `json:"tags"`
		Paths      map[string]map[string]*operation `json:"paths"`
		Components map[string]map[string]any        `json:"components"`
	}
	info struct {
		Title       string `json:"title"`
		Version     string `json:"version"`
		Description string `json:"description"`
		License     any    `json:"license"`
	}
	tag struct {
		Name        string `json:"name"`
		Description string `json:"description"`
	}
	operation struct {
		Tags        []string             `json:"tags"`
		Summary     string               `json:"summary"`
		Description string               `json:"description,omitempty"`
		ID          string               `json:"operationId"`
		Parameters  []any                `json:"parameters,omitempty"`
		RequestBody *body                `json:"requestBody,omitempty"`
		Responses   map[string]*response `json:"responses"`
	}
	body struct {
		Required bool               `json:"required"`
		Content  map[string]content `json:"content"`
	}
	response struct {
		Description string             `json:"description"`
		Headers     map[string]any     `json:"headers"`
		Content     map[string]content `json:"content,omitempty"`
	}
	content struct {
		Schema any `json:"schema"`
	}
	ref struct {
		Ref string `json:"$ref"`
	}
	oneOf struct {
		OneOf []ref `json:"oneOf"`
	}
	// problem is a Problem of some codes.
	problem struct {
		ref
		Properties struct {
			Code struct {
				Enum []reply.Code `json:"enum"`
			} `json:"code"`
		} `json:"properties"`
	}
)

func to(kind, name string) ref { return ref{"#/components/" + kind + "/" + name} }

// describe makes the document, and fails where the table names what is not there.
func describe() ([]byte, error) {
	d := document{
		OpenAPI: "3.1.0",
		Info: info{
			Title: "Tidings", Version: "1", Description: about,
			License: map[string]string{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		Tags: []tag{
			{"publish", "Append to this node's own chain."},
			{"read", "What is applied here."},
			{"follow", "What is new since a cursor."},
			{"operate", "The mesh, and this node."},
		},
		Paths: map[string]map[string]*operation{},
	}
	if err := json.Unmarshal(components, &d.Components); err != nil {
		return nil, fmt.Errorf("components.json: %w", err)
	}
	codes := map[reply.Code]bool{reply.CodeMethodNotAllowed: true} // of all paths, by about
	for i := range calls {
		c := &calls[i]
		if d.Paths[c.path] == nil {
			d.Paths[c.path] = map[string]*operation{}
		}
		d.Paths[c.path][c.method] = c.operation()
		for _, code := range c.problems {
			codes[code] = true
		}
	}
	d.Components["schemas"]["Code"] = map[string]any{"type": "string", "enum": sorted(codes), "description": "What is wrong, for programs."}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(&d); err != nil {
		return nil, err
	}
	return b.Bytes(), dangling(b.Bytes(), d.Components)
}

func sorted(codes map[reply.Code]bool) []reply.Code {
	var all []reply.Code
	for code := range codes {
		all = append(all, code)
	}
	slices.Sort(all)
	return all
}

func (c *call) operation() *operation {
	o := &operation{Tags: []string{c.tag}, Summary: c.summary, Description: c.text, ID: c.id, Responses: map[string]*response{}}
	for _, name := range c.parameters {
		o.Parameters = append(o.Parameters, to("parameters", name))
	}
	if len(c.bodies) > 0 {
		o.RequestBody = &body{Required: true, Content: contents(c.bodies)}
	}
	for _, a := range c.answers {
		o.Responses[strconv.Itoa(a.status)] = &response{a.text, headers(a.headers...), contents(a.media)}
	}
	byStatus := map[int][]reply.Code{}
	for _, code := range c.problems {
		for _, status := range c.statuses(code) {
			byStatus[status] = append(byStatus[status], code)
		}
	}
	for status, codes := range byStatus {
		slices.Sort(codes)
		p := problem{ref: to("schemas", "Problem")}
		p.Properties.Code.Enum = codes
		r := &response{problemText(status, codes), headers(), map[string]content{typeProblem: {p}}}
		if slices.ContainsFunc(codes, reply.Code.Later) {
			r.Headers["Retry-After"] = to("headers", "Retry-After")
		}
		o.Responses[strconv.Itoa(status)] = r
	}
	return o
}

// statuses are those that a call answers a code with: too_large has one for
// URLs, which all have, and another for bodies.
func (c *call) statuses(code reply.Code) []int {
	switch {
	case code != reply.CodeTooLarge:
		return []int{code.Status()}
	case len(c.bodies) > 0:
		return []int{code.Status(), http.StatusRequestURITooLong}
	}
	return []int{http.StatusRequestURITooLong}
}

func problemText(status int, codes []reply.Code) string {
	names := make([]string, len(codes))
	for i, code := range codes {
		names[i] = string(code)
	}
	return http.StatusText(status) + ": " + strings.Join(names, ", ") + "."
}

// headers are those of every answer, and more.
func headers(more ...string) map[string]any {
	h := map[string]any{}
	for _, name := range append([]string{"Tidings-Node", "Tidings-Converged"}, more...) {
		h[name] = to("headers", name)
	}
	return h
}

func contents(all []media) map[string]content {
	out := map[string]content{}
	for _, m := range all {
		names := strings.Split(m.schema, "|")
		if len(names) == 1 {
			out[m.kind] = content{to("schemas", names[0])}
			continue
		}
		var one oneOf
		for _, name := range names {
			one.OneOf = append(one.OneOf, to("schemas", name))
		}
		out[m.kind] = content{one}
	}
	return out
}

// dangling names the references that lead nowhere, and the components to which
// none leads.
func dangling(text []byte, components map[string]map[string]any) error {
	var wrong []string
	for _, after := range strings.Split(string(text), `"$ref": "`)[1:] {
		path, _, _ := strings.Cut(after, `"`)
		kind, name, _ := strings.Cut(strings.TrimPrefix(path, "#/components/"), "/")
		if _, ok := components[kind][name]; !ok {
			wrong = append(wrong, path+" is not there")
		}
	}
	for kind, all := range components {
		for name := range all {
			if path := "#/components/" + kind + "/" + name; !bytes.Contains(text, []byte(`"`+path+`"`)) {
				wrong = append(wrong, path+" is not used")
			}
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.Sort(wrong)
	return fmt.Errorf("components.json: %s", strings.Join(slices.Compact(wrong), "; "))
}
