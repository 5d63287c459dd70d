package openapi_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/danielgtaylor/huma/v2/yaml"

	"memexport/api"
	"memexport/openapi"
)

var update = flag.Bool("update", false, "write the documents anew")

func TestTheDocumentsAreCurrent(t *testing.T) {
	document, err := json.MarshalIndent(api.Document(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	document30, err := downgrade(api.Document())
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []struct {
		name      string
		embedded  []byte
		generated []byte
	}{
		{"openapi.json", openapi.JSON, append(document, '\n')},
		{"openapi.yaml", openapi.YAML, asYAML(t, document)},
		{"openapi-3.0.json", openapi.JSON30, append(document30, '\n')},
		{"openapi-3.0.yaml", openapi.YAML30, asYAML(t, document30)},
	} {
		if *update {
			if err := os.WriteFile(file.name, file.generated, 0o644); err != nil {
				t.Fatal(err)
			}
		} else if !bytes.Equal(file.embedded, file.generated) {
			t.Errorf("%s differs from the code of package api: run go generate ./openapi", file.name)
		}
	}
}

func asYAML(t *testing.T, document []byte) []byte {
	var out bytes.Buffer
	if err := yaml.Convert(&out, bytes.NewReader(document)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
