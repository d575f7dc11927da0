package rules

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/tidings-mesh/tidings"

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath   string
	Imports      []string
	Deps         []string
	TestImports  []string
	XTestImports []string
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps,TestImports,XTestImports", module+"/...")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var pkgs []pkg
	for d := json.NewDecoder(out); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		pkgs = append(pkgs, p)
	}
	require.NoError(t, cmd.Wait())
	require.NotEmpty(t, pkgs)
	return pkgs
}

// below reports whether path is root or a package below it.
func below(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

// layers says what of this module each part may import, beside what is below
// itself. Imports point one way: cmd, node, {gossip, chain/store, node/api},
// chain.
var layers = []struct {
	part    string
	imports []string
}{
	{"chain/wire", nil},
	{"chain/ed25519table", nil},
	{"chain/store", []string{"chain"}},
	{"chain", []string{"chain/wire", "chain/ed25519table"}},
	{"gossip", []string{"chain", "chain/wire"}},
	{"node/api/reply", []string{"chain"}},
	{"node/room", nil},
	{"node/api", []string{"chain", "node/room"}},
	{"node/client", []string{"chain", "node/api/reply"}},
	{"node/core", []string{"chain", "gossip"}},
	{"node/dashboard", nil},
	{"node", []string{"chain", "chain/store", "gossip", "node/api", "node/core", "node/dashboard", "node/room"}},
	{"cmd", []string{"chain", "chain/store", "gossip", "node", "node/api", "node/api/reply", "node/client"}},
	{"test", []string{"chain", "chain/wire", "chain/store", "gossip", "node", "node/api", "node/api/reply", "node/client", "node/core"}},
}

// outside says which parts alone may import a library.
var outside = map[string][]string{
	"github.com/hashicorp/serf":       {"gossip"},
	"github.com/hashicorp/memberlist": {"gossip"},
	"github.com/cockroachdb/pebble":   {"chain/store"},
	"github.com/alecthomas/kong":      {"cmd/tidings"},
	"github.com/pelletier/go-toml":    {"cmd/tidings"},
	"filippo.io/edwards25519":         {"chain/ed25519table"}, // what is signed, is by crypto/ed25519
	"github.com/chromedp":             {},                     // tests of test/browser only
	"net/http":                        {"node", "cmd", "test"},
	// For tests alone.
	"github.com/getkin/kin-openapi":         {},
	"github.com/santhosh-tekuri/jsonschema": {},
}

// layerErrors is what is wrong with a package's imports.
func layerErrors(p pkg) []string {
	var wrong []string
	path := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
	i := slices.IndexFunc(layers, func(l struct {
		part    string
		imports []string
	},
	) bool {
		return below(path, l.part)
	})
	if i < 0 {
		return []string{p.ImportPath + " belongs to no layer"}
	}
	for _, imp := range p.Imports {
		if in, ok := strings.CutPrefix(imp, module+"/"); ok {
			allowed := below(in, layers[i].part) || slices.ContainsFunc(layers[i].imports, func(a string) bool { return in == a })
			if !allowed {
				wrong = append(wrong, p.ImportPath+" imports "+imp)
			}
		}
		for lib, parts := range outside {
			if below(imp, lib) && !slices.ContainsFunc(parts, func(a string) bool { return below(path, a) }) {
				wrong = append(wrong, p.ImportPath+" imports "+imp)
			}
		}
	}
	return wrong
}

func TestImportsPointOneWay(t *testing.T) {
	for _, p := range list(t) {
		require.Empty(t, layerErrors(p))
	}
}

// The core is pure: no clock, socket or file gets in, nor what goroutines that stay would need.
func TestCoreIsPure(t *testing.T) {
	for _, p := range list(t) {
		if !slices.Contains([]string{module + "/chain", module + "/chain/wire", module + "/chain/ed25519table", module + "/node/core", module + "/node/api/svg"}, p.ImportPath) {
			continue
		}
		for _, imp := range p.Imports {
			require.NotContains(t, []string{"os", "net", "net/http", "log", "log/slog", "math/rand", "math/rand/v2", "crypto/rand", "io/fs"}, imp,
				"%s imports %s", p.ImportPath, imp)
		}
	}
}

// What drives a browser is for the tests of the dashboard, and nothing else pays for it.
func TestBrowserIsForItsTests(t *testing.T) {
	drives := func(imports []string) bool {
		return slices.ContainsFunc(imports, func(i string) bool { return below(i, "github.com/chromedp") })
	}
	var found []string
	for _, p := range list(t) {
		require.False(t, drives(p.Deps), p.ImportPath)
		if drives(p.TestImports) || drives(p.XTestImports) {
			found = append(found, p.ImportPath)
		}
	}
	require.Equal(t, []string{module + "/test/browser"}, found)
}

// A consumer pays for the client alone: for chain, the arithmetic of the curve by
// which it verifies seals (of which the rest of chain imports nothing) and a
// library for pauses, not for a node, its store, its gossip or its metrics.
func TestConsumersPayForNoServer(t *testing.T) {
	allowed := []string{
		module + "/chain", module + "/chain/wire", module + "/chain/ed25519table", module + "/node/api/reply", "github.com/cenkalti/backoff/v5",
		"filippo.io/edwards25519", "filippo.io/edwards25519/field",
	}
	found := false
	for _, p := range list(t) {
		if p.ImportPath != module+"/node/client" {
			continue
		}
		found = true
		for _, dep := range p.Deps {
			if host, _, _ := strings.Cut(dep, "/"); strings.Contains(host, ".") {
				require.Contains(t, allowed, dep)
			}
		}
		require.Contains(t, p.Deps, module+"/chain")
	}
	require.True(t, found)
}

// The checks above find what they are meant to.
func TestLayerErrorsAreFound(t *testing.T) {
	for _, p := range []pkg{
		{ImportPath: module + "/chain", Imports: []string{module + "/gossip"}},
		{ImportPath: module + "/chain", Imports: []string{"filippo.io/edwards25519"}},
		{ImportPath: module + "/chain/ed25519table", Imports: []string{module + "/chain"}},
		{ImportPath: module + "/gossip", Imports: []string{module + "/chain/store"}},
		{ImportPath: module + "/node/api", Imports: []string{module + "/node"}},
		{ImportPath: module + "/node/api/reply", Imports: []string{module + "/node/api"}},
		{ImportPath: module + "/node/client", Imports: []string{module + "/node/api"}},
		{ImportPath: module + "/node", Imports: []string{"github.com/cockroachdb/pebble/v2"}},
		{ImportPath: module + "/node", Imports: []string{module + "/test/rules"}},
		{ImportPath: module + "/node/dashboard", Imports: []string{module + "/node/api"}},
		{ImportPath: module + "/test/browser", Imports: []string{"github.com/chromedp/chromedp"}},
		{ImportPath: module + "/chain/store", Imports: []string{"github.com/hashicorp/serf/serf"}},
		{ImportPath: module + "/node/api", Imports: []string{"github.com/getkin/kin-openapi/openapi3"}},
		{ImportPath: module + "/internal/x"},
	} {
		require.NotEmpty(t, layerErrors(p), p.ImportPath)
	}
	require.Empty(t, layerErrors(pkg{ImportPath: module + "/node", Imports: []string{module + "/chain", "net/http"}}))
}
