package memory

import (
	"database/sql"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// checkArray compares the result of appendArray with Postgres's array_to_json.
func checkArray(t *testing.T, db *sqlx.DB, array any) {
	t.Helper()
	var literal, want []byte
	if err := db.QueryRow(`SELECT a, array_to_json(a) FROM (SELECT $1::text[] AS a) v`, array).Scan(&literal, &want); err != nil {
		t.Fatal(err)
	}
	got := appendArray([]byte("before"), literal)
	if !strings.HasPrefix(string(got), "before") {
		t.Fatalf("%s: the bytes in dst are gone: %s", literal, got)
	}
	got = got[len("before"):]
	if !json.Valid(got) || !utf8.Valid(got) {
		t.Fatalf("%q becomes %q, which is not JSON", literal, got)
	}
	if g, w := string(canonical(got)), string(canonical(want)); g != w {
		t.Fatalf("%q becomes\n%s, want\n%s", literal, g, w)
	}
}

// pieces are strings from which random array elements are made.
var pieces = []string{"", "a", "NULL", "null", ",", "{", "}", `"`, `\`, " ", "\t", "\n", "\r", "\v", "\f", "\b", "\x01", "\x1f", "\x7f", "'", "[", "]", "=", ":",
	"ä", "好", "😀", "\u00a0", "\u0085", "\u2028", "\ufeff", "\ufffd", "<", "&", "/", "0", "-"}

func TestArraysBecomeTheSameJSONAsInPostgres(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	random := rand.New(rand.NewPCG(13, 14))
	element := func() sql.NullString {
		var b strings.Builder
		for range random.IntN(4) {
			b.WriteString(pick(random, pieces))
		}
		return sql.NullString{String: b.String(), Valid: random.IntN(8) > 0}
	}
	for range 1000 {
		elements := make([]sql.NullString, random.IntN(6))
		for i := range elements {
			elements[i] = element()
		}
		checkArray(t, db, pq.Array(elements))
	}
	for range 200 {
		var cube [2][3][1]sql.NullString
		for i := range cube {
			for j := range cube[i] {
				cube[i][j][0] = element()
			}
		}
		checkArray(t, db, pq.Array(cube))
	}
	for _, literal := range []string{`{}`, `[0:0]={a}`, `[2:3]={"=","]"}`, `[-7:-6][0:1]={{a,b},{c,d}}`, `[-2147483648:-2147483648]={x}`} {
		checkArray(t, db, literal)
	}
}

func TestAStringHasOnlyTheEscapesThatJSONRequires(t *testing.T) {
	for b := range byte(0x80) {
		got := string(AppendJSONByte(nil, b))
		var back string
		if err := json.Unmarshal([]byte(`"`+got+`"`), &back); err != nil || back != string(rune(b)) {
			t.Errorf("the byte %#x becomes %s, which is read as %q: %v", b, got, back, err)
		}
		want := 1
		if strings.ContainsRune("\"\\\n\r\t", rune(b)) {
			want = len(`\n`)
		} else if b < ' ' {
			want = len(`\u0000`)
		}
		if len(got) != want {
			t.Errorf("the byte %#x becomes %s", b, got)
		}
	}
	for b := 0x80; b <= 0xff; b++ { // parts of longer characters
		if got := AppendJSONByte(nil, byte(b)); string(got) != string([]byte{byte(b)}) {
			t.Errorf("the byte %#x becomes %q", b, got)
		}
	}
}

func FuzzArray(f *testing.F) {
	_, db := open(f)
	for _, p := range pieces {
		f.Add(p, p+"x", p+p)
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		for _, s := range []string{a, b, c} {
			if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
				return // Postgres cannot store such a text
			}
		}
		checkArray(t, db, pq.Array([]string{a, b, c}))
		checkArray(t, db, pq.Array([][]string{{a, b}, {c, a}}))
	})
}
