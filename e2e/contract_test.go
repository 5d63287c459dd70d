package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"mime"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"memexport/internal/workshop/demo"
	"memexport/internal/workshop/parse"
)

// formats gives the file name extension and the media type of each format.
var formats = map[string][2]string{
	"json":     {"json", "application/json"},
	"csv":      {"csv", "text/csv"},
	"markdown": {"md", "text/markdown"},
	"ndjson":   {"ndjson", "application/x-ndjson"},
	"parquet":  {"parquet", "application/vnd.apache.parquet"},
}

// choice is a query with filters, and the SQL condition that means the same according to the API's
// documentation.
type choice struct {
	query     string
	condition string
	args      []any
}

// choices returns a query for every single filter, and queries with several filters. The values of
// the filters occur in the memories.
func choices(t *testing.T, all []memory) []choice {
	t.Helper()
	// one is a memory with a value in every field that can be filtered.
	one := all[slices.IndexFunc(all[len(all)/3:], func(m memory) bool {
		return m.User != nil && m.Agent != nil && m.Session != nil && len(m.Categories) > 1 && !strings.Contains(m.Categories[0], ",")
	})+len(all)/3]
	early, late := *all[len(all)/4].Created, *all[3*len(all)/4].Created // exactly the created_at of two rows, including microseconds
	earlyTime, err := time.Parse(time.RFC3339, early)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := earlyTime.In(time.FixedZone("", -(5*3600 + 30*60))).Format(time.RFC3339Nano)
	return []choice{
		{"", "true", nil}, // no filter
		{"user_id=" + *one.User, "user_id = $2", []any{*one.User}},
		{"agent_id=" + *one.Agent, "agent_id = $2", []any{*one.Agent}},
		{"session_id=" + *one.Session, "session_id = $2", []any{*one.Session}},
		{"priority=LOW", "priority = 'LOW'", nil},
		{"priority=HIGH", "priority = 'HIGH'", nil},
		{"categories=work", "'work' = ANY(categories)", nil},
		{"categories=work,travel&categories=food", "('work' = ANY(categories) OR 'travel' = ANY(categories) OR 'food' = ANY(categories))", nil},
		{"created_after=" + early, "created_at >= $2", []any{early}},
		{"created_after=" + url.QueryEscape(elsewhere), "created_at >= $2", []any{early}},
		{"created_before=" + late, "created_at < $2", []any{late}},
		{"created_before=2025-02-01", "created_at < '2025-02-01T00:00:00Z'", nil},
		{"created_after=" + early + "&created_before=" + late, "created_at >= $2 AND created_at < $3", []any{early, late}},
		{"priority=MEDIUM&categories=health", "priority = 'MEDIUM' AND 'health' = ANY(categories)", nil},
		{"user_id=" + *one.User + "&created_before=" + late, "user_id = $2 AND created_at < $3", []any{*one.User, late}},
		{"user_id=" + *one.User + "&agent_id=" + *one.Agent + "&session_id=" + *one.Session + "&priority=" + one.Priority +
			"&categories=" + url.QueryEscape(one.Categories[0]) + "&created_after=" + *one.Created + "&created_before=2099-01-01",
			"user_id = $2 AND agent_id = $3 AND session_id = $4 AND priority = $5 AND $6 = ANY(categories) AND created_at >= $7",
			[]any{*one.User, *one.Agent, *one.Session, one.Priority, one.Categories[0], *one.Created}},
		{"user_id=nobody", "false", nil},
		{"created_after=2999-01-01T00:00:00%2B02:00", "false", nil},
	}
}

func TestEveryFilterExportsTheMatchingRowsInEveryFormat(t *testing.T) {
	t.Parallel()
	s := sharedStack(t)
	c := s.client()
	all := table(t, s.db, demo.WorkspaceID, "")
	same(t, "demo memories", len(all), sharedMemories)
	type requested struct {
		choice
		object
	}
	var exports []requested
	for _, choice := range choices(t, all) {
		for format := range formats {
			exports = append(exports, requested{choice, c.create(t, strings.TrimSuffix("format="+format+"&"+choice.query, "&"))})
		}
	}
	began := time.Now()
	for _, e := range exports {
		want := table(t, s.db, demo.WorkspaceID, e.condition, e.args...)
		ready := c.ready(t, e.ID, time.Minute)
		checkFilter(t, ready, e.query)
		checkFile(t, c, ready, want)
		if (len(want) == 0) != (e.condition == "false") {
			t.Errorf("%s selects %d memories, so this tests nothing", e.query, len(want))
		}
	}
	t.Logf("%d exports in %s", len(exports), time.Since(began).Round(time.Millisecond))
}

