package config_test

import (
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"memexport/internal/service/config"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

const documentPath = "../../../docs/configuration.md"

const documentHead = `<!-- Generated from internal/service/config/config.go by "make generate". Do not edit. -->

# Configuration

The service is configured by environment variables. A process reads them when it starts. If one is
wrong, the process ends with a message that names every wrong variable and how to correct it.
` + "`memexport dev`" + ` runs api and worker in one process and reads the same variables.

Durations are written as Go does: ` + "`90s`, `15m`, `72h`" + `. An empty variable counts as not set.

| variable | default | used by | description |
| --- | --- | --- | --- |
`

const documentTail = `
## Temporal

` + "`api` and `worker`" + ` find Temporal as every Temporal tool does:

| variable | default | description |
| --- | --- | --- |
| ` + "`TEMPORAL_ADDRESS`" + ` | ` + "`localhost:7233`" + ` | host:port of the Temporal frontend |
| ` + "`TEMPORAL_NAMESPACE`" + ` | ` + "`default`" + ` | the namespace, which must exist. Each deployment of memexport needs a namespace of its own, because a namespace has one pair of [schedules](temporal-ui.md#the-schedules) |
| ` + "`TEMPORAL_API_KEY`" + ` | | an API key, for Temporal Cloud; turns on TLS |
| ` + "`TEMPORAL_TLS`" + ` and ` + "`TEMPORAL_TLS_…`" + ` | | TLS and its certificates |
| ` + "`TEMPORAL_CONFIG_FILE`, `TEMPORAL_PROFILE`" + ` | | Temporal's configuration file and the profile in it; variables override it |

## Variables of other libraries

- Credentials of the bucket: those of each cloud's SDK, see [stores.md](stores.md#credentials-and-permissions).
- ` + "`GOGC` and `GOMEMLIMIT`" + ` tune Go's garbage collector. If they are not set, the processes choose values that suit them: the memory
  limit of a worker grows with the activities that it runs, and stays below the limit of its container.
- ` + "`PGSSLMODE`, `PGSSLROOTCERT`" + ` and the other variables of libpq complete the database URLs.
`

// document returns the text of docs/configuration.md, generated from the fields of Config.
func document(t *testing.T) string {
	var page strings.Builder
	page.WriteString(documentHead)
	fields := reflect.TypeFor[config.Config]()
	for i := range fields.NumField() {
		tag := fields.Field(i).Tag
		for _, key := range []string{"env", "for", "doc"} {
			if tag.Get(key) == "" {
				t.Errorf("the field %s has no tag %q", fields.Field(i).Name, key)
			}
		}
		value := tag.Get("envDefault")
		if value != "" {
			value = "`" + value + "`"
		}
		page.WriteString("| `" + tag.Get("env") + "` | " + value + " | " + tag.Get("for") + " | " + linked(tag.Get("doc")) + " |\n")
	}
	page.WriteString(documentTail)
	return page.String()
}

// linked turns the names of pages that a description mentions into links.
func linked(text string) string {
	words := strings.Split(text, " ")
	for i, word := range words {
		if name, _, isPage := strings.Cut(word, ".md"); isPage {
			words[i] = "[" + name + ".md](" + name + ".md)" + strings.TrimPrefix(word, name+".md")
		}
	}
	return strings.Join(words, " ")
}

func TestTheDocumentIsCurrent(t *testing.T) {
	want := document(t)
	if *update {
		if err := os.WriteFile(documentPath, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(documentPath); err != nil || string(got) != want {
		t.Errorf("docs/configuration.md differs from the code: run `make generate` (%v)", err)
	}
}

func TestTheDocumentLinksToPagesThatExist(t *testing.T) {
	for _, link := range strings.Split(document(t), "](")[1:] {
		name, _, _ := strings.Cut(link, ")")
		name, _, _ = strings.Cut(name, "#")
		if _, err := os.Stat("../../../docs/" + name); err != nil {
			t.Error(err)
		}
	}
}

func TestEverySettingIsForAKnownCommand(t *testing.T) {
	fields := reflect.TypeFor[config.Config]()
	for i := range fields.NumField() {
		for command := range strings.SplitSeq(fields.Field(i).Tag.Get("for"), ", ") {
			if !slices.Contains([]string{"api", "worker", "migrate", "keys", "audit"}, command) {
				t.Errorf("%s is for %q", fields.Field(i).Name, command)
			}
		}
	}
}
