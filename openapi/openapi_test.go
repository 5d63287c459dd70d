package openapi_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/danielgtaylor/huma/v2/yaml"

	"memexport/api"
	"memexport/openapi"
)

var update = flag.Bool("update", false, "write the documents again")

// topLevel are the keys of a document in the order in which people look for them. Huma sorts them by
// name, which puts the 600 lines of components first.
var topLevel = []string{"openapi", "info", "servers", "security", "tags", "paths", "components"}

func TestTheDocumentsAreCurrent(t *testing.T) {
	document, err := json.Marshal(api.Document())
	if err != nil {
		t.Fatal(err)
	}
	document30, err := downgrade(api.Document())
	if err != nil {
		t.Fatal(err)
	}
	document, document30 = inOrder(t, document), inOrder(t, document30)
	for _, file := range []struct {
		name      string
		embedded  []byte
		generated []byte
	}{
		{"openapi.json", openapi.JSON, document},
		{"openapi.yaml", openapi.YAML, asYAML(t, document)},
		{"openapi-3.0.json", openapi.JSON30, document30},
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

// inOrder indents a JSON document and sorts its top-level keys in the order of topLevel. Other keys come
// last.
func inOrder(t *testing.T, document []byte) []byte {
	t.Helper()
	var values map[string]json.RawMessage
	if err := json.Unmarshal(document, &values); err != nil {
		t.Fatal(err)
	}
	keys := slices.Clone(topLevel)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	var compact, indented bytes.Buffer
	for _, key := range keys {
		if value, ok := values[key]; ok {
			compact.WriteString(`,"` + key + `":`)
			compact.Write(value)
		}
	}
	compact.WriteString("}\n")
	compact.Bytes()[0] = '{' // replace the comma before the first key
	if err := json.Indent(&indented, compact.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	return indented.Bytes()
}

func asYAML(t *testing.T, document []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := yaml.Convert(&out, bytes.NewReader(document)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestTheDocumentsBeginWithWhatPeopleLookFor(t *testing.T) {
	yamlKey, jsonKey := regexp.MustCompile(`(?m)^(\w+):`), regexp.MustCompile(`(?m)^  "(\w+)":`)
	for name, c := range map[string]struct {
		document []byte
		key      *regexp.Regexp
	}{
		"openapi.yaml":     {openapi.YAML, yamlKey},
		"openapi.json":     {openapi.JSON, jsonKey},
		"openapi-3.0.yaml": {openapi.YAML30, yamlKey},
		"openapi-3.0.json": {openapi.JSON30, jsonKey},
	} {
		var keys []string
		for _, match := range c.key.FindAllSubmatch(c.document, -1) {
			keys = append(keys, string(match[1]))
		}
		if !slices.Equal(keys, topLevel) {
			t.Errorf("%s has the keys %v, want %v", name, keys, topLevel)
		}
	}
}
