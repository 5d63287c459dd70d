package openapi_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"testing"

	"memexport/openapi"
)

func TestTheDocsComponentIsTheOneThatIsFetched(t *testing.T) {
	reader, err := gzip.NewReader(bytes.NewReader(openapi.DocsComponent))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, reader); err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("../tools/docs-page/vendor.mjs")
	if err != nil {
		t.Fatal(err)
	}
	version := strings.TrimSuffix(strings.TrimPrefix(openapi.DocsComponentName, "scalar-"), ".js")
	for _, want := range []string{"const version = '" + version + "'", "const sha256 = '" + hex.EncodeToString(sum.Sum(nil)) + "'"} {
		if !bytes.Contains(script, []byte(want)) {
			t.Errorf("tools/docs-page/vendor.mjs lacks %s: run make docs-component, or correct the script", want)
		}
	}
}
