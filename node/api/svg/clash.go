package svg

import (
	"strings"

	"github.com/tidings-mesh/tidings/chain"
)

// clash is a conflict over its time: from the update with which it was there to
// the one that had seen all of it, if there is one.
type clash struct {
	path    string
	members map[chain.ID]bool // all that ever took part, true for those that do
	settled chain.ID          // by whom, zero while it is open
	within  *clash            // that of a path above, of which it has become a part
}

// whole is the conflict that it has become a part of, itself if it has not.
func (c *clash) whole() *clash {
	for c.within != nil {
		c = c.within
	}
	return c
}

// clashes are the conflicts of a subject as its updates come in stitched order.
type clashes struct {
	open    map[string]*clash // by path
	now     map[chain.ID]bool // who takes part in an open one
	ever    map[chain.ID]bool // who ever took part in one
	joined  map[chain.ID][]joining
	settles map[chain.ID][]string // paths, by who settled the conflict

	looked  int  // at writes in conflicts
	tooMany bool // to be looked at again and again: none are told of
}

// maxLooked bounds the time that conflicts take. With a few that are open at a
// time, it is far from being reached.
const maxLooked = 100_000

// joining is an update's coming into a conflict.
type joining struct {
	*clash
	with []chain.ID // that were in it then, in reverse stitched order
}

// newClashes begins with the conflicts that are open already.
func newClashes(open []chain.Conflict) *clashes {
	c := &clashes{ever: map[chain.ID]bool{}, joined: map[chain.ID][]joining{}, settles: map[chain.ID][]string{}}
	c.after(chain.ID{}, open, nil)
	return c
}

// after takes in the conflicts that are open after an update, and those before
// it; both ascend by path.
func (c *clashes) after(id chain.ID, open, before []chain.Conflict) {
	for i := range open {
		c.looked += len(open[i].Writes)
	}
	if c.looked > maxLooked {
		*c = clashes{tooMany: true}
		return
	}
	was := c.open
	c.open, c.now = make(map[string]*clash, len(open)), map[chain.ID]bool{}
	for i := range open {
		path := open[i].Path
		k := was[path]
		if k == nil {
			k = &clash{path: path, members: map[chain.ID]bool{}}
		}
		c.open[path] = k
		c.join(k, id, open[i].Writes)
	}
	for i := range before {
		k := was[before[i].Path]
		if c.open[k.path] == k {
			continue
		}
		if k.within = c.above(k.path); k.within == nil {
			k.settled = id
			c.settles[id] = append(c.settles[id], k.path)
		}
	}
}

// above is the open conflict of a path above, nil if there is none.
func (c *clashes) above(path string) *clash {
	for path != "" {
		path = path[:strings.LastIndexByte(path, '/')]
		if k := c.open[path]; k != nil {
			return k
		}
	}
	return nil
}

// join takes in who takes part in a conflict.
func (c *clashes) join(k *clash, id chain.ID, writes []chain.ConflictWrite) {
	for member := range k.members {
		k.members[member] = false
	}
	var others []chain.ID
	joins := false
	for _, w := range writes {
		c.ever[w.ID], c.now[w.ID] = true, true
		if w.ID != id {
			others = append(others, w.ID)
		} else if _, was := k.members[id]; !was {
			joins = true
		}
		k.members[w.ID] = true
	}
	if joins {
		c.joined[id] = append(c.joined[id], joining{k, others})
	}
}
