package sim

import "time"

// epoch is the wall clock's reading at simulated time 0, in Unix milliseconds.
const epoch = int64(1_800_000_000_000)

// clock is a machine's wall clock. Its monotonic clock is the simulated time.
type clock struct {
	w      *world
	offset time.Duration
	drift  float64 // parts of the time that passes
}

// wall is what the clock shows at a simulated time, in Unix milliseconds.
func (c *clock) wall(at time.Duration) int64 {
	return epoch + (at + c.offset + time.Duration(float64(at)*c.drift)).Milliseconds()
}

// set makes the clock differ from the true time by so much from now on.
func (c *clock) set(offset time.Duration) {
	c.offset = offset - time.Duration(float64(c.w.now)*c.drift)
}

// mono is a time for durations alone.
func mono(at time.Duration) time.Time { return time.Unix(0, int64(at)) }
