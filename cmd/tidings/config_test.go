package main

import (
	"bytes"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidings-mesh/tidings/node"
)

func parseFor(t *testing.T, env map[string]string, args ...string) (*cli, error) {
	t.Helper()
	var out, err bytes.Buffer
	grammar := &cli{}
	_, failed := parse(grammar, &process{
		in: strings.NewReader(""), out: &out, err: &err,
		getenv: func(name string) string { return env[name] },
	}, args)
	return grammar, failed
}

func TestFlagOverEnvironmentOverFileOverDefault(t *testing.T) {
	file := writeFile(t, "tidings.toml", "timeout = \"3s\"\nzone = \"from-file\"\n")
	withTimeout := map[string]string{"TIDINGS_TIMEOUT": "2s"}
	cases := []struct {
		name string
		env  map[string]string
		args []string
		want time.Duration
	}{
		{"default", nil, nil, 10 * time.Second},
		{"file", nil, []string{"--config", file}, 3 * time.Second},
		{"environment", withTimeout, nil, 2 * time.Second},
		{"environment over file", withTimeout, []string{"--config", file}, 2 * time.Second},
		{"flag over all", withTimeout, []string{"--config", file, "--timeout", "1s"}, time.Second},
		{"empty variable counts as unset", map[string]string{"TIDINGS_TIMEOUT": ""}, []string{"--config", file}, 3 * time.Second},
		{"file named by the environment", map[string]string{"TIDINGS_CONFIG": file}, nil, 3 * time.Second},
		{"zero", nil, []string{"--timeout", "0"}, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseFor(t, c.env, append([]string{"lag"}, c.args...)...)
			if err != nil {
				t.Fatal(err)
			}
			if got.Lag.Timeout != c.want {
				t.Errorf("timeout %s, want %s", got.Lag.Timeout, c.want)
			}
		})
	}
}

func TestListFlags(t *testing.T) {
	want := []string{"a:1", "b:2", "c:3"}
	list := writeFile(t, "list.toml", `join = ["a:1", "b:2", "c:3"]`)
	text := writeFile(t, "text.toml", `join = "a:1,b:2,c:3"`)
	cases := []struct {
		name string
		env  map[string]string
		args []string
	}{
		{"repeated", nil, []string{"--join", "a:1", "--join", "b:2", "--join", "c:3"}},
		{"commas", nil, []string{"--join", "a:1,b:2,c:3"}},
		{"both", nil, []string{"--join", "a:1,b:2", "--join=c:3"}},
		{"environment", map[string]string{"TIDINGS_JOIN": "a:1,b:2,c:3"}, nil},
		{"array in the file", nil, []string{"--config", list}},
		{"commas in the file", nil, []string{"--config", text}},
		{"flag replaces the file's", map[string]string{"TIDINGS_JOIN": "z:9"}, []string{"--config", list, "--join", "a:1,b:2,c:3"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseFor(t, c.env, append([]string{"agent"}, c.args...)...)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.Agent.Join, want) {
				t.Errorf("join %v, want %v", got.Agent.Join, want)
			}
		})
	}
}

func TestConfigValues(t *testing.T) {
	file := writeFile(t, "agent.toml", `
name = "wh-1"
authority = "warehouse"
data-dir = "/var/lib/tidings"
insecure-http = true
recover-wait = "0"
output = "json"
endpoints = ["http://127.0.0.1:1"]
limit = 7
`)
	got, err := parseFor(t, nil, "agent", "--config", file)
	if err != nil {
		t.Fatal(err)
	}
	a := got.Agent
	if a.Name != "wh-1" || a.Authority != "warehouse" || a.DataDir != "/var/lib/tidings" || !a.InsecureHTTP ||
		a.RecoverWait != 0 || got.Output != "json" {
		t.Errorf("got %+v, output %s", a, got.Output)
	}
	if got, err = parseFor(t, nil, "lag", "--config", writeFile(t, "zero.toml", "timeout = 0\n")); err != nil || got.Lag.Timeout != 0 {
		t.Errorf("timeout %s, %v", got.Lag.Timeout, err)
	}
	// Empty says none where that is a value: for a list, and for a prefix.
	if got, err = parseFor(t, nil, "agent", "--config", writeFile(t, "none.toml", "join = []\n")); err != nil || len(got.Agent.Join) != 0 {
		t.Errorf("join %v, %v", got.Agent.Join, err)
	}
	if got, err = parseFor(t, map[string]string{"TIDINGS_DATA_DIR": ""}, "watch", "--prefix", ""); err != nil || got.Watch.Prefix != "" {
		t.Errorf("prefix %q, %v", got.Watch.Prefix, err)
	}
	// A number is one for a flag that takes one, and the file serves all
	// commands.
	if got, err = parseFor(t, nil, "ls", "--config", file); err != nil || got.Ls.Limit != 7 {
		t.Errorf("limit %d, %v", got.Ls.Limit, err)
	}
}