// checkFilter fails the test unless the Export object shows the filters of the query.
func checkFilter(t *testing.T, e object, query string) {
	t.Helper()
	asked, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]*string{"user_id": e.UserID, "agent_id": e.AgentID, "session_id": e.SessionID, "priority": e.Priority} {
		if asked.Has(name) != (got != nil) || got != nil && *got != asked.Get(name) {
			t.Errorf("%s: %s is %s", query, name, parse.Optional(got))
		}
	}
	var categories []string
	if asked.Has("categories") {
		categories = strings.Split(strings.Join(asked["categories"], ","), ",")
	}
	if !slices.Equal(e.Categories, categories) || (e.Categories == nil) != (categories == nil) {
		t.Errorf("%s: categories are %q", query, e.Categories)
	}
	for name, got := range map[string]*time.Time{"created_after": e.CreatedAfter, "created_before": e.CreatedBefore} {
		text := asked.Get(name)
		if len(text) == len(time.DateOnly) {
			text += "T00:00:00Z"
		}
		want, err := time.Parse(time.RFC3339, text)
		if asked.Has(name) != (got != nil) || got != nil && (err != nil || !got.Equal(want)) {
			t.Errorf("%s: %s is %v, want %v, %v", query, name, got, want, err)
		}
	}
}

// checkFile downloads the file of a READY export. It compares the file and the response headers
// with the Export object, and the memories in the file with the rows of the table.
func checkFile(t *testing.T, c *client, e object, want []memory) {
	t.Helper()
	file := c.do(t, "GET", "/v1/exports/"+e.ID+"/download").want(t, 200)
	digest := hexDigest(file.body)
	same(t, "sha256", *e.SHA256, digest)
	same(t, "ETag", file.header.Get("ETag"), `"`+digest+`"`)
	same(t, "size_bytes", *e.SizeBytes, int64(len(file.body)))
	same(t, "Content-Length", file.header.Get("Content-Length"), strconv.Itoa(len(file.body)))
	same(t, "memory_count", e.MemoryCount, len(want))
	same(t, "retention", e.ExpiresAt.Sub(*e.CompletedAt), 72*time.Hour)
	if e.CreatedAt.After(*e.StartedAt) || e.StartedAt.After(*e.CompletedAt) || e.Error != nil {
		t.Errorf("the times are not in order, or there is an error: %+v", e)
	}
	mediaType, params, err := mime.ParseMediaType(file.header.Get("Content-Type"))
	if err != nil || mediaType != formats[e.Format][1] || params["charset"] != "" && params["charset"] != "utf-8" {
		t.Errorf("Content-Type of %s: %q", e.Format, file.header.Get("Content-Type"))
	}
	disposition, params, err := mime.ParseMediaType(file.header.Get("Content-Disposition"))
	name := params["filename"]
	if err != nil || disposition != "attachment" || !strings.HasSuffix(name, e.ID+"."+formats[e.Format][0]) || strings.ContainsAny(name, `/\" `) {
		t.Errorf("Content-Disposition of %s: %q", e.Format, file.header.Get("Content-Disposition"))
	}
	got, err := parse.Formats[e.Format](file.body)
	if err != nil {
		t.Fatalf("%s: %v", e.Format, err)
	}
	compare(t, e.Format, got, want)
}

// awkward texts contain characters that a careless program corrupts between the table and the file.
var awkward = []string{
	"", " ", "\n", "\r", "\r\n", "\n\r\r\n\n", "\t", "ends\n", "ends\r", "ends\r\n", " both ends ", "a\rb\r\rc", "> quoted\n>> twice",
	"# heading\n## heading · not\n", "- **user_id:** `x`", "```\nfence", "`", "``` ` ``", "<!-- never closed", "<script>alert(1)</script>",
	"<textarea>", "[link](http://example.com)", "[ref]: http://example.com", "[^1]: footnote", "![image](x)", "<http://example.com>",
	"    indented", "\\", `\<\[\\`, `C:\new\table`, "***\n---\n===", "1. one\n2. two", "| a | b |\n|---|---|", "&amp;&lt;&#60;",
	`"`, `""`, `say "hi", twice`, ",", ";", "a,b\r\nc,d", "'", "''", "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r\n=1", "＝1", "＋1", "－1", "＠1",
	"NULL", "null", `\N`, "{}", "[]", `{"a":1}`, "true", "\x01\x02\x1b[31m\x7f", "\u0085\u2028\u2029", "\ufeffBOM", "\u00a0", "\u202eright to left",
	"👩🏽‍🚀", "e\u0301", "日本語", "مرحبا", "\U0010ffff", "\ufffd", "%00%0a", "$1", "?", "${x}", "%s%d", "x' OR '1'='1", "; DROP TABLE memories; --",
}

