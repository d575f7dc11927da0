package gossip

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Members returns the members by origin, this node included. RTTs are at most a
// second old.
func (m *Membership) Members() []Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.members)
}

// Starts returns every start of every node that is known, also those that
// Members leaves out because a later one superseded them.
func (m *Membership) Starts() []Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.starts)
}

// Met is closed once another node has been seen alive.
func (m *Membership) Met() <-chan struct{} { return m.met }

// Down is closed if membership ends without Close: this node then no longer
// sees anybody, nor is seen.
func (m *Membership) Down() <-chan struct{} { return m.down }

// Forget drops a member that has failed or left from every node's list, by its
// name or its origin. It returns ErrNoMember or ErrMemberAlive where it cannot.
// A member that was forgotten and comes back is a member again.
func (m *Membership) Forget(name string) error {
	m.mu.Lock()
	remembered := len(m.file.Members)
	var found []nodeStart
	alive := false
	for _, s := range m.starts {
		if s.Name != name && s.Origin.String() != name {
			continue
		}
		alive = alive || s.Status == StatusAlive || s.start() == m.self
		found = append(found, s.start())
	}
	if !alive {
		m.file.drop(name)
	}
	remembered -= len(m.file.Members)
	file := m.file
	m.mu.Unlock()

	switch {
	case alive:
		return fmt.Errorf("forget %q: %w", name, ErrMemberAlive)
	case len(found) == 0 && remembered == 0:
		return fmt.Errorf("forget %q: %w", name, ErrNoMember)
	}
	m.tellAgain(found)
	for _, s := range found {
		if err := m.serf.RemoveFailedNodePrune(instanceName(s.origin, s.epoch)); err != nil {
			return fmt.Errorf("forget %q: %w", name, err)
		}
	}
	m.poke()
	if m.dir != "" && remembered > 0 {
		return file.write(m.dir)
	}
	return nil
}

// retelling is when to tell again that a start was forgotten.
type retelling struct {
	at    time.Time
	after time.Duration
}

const (
	// Serf tells the others to forget a start by four datagrams and no more, some
	// of which it sends to nodes that have failed less than 30 s ago: with few
	// left alive, all four may miss one. So they are told again, after 1 s, 2 s
	// and so on, the last time when only those alive are told.
	retellLeast = time.Second
	retellMost  = 32 * time.Second
)

func (m *Membership) tellAgain(starts []nodeStart) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range starts {
		m.forgot[s] = retelling{time.Now().Add(retellLeast), retellLeast}
	}
}

// dueForgets returns the starts of which the others are to be told again that
// they were forgotten. One that runs again is a member again. The lock is held.
func (m *Membership) dueForgets(now time.Time) (due []nodeStart) {
	for _, s := range m.starts {
		if s.Status.running() {
			delete(m.forgot, s.start())
		}
	}
	for s, r := range m.forgot {
		if now.Before(r.at) {
			continue
		}
		due = append(due, s)
		r.after *= 2
		r.at = now.Add(r.after)
		m.forgot[s] = r
		if r.after > retellMost {
			delete(m.forgot, s)
		}
	}
	return due
}

// duePrunes returns the superseded starts whose time to be dropped everywhere
// has come. They would be dialled for a day. The lock is held.
func (m *Membership) duePrunes(superseded []Member, now time.Time) (due []nodeStart) {
	waiting := make(map[nodeStart]time.Time)
	for _, s := range superseded {
		if s.Status.running() || s.start() == m.self {
			continue
		}
		at, ok := m.prune[s.start()]
		if !ok {
			at = now.Add(pruneAfter + rand.N(pruneJitter))
			if s.Origin == m.self.origin {
				at = now // it is this node's own
			}
		}
		if !now.Before(at) {
			due = append(due, s.start())
			at = now.Add(pruneAfter + pruneJitter) // and again, should it stay
		}
		waiting[s.start()] = at
	}
	m.prune = waiting
	return due
}

// Leave tells the others that this node goes, so that they do not take it for
// failed. It takes 1 to 2 s with others, at most about 5, and returns early
// with the context's error; Close then waits for the rest. Call it before
// streams are closed, and Close after.
func (m *Membership) Leave(ctx context.Context) error {
	alone := true
	for _, member := range m.Members() {
		alone = alone && (member.Status != StatusAlive || member.Origin == m.self.origin)
	}
	if alone {
		return nil // nobody to tell; serf would wait all the same
	}
	done := make(chan error, 1)
	go func() { // waited for by Close, through the lock
		m.leaving.Lock()
		defer m.leaving.Unlock()
		if m.left {
			done <- nil
			return
		}
		m.left = true
		done <- m.serf.Leave()
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("leave: %w", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("leave: %w", ctx.Err())
	}
}

// Close ends membership and shuts the port down. Without a Leave before it, the
// others see this node fail. It waits for a Leave that is under way, for serf
// does not survive a shutdown in the middle of it. It may be called more than once.
func (m *Membership) Close() error {
	m.closing.Do(func() {
		m.stop()
		m.leaving.Lock()
		m.left = true
		m.leaving.Unlock()
		m.closed = m.serf.Shutdown()
		m.wg.Wait()
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.dir != "" && !m.written.IsZero() {
			if err := m.file.write(m.dir); err != nil && m.closed == nil {
				m.closed = err
			}
		}
	})
	return m.closed
}
