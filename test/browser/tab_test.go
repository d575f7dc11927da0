package browser

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

var pictures = flag.String("pictures", "", "directory to leave pictures in of what the tests saw")

// browser starts one Chromium for all tests; stopBrowser ends it.
var (
	stopBrowser = func() {}
	browser     = sync.OnceValues(func() (context.Context, error) {
		path, err := exec.LookPath("chromium")
		if err != nil {
			return nil, err
		}
		// Nothing but the pages: what a browser looks up for itself would fail here, slowly.
		options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.DisableGPU,
			chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
		if os.Geteuid() == 0 {
			options = append(options, chromedp.NoSandbox) // it has none for root
		}
		allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
		ctx, cancel := chromedp.NewContext(allocator)
		stopBrowser = func() { cancel(); stopAllocator() }
		return ctx, chromedp.Do(ctx)
	})
)

func TestMain(m *testing.M) {
	code := m.Run()
	stopBrowser()
	os.Exit(code)
}

func needsChromium(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("chromium"); err != nil {
		t.Skip("chromium is missing: make tools installs it")
	}
}

// tab is a page that is open. What its console says against it, and whom it asked,
// is kept.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string

	mu     sync.Mutex // protects what follows
	said   []string   // errors and warnings
	hosts  map[string]bool
	orders []string // requests of another method than GET
}

// open opens a page of a node's: the path is what is below where the node is mounted.
func open(t *testing.T, base string, width, height int64, steps ...chromedp.Action[chromedp.Void]) *tab {
	t.Helper()
	parent, err := browser()
	require.NoError(t, err)
	ctx, cancel := chromedp.NewContext(parent)
	t.Cleanup(cancel)
	p := &tab{t: t, ctx: ctx, url: base, hosts: map[string]bool{}}
	require.NoError(t, chromedp.Listen(ctx, p.hear))
	_, err = chromedp.Call(ctx, network.Enable, network.EnableParams{})
	require.NoError(t, err)
	p.do(chromedp.EmulateViewport(width, height))
	p.do(steps...)
	p.do(chromedp.Navigate(base))
	return p
}

func (p *tab) hear(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		for _, arg := range e.Args {
			p.said = append(p.said, fmt.Sprintf("%s: %s %s", e.Type, arg.Value, arg.Description))
		}
	case *runtime.EventExceptionThrown:
		p.said = append(p.said, "exception: "+e.ExceptionDetails.Text)
		if e.ExceptionDetails.Exception != nil {
			p.said = append(p.said, e.ExceptionDetails.Exception.Description)
		}
	case *cdplog.EventEntryAdded:
		p.said = append(p.said, fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err == nil && u.Host != "" {
			p.hosts[u.Host] = true
		}
		if e.Request.Method != "GET" {
			p.orders = append(p.orders, e.Request.Method+" "+e.Request.URL)
		}
	}
}

// clean fails the test if the console had anything to say, a violation of the
// page's policy among it, or if the page asked anyone but its node, or for more
// than an answer.
func (p *tab) clean() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Empty(p.t, p.said)
	require.Empty(p.t, p.orders)
	u, err := url.Parse(p.url)
	require.NoError(p.t, err)
	require.Equal(p.t, map[string]bool{u.Host: true}, p.hosts)
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	require.NoError(p.t, chromedp.Do(ctx, steps...))
}

// eval is the value of an expression in the page.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	require.NoError(p.t, err, expression)
	return v
}

// until waits until an expression is true in the page, and shows the page's text
// if that does not come.
func (p *tab) until(expression string) {
	p.t.Helper()
	_, err := chromedp.Run(p.ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(patience)))
	if err != nil {
		p.t.Fatalf("%s: %v\n%s\nconsole: %q", expression, err, eval[string](p, "document.body.innerText"), p.said)
	}
}

// shows waits until an element's text has all of these, whatever space is between
// its words.
func (p *tab) shows(selector string, texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		p.until(fmt.Sprintf(`(document.querySelector(%q)?.innerText ?? "").replace(/\s+/g, " ").includes(%q)`, selector, text))
	}
}

// visit goes to another page of the dashboard, as a link does.
func (p *tab) visit(hash string) {
	p.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf("void (location.hash = %q)", hash)))
}

// scheme sets what the reader's system prefers, light or dark.
func scheme(name string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
		})
		return err
	})
}

// picture leaves a picture of what is to be seen, if somebody wants pictures.
func (p *tab) picture(name string) {
	p.t.Helper()
	if *pictures == "" {
		return
	}
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	require.NoError(p.t, err)
	require.NoError(p.t, os.MkdirAll(*pictures, 0o750))
	require.NoError(p.t, os.WriteFile(filepath.Join(*pictures, strings.ReplaceAll(name, " ", "-")+".png"), png, 0o600))
}

// press presses a key that stands for a character, and may be taken for something
// else by the page.
func (p *tab) press(key string) {
	p.t.Helper()
	for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
		params := input.DispatchKeyEventParams{Type: kind, Key: key}
		if kind == input.DispatchKeyEventTypeKeyDown {
			params.Text = key
		}
		_, err := chromedp.Call(p.ctx, input.DispatchKeyEvent, params)
		require.NoError(p.t, err)
	}
}
