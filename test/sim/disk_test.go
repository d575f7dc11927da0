package sim

import (
	"testing"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store/storetest"
)

// The simulated store holds to what every store promises.
func TestDiskIsAStore(t *testing.T) {
	disks := map[string]*disk{}
	storetest.Run(t, func(_ storetest.T, place string) chain.Store {
		if disks[place] == nil {
			w := newWorld(1, Options{Nodes: 2}, nil)
			disks[place] = newDisk(w, 0, w.machines[0].newKey())
		}
		return disks[place].store()
	})
}

// A crash leaves what was synced, and of the rest the first batches alone.
func TestDiskCrash(t *testing.T) {
	w := newWorld(1, Options{Nodes: 2}, nil)
	for keep := range 4 {
		d := newDisk(w, 0, w.machines[0].newKey())
		s := d.store()
		for i, sync := range []bool{false, true, false, false, false} {
			storetest.Put(t, s, sync, []byte{'k', byte(i)}, []byte{byte(i)})
		}
		d.crash(keep)
		for i := range 5 {
			v, err := d.store().Get([]byte{'k', byte(i)})
			if there := v != nil; err != nil || there != (i < 2+keep) {
				t.Errorf("with %d batches kept, batch %d is there: %v, %v", keep, i, there, err)
			}
		}
	}
}
