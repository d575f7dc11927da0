package node

import (
	"context"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/api"
	"github.com/tidings-mesh/tidings/node/core"
)

// Expectation names authorities that are to speak of each subject that a prefix
// selects, and by when.
type Expectation = core.Expectation

// Expectations are what one node expects. They may overlap.
type Expectations = core.Expectations

// Attendance says who of those that are expected to speak of a subject has not.
type Attendance = core.Attendance

// Attendance compares what is applied here of a subject with what Config.Expect
// says, by Config.Clock, [chain.ErrNotFound] if nothing ever was said of it:
// there is no first update then that a deadline would count from. For a subject
// of which nobody is expected to speak it is zero.
func (n *Node) Attendance(ctx context.Context, subject string) (Attendance, error) {
	s, err := n.View(ctx, subject)
	if err != nil {
		return Attendance{}, err
	}
	return n.attendance(s)
}

func (n *Node) attendance(s *chain.State) (Attendance, error) {
	expected := n.cfg.Expect.Of(s.Subject())
	if len(expected) == 0 {
		return Attendance{}, nil
	}
	first, err := n.archive.First(s)
	if err != nil {
		return Attendance{}, err
	}
	return core.Attend(expected, s.Authorities(), first.HLC.Time(), n.clock()), nil
}

func (b backend) Attendance(s *chain.State) (api.Attendance, error) {
	a, err := b.n.attendance(s)
	return api.Attendance(a), err
}
