package harness

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestPictureShowsWhatWasMeasured(t *testing.T) {
	out := string(draw([]Result{
		{Peer: "tidings", Phase: PhaseLatency, N: 3, Rate: 100, Synced: true, Published: 1, Complete: 1, P50ms: 0.66, P99ms: 1.32},
		{Peer: "tidings", Phase: PhaseThroughput, N: 3, Window: 16, Synced: true, Published: 1, Complete: 1, PerSec: 41_200},
		{Peer: "tidings", Phase: PhaseThroughput, N: 3, Window: 256, Synced: true, Published: 1, Complete: 1, PerSec: 60_700},
		{Peer: "lossy", Phase: PhaseLatency, N: 3, Rate: 100, Published: 1, Complete: 0.55, P50ms: 7844, P99ms: 12_670},
		{Peer: "lossy", Phase: PhaseThroughput, N: 3, Window: 16, Failure: "no mesh"},
	}))
	for _, want := range []string{"3 nodes", ">tidings<", "0.66 – 1.3", "60.7k", "55.00 % arrive", ">failed<", "prefers-color-scheme: dark"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in the picture", want)
		}
	}
	if strings.Contains(out, "41.2k") {
		t.Error("of two windows the worse one is shown, too")
	}
	if strings.Index(out, ">tidings<") > strings.Index(out, ">lossy<") {
		t.Error("what is synced does not stand first")
	}
	for d := xml.NewDecoder(strings.NewReader(out)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