func TestExpectationsOfAFile(t *testing.T) {
	file := writeFile(t, "agent.toml", `
zone = "eu-1"
[[expect]]
prefix = "order/"
authorities = ["warehouse", "fleet"]
within = "30s"

[[expect]]
prefix = ""
authorities = "audit,billing"
[[expect]]
prefix = "order/export/"
authorities = ["fleet"]
within = 0
`)
	got, err := parseFor(t, nil, "agent", "--config", file)
	if err != nil {
		t.Fatal(err)
	}
	want := node.Expectations{
		{Prefix: "order/", Authorities: []string{"warehouse", "fleet"}, Within: 30 * time.Second},
		{Authorities: []string{"audit", "billing"}},
		{Prefix: "order/export/", Authorities: []string{"fleet"}},
	}
	if !reflect.DeepEqual(got.Agent.Expect, want) || got.Agent.Zone != "eu-1" {
		t.Errorf("got %+v, zone %q; want %+v", got.Agent.Expect, got.Agent.Zone, want)
	}
	// The file serves all commands, and does not stand for the flag of get.
	if got, err = parseFor(t, nil, "get", "s", "--config", file); err != nil || got.Get.Expect {
		t.Errorf("get: %v, %v", got.Get.Expect, err)
	}
	if got, err = parseFor(t, nil, "get", "s", "--expect", "--config", file); err != nil || !got.Get.Expect {
		t.Errorf("get --expect: %v, %v", got.Get.Expect, err)
	}
	if got, err = parseFor(t, nil, "agent", "--config", writeFile(t, "none.toml", "expect = []\n")); err != nil || got.Agent.Expect != nil {
		t.Errorf("none: %v, %v", got.Agent.Expect, err)
	}
}

