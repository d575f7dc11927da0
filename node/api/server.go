package api

import (
	"log/slog"
	"net/http"
	"time"
)

// Bounds of a server that are not the handler's own.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute  // above the 60 s after which proxies usually let go
	writeTimeout      = 60 * time.Second // of what is written at a time; waiting does not count
	maxHeaderBytes    = 64 << 10
)

// NewServer returns a server for a Handler, whether it is mounted below a
// prefix or not, with bounds that suit it: time-outs for headers, for writing
// and for idle connections, and headers of at most 64 KiB. It has no
// ReadTimeout, since the handler sets the time of each body. What net/http has
// to say, such as of clients that break off, goes to logger at the debug level;
// nil discards it.
//
// Shutdown closes a Handler that was given itself, so that what waits ends at
// once. Close the Handler first where it is wrapped.
func NewServer(handler http.Handler, logger *slog.Logger) *http.Server {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	server := &http.Server{
		Handler:                      handler,
		ReadHeaderTimeout:            readHeaderTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	if h, ok := handler.(*Handler); ok {
		server.RegisterOnShutdown(h.Close)
	}
	return server
}
