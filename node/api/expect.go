package api

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/tidings-mesh/tidings/chain"
)

// appendMembers writes what a view with expect=true has beside its usual members.
func (a *Attendance) appendMembers(dst []byte) []byte {
	dst = appendNames(append(dst, `,"expected":`...), a.Expected)
	dst = appendNames(append(dst, `,"missing":`...), a.Missing)
	return appendNames(append(dst, `,"late":`...), a.Late)
}

func appendNames(dst []byte, names []string) []byte {
	dst = append(dst, '[')
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = chain.AppendJSONString(dst, name)
	}
	return append(dst, ']')
}

// expectTag names a view together with who is expected, missing and late: it is
// the same where the updates and these are, and unlike the tag of the view alone.
func expectTag(tag string, members []byte) string {
	sum := sha256.Sum256(append([]byte("tidings expectations 1\x00"+tag), members...))
	return hex.EncodeToString(sum[:16])
}
