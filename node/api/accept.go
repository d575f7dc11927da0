package api

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// negotiate picks the type of the answer: the one of offers that the Accept
// headers like best, the first of equals (RFC 9110, 12.5.1). Empty ones are as
// good as none.
func negotiate(r *http.Request, offers ...string) (string, error) {
	lines := r.Header["Accept"]
	if len(lines) == 0 || (len(lines) == 1 && (lines[0] == "*/*" || lines[0] == offers[0])) {
		return offers[0], nil
	}
	text := strings.Join(lines, ",")
	if strings.Trim(text, ", \t") == "" {
		return offers[0], nil
	}
	ranges := strings.Split(text, ",")
	best, bestQ := "", 0.0
	for _, offer := range offers {
		if q := quality(ranges, offer); q > bestQ {
			best, bestQ = offer, q
		}
	}
	if best == "" {
		return "", newProblem(CodeNotAcceptable, "", "this path answers "+strings.Join(offers, " or "))
	}
	return best, nil
}

// quality is the weight that the most specific of the media ranges gives to a
// type, 0 if none takes it.
func quality(ranges []string, offer string) float64 {
	kind, _, _ := strings.Cut(offer, "/")
	specific, q := -1, 0.0
	for _, text := range ranges {
		name, params, _ := strings.Cut(text, ";")
		var how int
		switch name = strings.ToLower(strings.TrimSpace(name)); name {
		case offer:
			how = 2
		case kind + "/*":
			how = 1
		case "*/*":
			how = 0
		default:
			continue
		}
		if how > specific {
			specific, q = how, weight(params)
		}
	}
	return q
}

func weight(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if strings.EqualFold(name, "q") {
			q, err := strconv.ParseFloat(value, 64)
			if err != nil || !(q >= 0 && q <= 1) {
				return 0
			}
			return q
		}
	}
	return 1
}

// contentType returns the media type of a body, application/json where none is
// named. A body in another charset or encoding is refused.
func contentType(r *http.Request, takes ...string) (string, error) {
	refuse := newProblem(CodeUnsupportedMediaType, "Content-Type", "this path takes "+strings.Join(takes, " or "))
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return "", newProblem(CodeUnsupportedMediaType, "Content-Encoding", "bodies are taken without an encoding")
	}
	given := r.Header["Content-Type"]
	switch {
	case len(given) == 0 || given[0] == "":
		return typeJSON, nil
	case len(given) > 1:
		return "", refuse
	}
	name := given[0]
	if name != typeJSON {
		media, params, err := mime.ParseMediaType(name)
		if err != nil {
			return "", refuse
		}
		if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
			return "", refuse
		}
		name = media
	}
	for _, t := range takes {
		if name == t {
			return t, nil
		}
	}
	return "", refuse
}

// noneMatch reports whether an If-None-Match header names the tag, by the weak
// comparison of RFC 9110, 13.1.2. There has to be something for "*" to match.
// What is malformed matches nothing.
func noneMatch(lines []string, tag string) bool {
	for _, line := range lines {
		for {
			line = strings.TrimLeft(line, " \t,")
			if line == "" {
				break
			}
			if line[0] == '*' {
				return true
			}
			line = strings.TrimPrefix(line, "W/")
			if line == "" || line[0] != '"' {
				break
			}
			end := strings.IndexByte(line[1:], '"')
			if end < 0 {
				break
			}
			if line[1:end+1] == tag {
				return true
			}
			line = line[end+2:]
		}
	}
	return false
}
