package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/tidings-mesh/tidings/chain"
)

// madeChain is a chain as a node gives it, page by page.
type madeChain struct {
	origin  chain.Origin
	updates []map[string]any
	seals   []map[string]any
	head    int
	key     ed25519.PublicKey
	named   string // the authority that the page names
	most    int    // updates that a page holds
	ended   map[string]any
}

// end ends the chain after n updates: what follows is told as evidence only.
func (m *madeChain) end(n int) {
	var links []any
	for _, u := range m.updates[n:] {
		body := sha256.Sum256(u["delta"].(json.RawMessage))
		links = append(links, map[string]any{"header": u["header"], "body_hash": hex.EncodeToString(body[:])})
	}
	m.ended = map[string]any{
		"frozen":   map[string]any{"after": n, "reason": "fork", "detail": "seq was signed twice"},
		"evidence": map[string]any{"links": links, "seal": m.seals[len(m.seals)-1]},
	}
	m.updates, m.head = m.updates[:n], n
	m.seals = m.seals[:n/2]
}

// makeChain makes a chain of a genesis and n updates, sealed at every second
// one and at its end.
func makeChain(t *testing.T, n int) *madeChain {
	t.Helper()
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	public := private.Public().(ed25519.PublicKey)
	m := &madeChain{origin: chain.OriginOf(public), head: n + 1, key: public, named: "warehouse", most: 3}
	tail := &chain.Tail{Head: chain.Head{Origin: m.origin}}
	genesis := &chain.Genesis{Key: public, Node: "wh-1", Authority: "warehouse"}
	other := chain.OriginOf(bytes.Repeat([]byte{9}, ed25519.PublicKeySize))
	for seq := 1; seq <= n+1; seq++ {
		u := &chain.Update{Kind: chain.KindGenesis, HLC: chain.HLCOf(int64(seq) * 1000), Delta: genesis.AppendBody(nil)}
		if seq > 1 {
			u.Kind, u.Subject, u.Delta = chain.KindStatus, fmt.Sprintf("order/%d", seq), fmt.Appendf(nil, `{"n":%d,"h":"<&>"}`, seq)
			u.Deps = []chain.ID{{Origin: other, Seq: chain.Seq(seq)}}
		}
		if seq == 3 {
			u.Cause, u.Hook, u.Depth = u.Deps[0], "refund", 1
		}
		entry := tail.Extend(u)
		j := map[string]any{
			"id": u.ID.String(), "hlc": u.HLC.String(), "time": u.HLC.Time().Format("2006-01-02T15:04:05.000Z"),
			"prev": u.Prev.String(), "hash": u.Hash.String(), "header": base64.StdEncoding.EncodeToString(entry.Header),
			"authority": "warehouse",
		}
		if seq == 1 {
			j["kind"], j["body"] = "genesis", base64.StdEncoding.EncodeToString(entry.Body)
		} else {
			j["subject"], j["delta"], j["deps"] = u.Subject, json.RawMessage(u.Delta), []string{u.Deps[0].String()}
		}
		if seq == 3 {
			j["cause"], j["hook"] = u.Cause.String(), u.Hook
		}
		m.updates = append(m.updates, j)
		if seq%2 == 0 || seq == n+1 {
			signature := chain.Sign(private, tail.Head)
			m.seals = append(m.seals, map[string]any{"seq": seq, "signature": base64.StdEncoding.EncodeToString(signature[:])})
		}
	}
	return m
}

func (m *madeChain) evidence() map[string]any { return m.ended["evidence"].(map[string]any) }

func (m *madeChain) link() map[string]any { return m.evidence()["links"].([]any)[0].(map[string]any) }

