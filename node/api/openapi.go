package api

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
)

//go:generate go run ./openapi openapi.json

// description is the interface in OpenAPI 3.1, made of a table in ./openapi.
//
//go:embed openapi.json
var description []byte

var descriptionTag = func() string {
	sum := sha256.Sum256(description)
	return hex.EncodeToString(sum[:16])
}()

// openapi answers GET /v1/openapi.json.
func (h *Handler) openapi(x *exchange) error {
	if _, err := parseQuery(x.r.URL.RawQuery); err != nil {
		return err
	}
	if _, err := negotiate(x.r, typeJSON); err != nil {
		return err
	}
	header := x.w.Header()
	header["Etag"] = []string{`"` + descriptionTag + `"`}
	header["Cache-Control"] = noCacheHeader
	if noneMatch(x.r.Header["If-None-Match"], descriptionTag) {
		x.empty(http.StatusNotModified)
		return nil
	}
	x.json(description)
	return nil
}
