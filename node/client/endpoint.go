package client

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// ParseEndpoint reads a URL, or host:port as `members` shows it, and returns the
// URL as a Client names it: without a "/" at its end. An error wraps ErrConfig.
func ParseEndpoint(s string) (string, error) {
	wrong := func(what string) (string, error) { return "", fmt.Errorf("%w: endpoint %q: %s", ErrConfig, s, what) }
	text := s
	if _, port, err := net.SplitHostPort(s); err == nil && port != "" && validPort(port) && !strings.Contains(s, "/") {
		text = "http://" + s
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return wrong("not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return wrong("want an http or https URL")
	case u.Hostname() == "":
		return wrong("no host")
	case !validPort(u.Port()):
		return wrong("want a port up to 65535")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return wrong("want no user, query or fragment")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// validPort takes no port too.
func validPort(port string) bool {
	_, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil
}

// parseEndpoints reads a list. Blank items and repeated ones are left out.
func parseEndpoints(list []string) ([]string, error) {
	var all []string
	seen := map[string]bool{}
	for _, s := range list {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		e, err := ParseEndpoint(s)
		if err != nil {
			return nil, err
		}
		if !seen[e] {
			seen[e] = true
			all = append(all, e)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: endpoints: want at least one URL", ErrConfig)
	}
	return all, nil
}