// serve answers for a page of the chain, and for a mesh that has it.
func (m *madeChain) serve(w http.ResponseWriter, r *http.Request, _ []byte) {
	var answer map[string]any
	if r.URL.Path == "/v1/mesh" {
		answer = map[string]any{"chains": []any{map[string]any{"origin": m.origin}}}
	} else {
		from, err := strconv.Atoi(r.URL.Query().Get("from"))
		if err != nil || r.URL.Path != "/v1/chains/"+m.origin.String() {
			refuses(404, "not_found")(w, r, nil)
			return
		}
		end := min(from-1+m.most, len(m.updates))
		answer = map[string]any{
			"origin": m.origin, "authority": m.named, "node": "wh-1", "public_key": base64.StdEncoding.EncodeToString(m.key),
			"updates": m.updates[min(from-1, end):end], "seals": m.seals, "head": m.head,
		}
		maps.Copy(answer, m.ended)
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(answer)
}

func TestVerify(t *testing.T) {
	m := makeChain(t, 6)
	f := newFake(t, m.serve)
	call(t, "verify", "--endpoints", f.server.URL).want(t, exitDone, "warehouse  wh-1  7         4      ok", "")
	call(t, "verify", m.origin.String(), "-o", "json", "--endpoints", f.server.URL).
		want(t, exitDone, `"verified":7,"seals":4,"ok":true}`, "")
	call(t, "verify", strings.Repeat("0", 26), "--endpoints", f.server.URL).want(t, exitNotFound, "", "not_found")
}

// What is good of a run that ends in something else has no signature but the
// run's own.
func TestVerifyOfAFrozenChain(t *testing.T) {
	m := makeChain(t, 6)
	m.end(5)
	f := newFake(t, m.serve)
	call(t, "verify", "--endpoints", f.server.URL).
		want(t, exitDone, "warehouse  wh-1  5         3      ok, and frozen after seq 5 (fork: seq was signed twice)", "")
	call(t, "verify", m.origin.String(), "-o", "json", "--endpoints", f.server.URL).
		want(t, exitDone, `"verified":5,"seals":3,"ok":true,"frozen":{"after":5,"reason":"fork","detail":"seq was signed twice"}}`, "")
}

func TestVerifyFindsEveryForgery(t *testing.T) {
	stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize))
	set := func(at int, field string, value any) func(*madeChain) {
		return func(m *madeChain) { m.updates[at][field] = value }
	}
	cases := []struct {
		name  string
		forge func(*madeChain)
		says  string
	}{
		{"delta", set(2, "delta", json.RawMessage(`{"n":33,"h":"<&>"}`)), "hash is"},
		{"delta and hash", func(m *madeChain) {
			u := m.updates[6]
			header, _ := base64.StdEncoding.DecodeString(u["header"].(string))
			prev, _ := chain.ParseHash(u["prev"].(string))
			u["delta"] = json.RawMessage(`{"n":33}`)
			u["hash"] = chain.HashUpdate(prev, header, []byte(`{"n":33}`)).String()
		}, "bad signature"},
		{"hash", set(3, "hash", strings.Repeat("0", 64)), "hash is"},
		{"prev", set(3, "prev", strings.Repeat("0", 64)), "prev is"},
		{"header", set(3, "header", "AAAA"), "hash is"},
		{"header is not base64", set(3, "header", "?"), "header"},
		{"subject", set(4, "subject", "order/55"), `subject is given as "order/55"`},
		{"authority of one", set(4, "authority", "payments"), "authority is given as"},
		{"hlc", set(4, "hlc", "0000000000000001"), "hlc is given as"},
		{"time", set(4, "time", "2026-01-01T00:00:00.000Z"), "time is given as"},
		{"deps", set(4, "deps", []string{}), "deps are given as"},
		{"cause", set(2, "cause", ""), "cause is given as"},
		{"hook", set(2, "hook", "other"), "hook is given as"},
		{"id", set(4, "id", "x.1"), "want"},
		{"kind", set(0, "kind", "status"), "kind is given as"},
		{"genesis", set(0, "body", "AAAA"), "hash is"},
		{"left out", func(m *madeChain) { m.updates = append(m.updates[:3], m.updates[4:]...) }, "want"},
		{"cut short", func(m *madeChain) { m.updates = m.updates[:5] }, "up to 7 and gave them up to 5"},
		{"head hidden", func(m *madeChain) { m.updates, m.head = m.updates[:5], 5 }, "updates after 4 have no signature"},
		{"no seals", func(m *madeChain) { m.seals = nil }, "no signature"},
		{"wrong seal", func(m *madeChain) { m.seals[1]["signature"] = m.seals[0]["signature"] }, "bad signature"},
		{"not a seal", func(m *madeChain) { m.seals[1]["signature"] = "AAAA" }, "not a signature"},
		{"key", func(m *madeChain) { m.key = stranger.Public().(ed25519.PublicKey) }, "public_key"},
		{"authority", func(m *madeChain) { m.named = "payments" }, "its genesis says"},
		{"cut short, with evidence", func(m *madeChain) { m.end(5); m.updates, m.head = m.updates[:3], 3 }, "bad signature"},
		{"evidence of another end", func(m *madeChain) { m.end(5); m.evidence()["links"] = nil }, "bad signature"},
		{"evidence is not a header", func(m *madeChain) { m.end(5); m.link()["header"] = "?" }, "header"},
		{"evidence is not a hash", func(m *madeChain) { m.end(5); m.link()["body_hash"] = "?" }, "body_hash"},
		{"evidence without a seal", func(m *madeChain) { m.end(5); delete(m.evidence(), "seal") }, "not a signature"},
		{"frozen without evidence", func(m *madeChain) { m.end(5); delete(m.ended, "evidence") }, "updates after 4 have no signature"},
		{"nothing", func(m *madeChain) { m.updates, m.head = nil, 0 }, "no updates"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := makeChain(t, 6)
			c.forge(m)
			o := call(t, "verify", "--endpoints", newFake(t, m.serve).server.URL)
			o.want(t, exitFailed, "BAD: ", "")
			o.want(t, exitFailed, c.says, "")
		})
	}
}
