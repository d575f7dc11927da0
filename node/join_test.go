package node

import (
	"net"
	"slices"
	"testing"
	"time"
)

func TestOthersToJoin(t *testing.T) {
	for _, c := range []struct {
		bind, advertise string
		join, want      []string
	}{
		{"127.0.0.1:7946", "", []string{"127.0.0.1:7946"}, nil},
		{"127.0.0.1:7946", "", []string{"localhost:7946", "[::ffff:127.0.0.1]:7946"}, nil},
		{"localhost:7946", "", []string{"127.0.0.1:7946", "127.0.0.2:7946"}, []string{"127.0.0.2:7946"}},
		{"127.0.0.1:7946", "", []string{"127.0.0.1:7947", "127.0.0.2:7946", "wh-1:7946"}, []string{"127.0.0.1:7947", "127.0.0.2:7946", "wh-1:7946"}},
		{"127.0.0.1:0", "", []string{"127.0.0.1:7946"}, []string{"127.0.0.1:7946"}},
		{"0.0.0.0:7946", "", []string{"127.0.0.1:7946", "10.0.0.1:7946"}, []string{"10.0.0.1:7946"}},
		{":7946", "10.0.0.1:7946", []string{"10.0.0.1:7946", "10.0.0.2:7946"}, []string{"10.0.0.2:7946"}},
		{"0.0.0.0:7000", "WH-1:7946", []string{"wh-1:7946", "wh-2:7946"}, []string{"wh-2:7946"}},
		{"[::1]:7946", "", []string{"[0:0::1]:7946", "127.0.0.1:7946"}, []string{"127.0.0.1:7946"}},
		{"10.0.0.1:7946", "", nil, nil},
	} {
		cfg := Config{Bind: c.bind, Advertise: c.advertise, Join: c.join}
		before := slices.Clone(c.join)
		if got := cfg.others(); !slices.Equal(got, c.want) {
			t.Errorf("bind %s, advertise %s, join %v: %v, want %v", c.bind, c.advertise, c.join, got, c.want)
		}
		if !slices.Equal(c.join, before) {
			t.Errorf("the caller's list was changed: %v", c.join)
		}
	}
}

// A node that is told to join itself alone is the first of a mesh, and waits
// for nobody.
func TestJoinsItselfAlone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	n, err := Open(t.Context(), Config{Name: "wh-1", Bind: own, Join: []string{own}, RecoverWait: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	select {
	case <-n.Ready():
	case <-time.After(10 * time.Second):
		t.Fatal("not ready after 10 s")
	}
	if !n.Converged() {
		t.Error("not converged")
	}
}
