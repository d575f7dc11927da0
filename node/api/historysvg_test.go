package api

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/tidings-mesh/tidings/chain"
)

const svgType = "Accept: image/svg+xml"

func TestHistoryAsAPicture(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	one := f.put(ownOrigin, "order/<b>&", `{"state":"<script>alert(1)</script>"}`)
	f.put(fleet, "order/<b>&", `{"van":7}`, one)
	const target = "/v1/history/order/%3Cb%3E&"
	a := call(h, "GET", target, "", svgType)
	wantStatus(t, a, 200)
	for name, value := range map[string]string{
		"Content-Type": "image/svg+xml", "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
		"X-Content-Type-Options": "nosniff", "Vary": "Accept", "Cache-Control": "no-store",
	} {
		if got := a.header.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	d := xml.NewDecoder(strings.NewReader(a.body))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && (e.Name.Local == "script" || e.Name.Local == "b") {
			t.Errorf("element %s", e.Name.Local)
		}
	}
	for _, text := range []string{"order/&lt;b&gt;&amp;", "&lt;script&gt;alert(1)&lt;/script&gt;", ">warehouse<", ">fleet<"} {
		if !strings.Contains(a.body, text) {
			t.Errorf("no %s in %s", text, a.body)
		}
	}
	if head := call(h, "HEAD", target, "", svgType); head.status != 200 || head.body != "" || head.header.Get("Content-Length") == "0" {
		t.Errorf("HEAD: %+v", head)
	}
	// Others get what they like better.
	for accept, want := range map[string]string{
		"*/*": "application/json", "image/svg+xml;q=0.5, application/json": "application/json", "application/x-ndjson, image/svg+xml;q=0.9": "application/x-ndjson",
		"image/*": "image/svg+xml", "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8": "image/svg+xml",
	} {
		a := call(h, "GET", target, "", "Accept: "+accept)
		if got := a.header.Get("Content-Type"); got != want || (a.header.Get("Content-Security-Policy") != "") != (want == "image/svg+xml") {
			t.Errorf("%s: %q, want %q; %v", accept, got, want, a.header)
		}
	}
}

func TestHistoryAsAPictureRefuses(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	if p := call(h, "GET", "/v1/history/none", "", svgType).problem(t); p.Code != CodeNotFound {
		t.Errorf("%+v", p)
	}
	behind := chain.ID{Origin: nobody, Seq: 2}
	if p := call(h, "GET", "/v1/history/s?at_least="+behind.String(), "", svgType).problem(t); p.Code != CodeBehind {
		t.Errorf("%+v", p)
	}
	// Who has gone is drawn nothing.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.put(ownOrigin, "s", `{"a":1}`)
	if a := callContext(ctx, h, "GET", "/v1/history/s", "", svgType); a.body != "" {
		t.Errorf("%+v", a)
		// Nothing of a picture is sent before it is whole.
		f.put(ownOrigin, "broken", `{"good":true}`)
		f.put(ownOrigin, "broken", `{"bad":true}`)
		a := call(h, "GET", "/v1/history/broken", "", svgType)
		if p := a.problem(t); p.Code != CodeInternal || a.header.Get("Content-Security-Policy") != "" {
			t.Errorf("%+v", p)
		}
	}
}