func TestNoTextBreaksAFile(t *testing.T) {
	s := sharedStack(t)
	c := s.newTenant(t)
	oversize := strings.Repeat("An \"oversize\" text,\r\nwith [everything] <in> it \\ 日本語.\n", 60_000) // 3.5 MB
	texts := append(slices.Clone(awkward), oversize, oversize[1:2_000_001], strings.Join(awkward, "\n"), strings.Join(awkward, ""))
	times := []string{"0001-01-01T00:00:00.000000Z", "1969-12-31T23:59:59.999999Z", "2024-02-29T12:00:00.000001Z", "9999-12-31T23:59:59.999999Z"}
	insert(t, s.db, awkwardMemories(c.workspace, texts, times))
	want := table(t, s.db, c.workspace, "")
	same(t, "memories", len(want), 3*len(texts))
	for format := range formats {
		checkFile(t, c.client, c.ready(t, c.create(t, "format="+format).ID, time.Minute), want)
	}
}

func TestFilterValuesAreTakenLiterally(t *testing.T) {
	s := sharedStack(t)
	c := s.newTenant(t)
	texts := []string{" ", "\n", `"`, `\`, ",", "a,b\r\nc", "NULL", "{}", `{"a":1}`, "\x01\x1b", "👩🏽‍🚀", "e\u0301", "\u00e9", "%00%0a", "a&b=c+d#e", "?", "$1",
		"x' OR '1'='1", "'; DROP TABLE memories; --"}
	insert(t, s.db, awkwardMemories(c.workspace, texts, []string{"2025-01-01T00:00:00.000000Z"}))
	var exports []object
	for _, text := range texts {
		query := url.Values{"user_id": {text}, "agent_id": {text}, "session_id": {text}, "format": {"json"}}
		if !strings.Contains(text, ",") { // in a query, a comma separates the items of a list
			query.Set("categories", text)
		}
		exports = append(exports, c.create(t, query.Encode()))
	}
	for i, text := range texts {
		want := table(t, s.db, c.workspace, "user_id = $2 AND agent_id = $2 AND session_id = $2 AND $2 = ANY(categories)", text)
		same(t, "memories by "+strconv.Quote(text), len(want), 1)
		e := c.ready(t, exports[i].ID, time.Minute)
		same(t, "user_id", *e.UserID, text)
		checkFile(t, c.client, e, want)
	}
}

// awkwardMemories returns three memories for each text. The first has the text in every field. The
// second has it only as the memory's text. The third has NULL in every field that allows NULL.
func awkwardMemories(workspace string, texts, times []string) []memory {
	var memories []memory
	for i, text := range texts {
		attribute := text
		if len(attribute) > 500 {
			attribute = strings.ToValidUTF8(attribute[:500], "")
		}
		encoded, err := json.Marshal(map[string]any{"key " + attribute: []any{attribute, nil, 1.5, "12345678901234567890"}, "n": json.Number("1e400")})
		if err != nil {
			panic(err) // cannot happen: the map contains only texts and numbers
		}
		metadata, empty := string(encoded), ""
		created := times[i%len(times)]
		base := memory{Priority: "LOW", Status: "FAILED", Workspace: workspace, Created: &created, Updated: &times[0], Text: &text, Categories: []string{}}
		everywhere, plain, null := base, base, base
		everywhere.User, everywhere.Agent, everywhere.Session, everywhere.Metadata = &attribute, &attribute, &attribute, &metadata
		everywhere.Categories, everywhere.AccessCount, everywhere.Accessed = []string{attribute, "b", attribute}, -2147483648, &times[len(times)-1]
		plain.User, plain.AccessCount, plain.Categories = &empty, 2147483647, []string{""}
		null.Text = &empty
		for n, m := range []memory{everywhere, plain, null} {
			sum := sha256.Sum256([]byte(workspace + strconv.Itoa(3*i+n)))
			m.ID = hex.EncodeToString(sum[:4]) + "-" + hex.EncodeToString(sum[4:6]) + "-" + hex.EncodeToString(sum[6:8]) + "-" +
				hex.EncodeToString(sum[8:10]) + "-" + hex.EncodeToString(sum[10:16])
			memories = append(memories, m)
		}
	}
	return memories
}
