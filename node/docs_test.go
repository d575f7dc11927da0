package node

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every exported thing says what it is, and is used by an example that runs: a
// function or a method by one of its own name, or of its type's, the rest by any.
func TestEverythingIsShown(t *testing.T) {
	fset := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var files, tests []*ast.File
	for _, name := range names {
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		require.NoError(t, err)
		if strings.HasSuffix(name, "_test.go") {
			tests = append(tests, f)
		} else {
			files = append(files, f)
		}
	}
	pkg, err := doc.NewFromFiles(fset, files, "github.com/tidings-mesh/tidings/node")
	require.NoError(t, err)

	shown, used := map[string]bool{}, map[string]bool{}
	for _, e := range doc.Examples(tests...) {
		if e.Output == "" {
			continue // it is compiled, and not run
		}
		shown[e.Name] = true
		ast.Inspect(e.Code, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				used[id.Name] = true
			}
			return true
		})
	}
	var lacking []string
	want := func(ok bool, name, what string) {
		if !ok {
			lacking = append(lacking, name+" "+what)
		}
	}
	function := func(of string, f *doc.Func) {
		name := f.Name
		if of != "" {
			name = of + "_" + f.Name
		}
		if of == "UndeliveredError" {
			return // what errors.As and fmt call
		}
		want(f.Doc != "", name, "has no doc comment")
		want(shown[name] || of != "Node" && shown[of] && used[f.Name], name, "has no example that runs")
	}
	for _, f := range pkg.Funcs {
		function("", f)
	}
	for _, typ := range pkg.Types {
		want(typ.Doc != "", typ.Name, "has no doc comment")
		for _, f := range typ.Funcs {
			function("", f)
		}
		for _, m := range typ.Methods {
			function(typ.Name, m)
		}
		want(used[typ.Name] || anyMade(typ, used) || isFunc(typ), typ.Name, "is in no example that runs")
	}
	for _, v := range pkg.Vars {
		for _, name := range v.Names {
			want(used[name], name, "is in no example that runs")
		}
	}
	require.NotEmpty(t, pkg.Types)
	require.Empty(t, lacking)
}

// isFunc reports whether a type is one of functions: nobody has to name it.
func isFunc(typ *doc.Type) bool {
	spec, ok := typ.Decl.Specs[0].(*ast.TypeSpec)
	if !ok {
		return false
	}
	_, ok = spec.Type.(*ast.FuncType)
	return ok
}

// anyMade reports whether something that makes values of the type, or a method of
// it, is used.
func anyMade(typ *doc.Type, used map[string]bool) bool {
	for _, f := range append(typ.Funcs, typ.Methods...) {
		if used[f.Name] {
			return true
		}
	}
	return false
}
