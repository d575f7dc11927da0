package chain

import (
	"encoding/binary"

	"github.com/tidings-mesh/tidings/chain/wire"
)

// decoder reads records, headers and cursors. Its methods read what recurs in
// them.
type decoder struct{ wire.Decoder }

func newDecoder(b []byte) decoder { return decoder{*wire.NewDecoder(b)} }

func appendUint64(dst []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(dst, v) }
