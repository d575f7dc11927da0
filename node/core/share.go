package core

import "time"

// share bounds how much of what peers sent goes into one batch, so that an own
// draft waits no longer than about shareTarget for the batch before its own,
// however fast or busy the machine is and whatever it is that comes.
type share struct {
	perByte float64 // nanoseconds that a byte of cost takes, smoothed; 0 if not known
}

const (
	shareTarget = 3 * time.Millisecond // about what a synced commit takes besides, on a good disk
	shareLeast  = 64 << 10             // less, and each batch would be mostly what any batch takes
	shareMost   = 4 << 20
	shareBegin  = 512 << 10
	shareSmooth = 8 // of a measurement, 1/8 counts
)

// limit is how much goes into a batch, as chain.Update.Cost counts it.
func (s *share) limit() int {
	if s.perByte == 0 {
		return shareBegin
	}
	return int(min(max(float64(shareTarget)/s.perByte, shareLeast), shareMost))
}

// measure learns from a batch.
func (s *share) measure(cost int, took time.Duration) {
	if cost < shareLeast/4 || took <= 0 {
		return // mostly what any batch takes
	}
	per := float64(took) / float64(cost)
	if s.perByte == 0 {
		s.perByte = per
	}
	s.perByte += (per - s.perByte) / shareSmooth
}

func (w *Writer) measure(cost int, took time.Duration) {
	w.share.measure(cost, took)
	w.setShare()
}

func (w *Writer) setShare() { w.conf.Ledger.SetBatch(w.Share()) }

// Share is how much of what peers sent is to be put into one batch, as
// [chain.Update.Cost] counts it.
func (w *Writer) Share() int {
	if w.conf.Share > 0 {
		return w.conf.Share
	}
	return w.share.limit()
}
