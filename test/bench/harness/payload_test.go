package harness

import (
	"encoding/json"
	"testing"
)

func TestPayload(t *testing.T) {
	for _, size := range []int{0, minPayload, 25, 256, 4096} {
		for _, id := range []int64{0, 1, 255, 1 << 40} {
			p := NewPayload(size, id)
			if len(p) != max(size, minPayload) {
				t.Fatalf("size %d: %d bytes", size, len(p))
			}
			if got := payloadNumber(p); got != id {
				t.Fatalf("id %d: read back %d from %s", id, got, p)
			}
			var v struct{ P string }
			if err := json.Unmarshal(p, &v); err != nil || v.P == "" {
				t.Fatalf("%s: %v", p, err)
			}
		}
	}
	for _, other := range []string{"", "{}", `{"p":"no digits are in here, you see"}`} {
		if got := payloadNumber([]byte(other)); got != -1 {
			t.Fatalf("%q: number %d", other, got)
		}
	}
}
