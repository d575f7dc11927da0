package chain

// maxAhead bounds the received updates that are kept in memory, in [Update.Cost],
// until a later batch applies them. The others are read again.
const maxAhead = 8 << 20

// keepAhead keeps what this batch has received of a chain that a full batch left for
// a later one, as far as there is room.
func (l *Ledger) keepAhead(c *chainState) {
	if !c.queued {
		return
	}
	for seq := c.applied.Seq + Seq(len(c.ahead)) + 1; l.ahead < maxAhead; seq++ {
		u := l.tx.updates[ID{c.tail.Origin, seq}]
		if u == nil || seq > c.tail.Seq {
			return
		}
		c.ahead = append(c.ahead, u)
		l.ahead += u.Cost()
	}
}

// dropAhead forgets what is kept of a chain: it waits, or its end has moved back.
func (l *Ledger) dropAhead(c *chainState) {
	for _, u := range c.ahead {
		l.ahead -= u.Cost()
	}
	c.ahead = nil
}

// next is the update after what is applied of a chain.
func (l *Ledger) next(c *chainState) (*Update, error) {
	if len(c.ahead) > 0 {
		return c.ahead[0], nil
	}
	return l.update(ID{c.tail.Origin, c.applied.Seq + 1})
}

// applyAhead takes u, which is being applied, from what is kept of its chain into
// what this batch has at hand.
func (l *Ledger) applyAhead(c *chainState, u *Update) {
	if len(c.ahead) == 0 {
		return
	}
	c.ahead[0] = nil
	c.ahead = c.ahead[1:]
	l.ahead -= u.Cost()
	l.tx.updates[u.ID] = u
}
