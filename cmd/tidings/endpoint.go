package main

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"unicode"
)

// endpoint is the root of one node's HTTP interface, without a "/" at its end.
type endpoint string

// parseEndpoint reads a URL, or host:port as --addr-file and `members` show it.
func parseEndpoint(s string) (endpoint, error) {
	text := s
	if _, port, err := net.SplitHostPort(s); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err == nil && !strings.Contains(s, "/") {
			text = "http://" + s
		}
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", usagef("endpoint %q: not a URL", s)
	case u.Scheme != "http" && u.Scheme != "https":
		return "", usagef("endpoint %q: want an http or https URL", s)
	case u.Hostname() == "":
		return "", usagef("endpoint %q: no host", s)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", usagef("endpoint %q: want no user, query or fragment", s)
	}
	return endpoint(strings.TrimRight(u.String(), "/")), nil
}

func parseEndpoints(list []string) ([]endpoint, error) {
	var all []endpoint
	for _, s := range list {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		e, err := parseEndpoint(s)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	if len(all) == 0 {
		return nil, usagef("--endpoints: want at least one URL")
	}
	return all, nil
}

// readToken reads a bearer token from a file, "" for no file.
func readToken(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", usagef("--token-file: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r > unicode.MaxASCII || r <= ' ' || r == 0x7f }) {
		return "", &usageError{fmt.Errorf("--token-file %s: want one token and nothing else", path)}
	}
	return token, nil
}
