package node_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
	"github.com/tidings-mesh/tidings/node/api"
)

// What is not there is told once, by its name.
func TestNotFoundIsSaidOnce(t *testing.T) {
	n := open(t, node.Config{Name: "wh-1", Hub: gossip.NewHub()})
	id := publish(t, n, "order/1", `{"a":1}`)
	nobody := strings.Repeat("0", 26)
	for path, names := range map[string]string{
		"/v1/updates/" + id.Origin.String() + ".99": id.Origin.String() + ".99",
		"/v1/updates/" + nobody + ".1":              nobody + ".1",
		"/v1/updates/nonsense":                      "nonsense",
		"/v1/chains/" + nobody:                      nobody,
		"/v1/chains/nonsense":                       "nonsense",
		"/v1/subjects/order/2":                      "this subject",
		"/v1/history/order/2":                       "this subject",
		"/v1/mesh/members/nobody":                   `"nobody"`,
		"/v1/nothing":                               "no call at this path",
	} {
		method := "GET"
		if strings.HasPrefix(path, "/v1/mesh/members/") {
			method = "DELETE"
		}
		w := httptest.NewRecorder()
		n.Handler().ServeHTTP(w, httptest.NewRequest(method, path, nil))
		var p api.Problem
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p), path)
		require.Equal(t, api.CodeNotFound, p.Code, path)
		require.LessOrEqual(t, strings.Count(p.Detail, "not found"), 1, "%s: %s", path, p.Detail)
		require.Contains(t, p.Detail, names, path)
	}
}