func TestWrongUsage(t *testing.T) {
	config := func(text string) string { return writeFile(t, "bad.toml", text) }
	expect := func(text string) string {
		return config("[[expect]]\nprefix = \"order/\"\nauthorities = \"fleet\"\n[[expect]]\n" + text)
	}
	cases := []struct {
		name string
		env  map[string]string
		args []string
		says string
	}{
		{"no command", nil, nil, "expected one of"},
		{"unknown command", nil, []string{"frobnicate"}, "frobnicate"},
		{"unknown flag", nil, []string{"lag", "--frobnicate"}, "--frobnicate"},
		{"flag of another command", nil, []string{"lag", "--join", "a:1"}, "--join"},
		{"too many arguments", nil, []string{"get", "a", "b"}, "b"},
		{"too few arguments", nil, []string{"get"}, "subject"},
		{"empty subject", nil, []string{"get", ""}, "subject"},
		{"bad duration", nil, []string{"lag", "--timeout", "5"}, "--timeout"},
		{"negative duration", nil, []string{"lag", "--timeout=-5s"}, "--timeout"},
		{"bad duration from the environment", map[string]string{"TIDINGS_TIMEOUT": "soon"}, []string{"lag"}, "--timeout"},
		{"bad output", nil, []string{"lag", "-o", "xml"}, "--output"},
		{"svg elsewhere", nil, []string{"lag", "-o", "svg"}, "svg"},
		{"unknown key", nil, []string{"lag", "--config", config("data_dir = \"x\"\n")}, `unknown key "data_dir"`},
		{"table", nil, []string{"lag", "--config", config("[agent]\nname = \"x\"\n")}, `unknown key "agent"`},
		{"table for a flag", nil, []string{"lag", "--config", config("[timeout]\nx = 1\n")}, `"timeout"`},
		{"list for a flag that takes one", nil, []string{"lag", "--config", config("timeout = [\"1s\"]\n")}, `"timeout"`},
		{"number for a text", nil, []string{"agent", "--config", config("name = 5\n")}, `"name": want a string`},
		{"truth for a text", nil, []string{"agent", "--config", config("data-dir = true\n")}, `"data-dir": want a string`},
		{"text for a number", nil, []string{"ls", "--config", config("limit = \"1\"\n")}, `"limit": want a whole number`},
		{"fraction for a number", nil, []string{"ls", "--config", config("limit = 1.0\n")}, `"limit": want a whole number`},
		{"text for a truth", nil, []string{"agent", "--config", config("insecure-http = \"yes\"\n")}, `"insecure-http": want true or false`},
		{"number for a truth", nil, []string{"check", "--config", config("converged = 1\n")}, `"converged": want true or false`},
		{"number for a duration", nil, []string{"lag", "--config", config("timeout = 5\n")}, `"timeout": want a duration`},
		{"time for a text", nil, []string{"agent", "--config", config("zone = 2026-01-02\n")}, `"zone": want a string`},
		{"number in a list", nil, []string{"agent", "--config", config("join = [\"a:1\", 2]\n")}, `"join": want a string, or an array`},
		{"number for a list", nil, []string{"agent", "--config", config("join = 1\n")}, `"join": want a string, or an array`},
		{"wrong type for another command", nil, []string{"version", "--config", config("limit = \"1\"\n")}, `"limit": want a whole number`},
		{"wrong type behind the command line", nil, []string{"ls", "--limit", "1", "--config", config("limit = true\n")}, `"limit": want a whole number`},
		{"expectations of no table", nil, []string{"lag", "--config", config("expect = true\n")}, `key "expect": want [[expect]] tables`},
		{"expectations of one table", nil, []string{"lag", "--config", config("[expect]\nprefix = \"a\"\n")}, `key "expect": want [[expect]] tables`},
		{"expectation that is no table", nil, []string{"lag", "--config", config("expect = [1]\n")}, "expectation 1: want a table"},
		{"expectation with an unknown key", nil, []string{"version", "--config", expect("until = 1\n")}, `expectation 2: unknown key "until": want prefix, authorities or within`},
		{"expectation without a prefix", nil, []string{"agent", "--config", config("[[expect]]\nauthorities = \"a\"\n")}, `expectation 1: key "prefix" is missing`},
		{"expectation with a bad prefix", nil, []string{"agent", "--config", expect("prefix = \"a//b\"\nauthorities = \"a\"\n")}, `expectation 2: prefix "a//b": `},
		{"expectation with a number for a prefix", nil, []string{"agent", "--config", expect("prefix = 1\n")}, `expectation 2: key "prefix": want a string`},
		{"expectation of nobody", nil, []string{"agent", "--config", expect("prefix = \"a\"\n")}, "expectation 2: it names no authorities"},
		{"expectation of a nameless one", nil, []string{"agent", "--config", expect("prefix = \"a\"\nauthorities = \"x,\"\n")}, `expectation 2: authority "": `},
		{"expectation of a number", nil, []string{"agent", "--config", expect("prefix = \"a\"\nauthorities = [1]\n")}, `expectation 2: key "authorities": want a string, or an array`},
		{"expectation of one twice", nil, []string{"agent", "--config", expect("prefix = \"order/\"\nauthorities = \"fleet\"\n")}, `expectation 2: authority "fleet" is named for the prefix "order/" by expectation 1`},
		{"expectation before now", nil, []string{"agent", "--config", expect("prefix = \"a\"\nauthorities = \"x\"\nwithin = \"-1s\"\n")}, "expectation 2: within -1s: negative"},
		{"expectation without a unit", nil, []string{"agent", "--config", expect("prefix = \"a\"\nwithin = 30\n")}, `expectation 2: key "within": want a duration`},
		{"config in a config", nil, []string{"lag", "--config", config("config = \"x\"\n")}, `unknown key "config"`},
		{"not TOML", nil, []string{"lag", "--config", config("a = 1\ntimeout\n")}, "line 2"},
		{"key twice", nil, []string{"lag", "--config", config("timeout = \"1s\"\ntimeout = \"2s\"\n")}, "line 2"},
		{"no such config", nil, []string{"lag", "--config", "/nowhere/at/all"}, "/nowhere/at/all"},
		{"bad endpoint", nil, []string{"lag", "--endpoints", "ftp://127.0.0.1"}, "ftp"},
		{"endpoint with a query", nil, []string{"lag", "--endpoints", "http://127.0.0.1/?a=b"}, "query"},
		{"no endpoint", nil, []string{"lag", "--endpoints", ","}, "--endpoints"},
		{"no token file", nil, []string{"lag", "--token-file", "/nowhere/at/all"}, "--token-file"},
		{"two tokens", nil, []string{"lag", "--token-file", writeFile(t, "token", "a\nb\n")}, "--token-file"},
		{"bad dep", nil, []string{"publish", "a", "{}", "--dep", "x"}, "--dep"},
		{"delta is not JSON", nil, []string{"publish", "a", "{"}, "delta: not JSON: unexpected end"},
		{"delta is too long", nil, []string{"publish", "a", "@" + writeFile(t, "delta", strings.Repeat(" ", maxDeltaFile+1))}, "delta: more than 4194304 bytes, and a node takes at most 65536"},
		{"subject is not UTF-8", nil, []string{"publish", "a\xff", "{}"}, `argument "a\xff" is not UTF-8`},
		{"flag is not UTF-8", nil, []string{"publish", "a", "{}", "--key=\xfe"}, `argument "--key=\xfe" is not UTF-8`},
		{"variable is not UTF-8", map[string]string{"TIDINGS_KEY": "\xfe"}, []string{"publish", "a", "{}"}, `TIDINGS_KEY: "\xfe" is not UTF-8`},
		{"no such delta file", nil, []string{"publish", "a", "@/nowhere/at/all"}, "/nowhere/at/all"},
		{"no delta", nil, []string{"publish", "a"}, "JSON"},
		{"no such ndjson", nil, []string{"publish", "--ndjson", "/nowhere/at/all"}, "/nowhere/at/all"},
		{"ndjson and subject", nil, []string{"publish", "a", "--ndjson", "-"}, "SUBJECT"},
		{"ack of none", nil, []string{"publish", "a", "{}", "--ack", "0"}, "--ack: want 1 to 64, got 0"},
		{"ack of none for a stream", nil, []string{"publish", "--ndjson", "-", "--ack", "0"}, "--ack: want 1 to 64, got 0"},
		{"ack of none from the environment", map[string]string{"TIDINGS_ACK": "0"}, []string{"publish", "a", "{}"}, "--ack: want 1 to 64, got 0"},
		{"ack of too many", nil, []string{"publish", "a", "{}", "--ack", "65"}, "--ack: want 1 to 64, got 65"},
		{"empty key", nil, []string{"publish", "a", "{}", "--key", ""}, "--key is empty"},
		{"empty data directory", nil, []string{"agent", "--data-dir", ""}, "--data-dir is empty"},
		{"empty data directory with a variable", map[string]string{"TIDINGS_DATA_DIR": "/x"}, []string{"agent", "--data-dir="}, "--data-dir is empty"},
		{"empty data directory in the file", nil, []string{"agent", "--config", config("data-dir = \"\"\n")}, "--data-dir is empty"},
		{"empty mesh key file", nil, []string{"agent", "--mesh-key-file", ""}, "--mesh-key-file is empty"},
		{"empty config", nil, []string{"lag", "--config", ""}, "--config is empty"},
		{"empty token file", nil, []string{"lag", "--token-file", ""}, "--token-file is empty"},
		{"empty join", nil, []string{"agent", "--join", ""}, "--join is empty"},
		{"empty dep", nil, []string{"publish", "a", "{}", "--dep", ""}, "--dep is empty"},
		{"negative ack", nil, []string{"publish", "a", "{}", "--ack=-1"}, "--ack"},
		{"subject and prefix", nil, []string{"watch", "a", "--prefix", "b"}, "--prefix"},
		{"negative interval", nil, []string{"watch", "--interval=-1s"}, "--interval"},
		{"cursor file nowhere", nil, []string{"watch", "--once", "--cursor-file", "/nowhere/at/all"}, "--cursor-file"},
		{"cursor file a directory", nil, []string{"watch", "--once", "--cursor-file", t.TempDir()}, "no regular file"},
		{"cursor file a device", nil, []string{"watch", "--once", "--cursor-file", os.DevNull}, "no regular file"},
		{"address file a device", nil, []string{"agent", "--addr-file", os.DevNull}, "no regular file"},
		{"address file nowhere", nil, []string{"agent", "--addr-file", "/nowhere/at/all"}, "--addr-file"},
		{"bad origin", nil, []string{"verify", "xyz"}, "origin"},
		{"negative limit", nil, []string{"ls", "--limit=-1"}, "--limit"},
		{"forget whom", nil, []string{"members", "forget"}, "name"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := callWith(t, "", c.env, c.args...)
			o.want(t, exitUsage, "", c.says)
			if o.out != "" {
				t.Errorf("standard output: %q", o.out)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"agent", "--help"}, {"members", "forget", "--help"}, {"publish", "-h"}} {
		o := call(t, args...)
		o.want(t, exitDone, "Usage: tidings", "")
		if o.err != "" {
			t.Errorf("%v: standard error: %q", args, o.err)
		}
	}
	call(t, "agent", "--help").want(t, exitDone, "$TIDINGS_DATA_DIR", "")
}
