package main

import "testing"

func TestAgentFlagsAreChecked(t *testing.T) {
	key := writeFile(t, "mesh.key", "x")
	cases := []struct {
		args []string
		says string // "" for flags that are right
	}{
		{nil, ""},
		{[]string{"--bind", "localhost:0", "--http", "[::1]:0"}, ""},
		{[]string{"--bind", "127.8.9.10:7946"}, ""},
		{[]string{"--bind", "0.0.0.0:7946"}, "needs --mesh-key-file"},
		{[]string{"--bind", ":7946"}, "needs --mesh-key-file"},
		{[]string{"--bind", "[::]:7946"}, "needs --mesh-key-file"},
		{[]string{"--bind", "10.1.2.3:7946"}, "needs --mesh-key-file"},
		{[]string{"--bind", "example.com:7946"}, "needs --mesh-key-file"},
		{[]string{"--bind", "0.0.0.0:7946", "--mesh-key-file", key}, ""},
		{[]string{"--http", "0.0.0.0:7980"}, "--insecure-http"},
		{[]string{"--http", ":7980", "--mesh-key-file", key}, "--insecure-http"},
		{[]string{"--http", ":7980", "--insecure-http"}, ""},
		{[]string{"--bind", "7946"}, "--bind"},
		{[]string{"--bind", "127.0.0.1:65536"}, "--bind"},
		{[]string{"--bind", "127.0.0.1:http"}, "--bind"},
		{[]string{"--http", "http://127.0.0.1:7980"}, "--http"},
		{[]string{"--join", "10.1.2.3:7946,wh-2:7946"}, ""},
		{[]string{"--join", "10.1.2.3"}, "--join"},
		{[]string{"--join", ":7946"}, "--join"},
		{[]string{"--join", "10.1.2.3:0"}, "--join"},
		{[]string{"--advertise", "wh-1:7946"}, ""},
		{[]string{"--advertise", ":7946"}, "--advertise"},
		{[]string{"--advertise", "wh-1:0"}, "--advertise"},
		{[]string{"--name", " x"}, "--name"},
		{[]string{"--authority", "a\nb"}, "--authority"},
		{[]string{"--zone", "a\x00"}, "--zone"},
		{[]string{"--recover-wait=-1s"}, "--recover-wait"},
		{[]string{"--max-waiters", "7"}, ""},
		{[]string{"--max-waiters=-1"}, "--max-waiters"},
	}
	for _, c := range cases {
		grammar, err := parseFor(t, nil, append([]string{"agent"}, c.args...)...)
		if err != nil {
			t.Fatalf("%v: %v", c.args, err)
		}
		err = grammar.Agent.check()
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%v: %v", c.args, err)
		case c.says != "":
			(outcome{exitStatus(err), "", describe(err)}).want(t, exitUsage, "", c.says)
		}
	}
	if _, err := parseFor(t, nil, "agent", "--log-level", "loud"); exitStatus(err) != exitUsage {
		t.Errorf("log level: %v", err)
	}
}
