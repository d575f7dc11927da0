package gossip

import (
	"context"
	"sync"
)

// MeshTransport is the real Transport: serf, and TLS streams through one port.
type MeshTransport struct {
	options MeshOptions

	mu   sync.Mutex // protects mesh
	mesh *Mesh
}

// Over returns a transport with these options, of which Serve and OnChange are
// the exchange's.
func Over(o MeshOptions) *MeshTransport { return &MeshTransport{options: o} }

// Open implements Transport.
func (t *MeshTransport) Open(ctx context.Context, serve func(FrameStream), changed func([]Member)) error {
	o := t.options
	o.Serve = func(s *Stream) { serve(s) }
	o.OnChange = changed
	m, err := OpenMesh(ctx, o)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mesh = m
	return nil
}

// Mesh is what is open: the port, the streams, membership; nil before Open
// has returned.
func (t *MeshTransport) Mesh() *Mesh {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mesh
}

// Forget implements Transport.
func (t *MeshTransport) Forget(name string) error {
	if m := t.Mesh(); m != nil {
		return m.Membership.Forget(name)
	}
	return ErrNoMember
}

// Close implements Transport.
func (t *MeshTransport) Close(ctx context.Context) error {
	if m := t.Mesh(); m != nil {
		return m.Close(ctx)
	}
	return nil
}
