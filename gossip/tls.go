package gossip

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

// streamALPN names the protocol in the TLS handshake. Its number and
// StreamVersion are one and the same.
const streamALPN = "tidings/1"

// StreamVersion is the version of the stream protocol that this build speaks.
const StreamVersion = 1

// Certificates carry a key and nothing else that is looked at, so their dates
// are constants: two starts make the same certificate, and no clock matters.
var (
	certificateFrom = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	certificateTo   = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// streamCertificate is a self-signed certificate of a chain key.
func streamCertificate(key ed25519.PrivateKey) (tls.Certificate, error) {
	if len(key) != ed25519.PrivateKeySize {
		return tls.Certificate{}, errors.New("chain key: want an Ed25519 private key")
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: certificateFrom, NotAfter: certificateTo}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make the stream certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// streamTLS makes the configurations of the accepting and the dialling end.
//
// No authority vouches for a certificate (InsecureSkipVerify, RequireAnyClientCert):
// TLS proves that the peer holds its key, the origin follows from the key, and
// who may join is the mesh key's matter.
func streamTLS(key ed25519.PrivateKey) (accept, dial *tls.Config, err error) {
	certificate, err := streamCertificate(key)
	if err != nil {
		return nil, nil, err
	}
	base := tls.Config{
		MinVersion:         tls.VersionTLS13,
		MaxVersion:         tls.VersionTLS13,
		Certificates:       []tls.Certificate{certificate},
		NextProtos:         []string{streamALPN},
		InsecureSkipVerify: true, //nolint:gosec // see above
		VerifyConnection:   func(s tls.ConnectionState) error { _, err := peerKey(s); return err },
		// A resumed session would skip the proof of the certificate's key.
		SessionTicketsDisabled: true,
		// Small first records help a browser render; here they cost throughput.
		DynamicRecordSizingDisabled: true,
	}
	accept, dial = base.Clone(), base.Clone()
	accept.ClientAuth = tls.RequireAnyClientCert
	accept.GetConfigForClient = noteVersion
	return accept, dial, nil
}

// noteVersion marks the connection of a dialler that offers other versions
// only. crypto/tls then refuses it, with an error that nothing can tell from
// others but by its text.
func noteVersion(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if c, ok := hello.Conn.(*handshakeConn); ok {
		c.begun = true
		c.otherVersion = !slices.Contains(hello.SupportedProtos, streamALPN)
	}
	return nil, nil //nolint:nilnil // nil means: no other configuration
}

// handshakeConn is what noteVersion writes on.
type handshakeConn struct {
	net.Conn
	begun        bool // a ClientHello was understood
	otherVersion bool
}

// peerKey is the Ed25519 key of the peer's one certificate.
func peerKey(s tls.ConnectionState) (ed25519.PublicKey, error) {
	if s.NegotiatedProtocol != streamALPN {
		return nil, streamFailure(ReasonVersion, "the peer negotiated protocol %q, want %q", s.NegotiatedProtocol, streamALPN)
	}
	if len(s.PeerCertificates) != 1 {
		return nil, streamFailure(ReasonCertificate, "the peer sent %d certificates, want 1", len(s.PeerCertificates))
	}
	key, ok := s.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok || len(key) != ed25519.PublicKeySize {
		return nil, streamFailure(ReasonCertificate, "the peer's certificate has no Ed25519 key")
	}
	return key, nil
}
