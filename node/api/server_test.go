package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// raw sends bytes over a connection of its own and reads one answer.
func raw(t *testing.T, address string, parts ...string) (*http.Response, string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(15 * time.Second))
	for _, part := range parts {
		if _, err := io.WriteString(c, part); err != nil {
			t.Fatal(err)
		}
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// TestServerPaths: what net/http's mux would have cleaned and redirected comes
// through as it was sent.
func TestServerPaths(t *testing.T) {
	f := newFake()
	f.put(ownOrigin, "a/b", `{"x":1}`)
	address := serve(t, newHandler(t, f))
	for path, want := range map[string]int{
		"/v1/subjects/a/b": 200, "/v1/subjects/a%2Fb": 200, "/v1/subjects/a//b": 400, "/v1/subjects/a/../b": 400,
		"/v1/subjects/a/b/": 400, "//v1/subjects": 404, "/v1/mesh/../mesh": 404, "/v1/subjects/a%2F%2Fb": 400,
	} {
		response, body := raw(t, address, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if response.StatusCode != want || response.Header.Get("Location") != "" {
			t.Errorf("%s: %d, Location %q, %s", path, response.StatusCode, response.Header.Get("Location"), body)
		}
		if want != 200 && response.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s", path, response.Header.Get("Content-Type"))
		}
	}
	response, _ := raw(t, address, "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if response.StatusCode != 204 || response.Header.Get("Allow") == "" || response.Header.Get("Tidings-Node") == "" {
		t.Errorf("OPTIONS *: %d %v", response.StatusCode, response.Header)
	}
}

func TestServerSlowBody(t *testing.T) {
	h := New(Config{Backend: newFake(), Limits: Limits{BodyTime: 50 * time.Millisecond}})
	t.Cleanup(h.Close)
	address := serve(t, h)
	response, body := raw(t, address, "POST /v1/updates HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"subject\":")
	if response.StatusCode != 400 || !strings.Contains(body, "did not come") || !response.Close {
		t.Errorf("%d, close %t: %s", response.StatusCode, response.Close, body)
	}
}

// TestServerWaitOutlivesBodyTime: the time of a body does not cut the wait that
// follows it, nor the connection after that.
func TestServerWaitOutlivesBodyTime(t *testing.T) {
	f := newFake()
	h := New(Config{Backend: f, Limits: Limits{BodyTime: 50 * time.Millisecond}})
	t.Cleanup(h.Close)
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	t.Cleanup(client.CloseIdleConnections)
	url := "http://" + serve(t, h) + "/v1/changes"
	for i := range 2 {
		response, err := client.Post(url, "application/json", strings.NewReader(`{"wait":"300ms","since":"start"}`))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != 200 || !strings.Contains(string(body), `"updates":[]`) {
			t.Fatalf("poll %d: %d %s %v", i, response.StatusCode, body, err)
		}
	}
}

// TestServerWriteTimeout: the server's WriteTimeout does not count what was
// waited for, in long polls and in streams.
func TestServerWriteTimeout(t *testing.T) {
	h := newHandler(t, newFake())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(h, nil)
	server.WriteTimeout = 100 * time.Millisecond
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	for range 2 {
		response, err := client.Get("http://" + l.Addr().String() + "/v1/changes?wait=300ms")
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, response.Body)
		if _ = response.Body.Close(); err != nil || response.StatusCode != 200 {
			t.Fatalf("%d, %v", response.StatusCode, err)
		}
	}
	s := openStream(t, l.Addr().String(), "")
	for range 2 {
		time.Sleep(200 * time.Millisecond) // longer than the time-out: what is tried
		s.send(t, "{\"subject\":\"s\",\"delta\":{}}\n")
		if a := s.next(t); a.Status != 200 {
			t.Errorf("answer %+v", a)
		}
	}
	time.Sleep(200 * time.Millisecond)
	_ = s.in.Close()
	if s.out.Scan() || s.out.Err() != nil {
		t.Errorf("end of the stream: %q, %v", s.out.Text(), s.out.Err())
	}
}

// TestServerClientGone: a long poll ends when its client's connection does.
func TestServerClientGone(t *testing.T) {
	h := newHandler(t, newFake())
	address := serve(t, h)
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	fmt.Fprint(c, "GET /v1/changes?wait=50s HTTP/1.1\r\nHost: x\r\n\r\n")
	waitFor(t, func() bool { return h.waiters.Load() == 1 })
	_ = c.Close()
	waitFor(t, func() bool { return h.waiters.Load() == 0 })
}

// TestServerShutdown: what waits is answered, and the server ends in time.
func TestServerShutdown(t *testing.T) {
	h := newHandler(t, newFake())
	var address string
	answers := make(chan string, 1)
	t.Run("serving", func(t *testing.T) {
		address = serve(t, h)
		go func() {
			response, err := http.Get("http://" + address + "/v1/changes?wait=50s")
			if err != nil {
				answers <- err.Error()
				return
			}
			defer func() { _ = response.Body.Close() }()
			body, _ := io.ReadAll(response.Body)
			answers <- string(body)
		}()
		waitFor(t, func() bool { return h.waiters.Load() == 1 })
	}) // the subtest's cleanup shuts the server down
	if body := <-answers; !strings.Contains(body, `"code":"closing"`) {
		t.Errorf("answer %s", body)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestServerLongURL(t *testing.T) {
	address := serve(t, newHandler(t, newFake()))
	response, body := raw(t, address, "GET /v1/changes?since=c1."+strings.Repeat("A", 40<<10)+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if response.StatusCode != 414 || !strings.Contains(body, "POST /v1/changes") {
		t.Errorf("%d %s", response.StatusCode, body)
	}
}

// TestServerTooLong: a client that sends all of a body before it reads anything
// is still told that it was too long.
func TestServerTooLong(t *testing.T) {
	address := serve(t, newHandler(t, newFake()))
	for _, c := range []struct {
		first string
		size  int
	}{{"{", 12 << 20}, {"[", maxArrayBody + 12<<20}} {
		response, body := raw(t, address, fmt.Sprintf("POST /v1/updates HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", c.size),
			c.first, strings.Repeat(" ", c.size-1))
		if response.StatusCode != 413 || !response.Close || !strings.Contains(body, `"code":"too_large"`) {
			t.Errorf("%s: %d %s", c.first, response.StatusCode, body)
		}
	}
}
