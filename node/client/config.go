package client

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Config is what a Client is made of. It is copied.
type Config struct {
	// Endpoints are the roots of nodes' HTTP interfaces: URLs, or host:port.
	// Required; any one will do, more are for when it fails.
	Endpoints []string
	// InOrder begins with the first endpoint and goes on in their order. By
	// default each client begins with one at random, and goes on to one at random,
	// so that many consumers with one list spread over it.
	InOrder bool
	// Timeout is how long a node may take until it begins to answer, beyond the
	// time that it was asked to wait, and then for each KiB of the answer. A
	// shorter one finds a node that hangs sooner, and gives up on slow links.
	// Publish repeats itself for so long. Default 10 s; negative waits for ever.
	Timeout time.Duration
	// MaxAnswer bounds one answer, in bytes. Histories are the longest. Default
	// 256 MiB.
	MaxAnswer int64
	// Token is sent as bearer token. Empty sends none.
	Token string
	// UserAgent names the program to the node. Default "tidings-client".
	UserAgent string
	// Transport carries the requests. Nil is one of the client's own, whose idle
	// connections are closed before proxies commonly do it, and by Close.
	Transport http.RoundTripper
	// Logger gets what happens to endpoints, when it begins and when it ends. Nil
	// discards it.
	Logger *slog.Logger
	// Notify gets every Event. It is called by the goroutine that met it, perhaps
	// by several at a time, and should return soon. Nil is none.
	Notify func(Event)
}

const (
	defaultTimeout   = 10 * time.Second
	defaultMaxAnswer = 256 << 20
	defaultUserAgent = "tidings-client"
	// idleConnection is below the 60 s after which proxies cut.
	idleConnection = 45 * time.Second
	// connecting bounds what goes on where a call was given up meanwhile: another
	// might use the connection.
	connecting = 10 * time.Second
	// On a connection that is shared by requests, as by HTTP/2, nothing comes for
	// alive before it is asked whether it still lives. A request that is given up
	// does not close it, and the next one would be lost on it too.
	alive = 15 * time.Second
	// idlePerHost is enough for a few loops and calls at one node.
	idlePerHost = 32
)

// Validate says what is wrong with the configuration, wrapping ErrConfig.
func (cfg Config) Validate() error {
	_, err := parseEndpoints(cfg.Endpoints)
	if err == nil && cfg.MaxAnswer < 0 {
		err = fmt.Errorf("%w: MaxAnswer: want 0 or more, got %d", ErrConfig, cfg.MaxAnswer)
	}
	return err
}

// Client asks the nodes behind some endpoints. It is safe for concurrent use.
type Client struct {
	cfg    Config
	err    error // of the Config, for every call
	pool   *pool
	http   *http.Client
	logger *slog.Logger
}

// New returns a client. What is wrong with the Config is told by each of its
// calls, and by [Config.Validate]. Nothing is asked yet.
func New(cfg Config) *Client {
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.MaxAnswer == 0 {
		cfg.MaxAnswer = defaultMaxAnswer
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = defaultUserAgent
	}
	if cfg.Transport == nil {
		cfg.Transport = newTransport()
	}
	c := &Client{cfg: cfg, err: cfg.Validate(), logger: cfg.Logger}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	urls, _ := parseEndpoints(cfg.Endpoints)
	c.cfg.Endpoints = urls
	c.pool = newPool(urls, cfg.InOrder)
	c.http = &http.Client{
		Transport: cfg.Transport,
		// A node never redirects: whoever does is not one, and would be given the
		// token.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		DialContext: (&net.Dialer{Timeout: connecting}).DialContext, TLSHandshakeTimeout: connecting,
		IdleConnTimeout: idleConnection, MaxIdleConnsPerHost: idlePerHost,
		HTTP2: &http.HTTP2Config{SendPingTimeout: alive, PingTimeout: connecting},
	}
}

// Close closes the connections that are idle. Calls end by their contexts, not
// by it; end them before. It may be called more than once.
func (c *Client) Close() { c.http.CloseIdleConnections() }
