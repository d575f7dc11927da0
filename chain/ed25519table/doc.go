// Package ed25519table verifies Ed25519 signatures (RFC 8032) of keys that
// verify again and again, two to three times as fast as the standard library. A
// key that verified often is expanded, once, into a table of its multiples:
// then a signature takes additions of what is in tables and five doublings, in
// place of the key's decoding and 252 doublings.
//
// [Verify] is all that there is. It answers what crypto/ed25519.Verify answers,
// for every input: a node that accepted what others refuse would part from
// them. So points of small and mixed order and encodings that are not canonical
// count as there, and R is compared by its bytes.
//
// The tables are the process's, shared by all of its nodes, and bounded: see
// tables. Keys without one go to crypto/ed25519. So what this package remembers
// changes how long an answer takes and never the answer.
//
// All of it takes time that depends on its input. That is right for signatures
// and public keys, which are no secrets; nothing here is fit for a private key.
package ed25519table
