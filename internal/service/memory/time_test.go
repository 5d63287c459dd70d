package memory

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lib/pq"
)

// minFinite is 4714-11-24 BC, Postgres's smallest finite timestamp.
const minFinite Time = -211_813_488_000_000_000

// unixEpoch is the number of microseconds from 1970 to 2000.
const unixEpoch = 946_684_800_000_000

// times returns all special times, and random ones of every magnitude.
func times() []Time {
	all := []Time{0, 1, -1, minFinite, minFinite + 1, maxFinite, maxFinite - 1, Infinity, NegativeInfinity,
		math.MaxInt64 - unixEpoch, math.MaxInt64 - unixEpoch + 1, -unixEpoch, -unixEpoch - 1}
	for _, text := range []string{"0000-12-31", "0001-01-01", "0000-01-01", "0000-02-29", "1900-02-28", "2000-02-29", "2024-02-29", "9999-12-31", "2100-03-01"} {
		day, err := time.Parse(time.DateOnly, text)
		if err != nil {
			panic(err)
		}
		for _, off := range []time.Duration{-time.Microsecond, 0, time.Microsecond, 24*time.Hour - time.Microsecond, 24 * time.Hour} {
			all = append(all, TimeOf(day.Add(off)))
		}
	}
	random := rand.New(rand.NewPCG(9, 10))
	for range 5000 {
		all = append(all, minFinite+Time(random.Int64N(int64(maxFinite)))+Time(random.Int64N(-int64(minFinite))))
		if t := Time(random.Int64() >> random.IntN(63)); t <= maxFinite {
			all = append(all, t)
		}
		if t := -Time(random.Int64() >> random.IntN(63)); t >= minFinite {
			all = append(all, t)
		}
	}
	return all
}

// std converts t to a time.Time, using only the standard library.
func std(t Time) time.Time {
	return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(0).AddDate(0, 0, int(t/86_400_000_000)).Add(time.Duration(t%86_400_000_000) * time.Microsecond)
}

func TestATimeIsWrittenAsTheStandardLibraryDoes(t *testing.T) {
	for _, v := range times() {
		want := "infinity"
		if v == NegativeInfinity {
			want = "-infinity"
		} else if v != Infinity {
			s := std(v)
			year := fmt.Sprintf("%04d", s.Year())
			if s.Year() < 0 || s.Year() > 9999 {
				year = fmt.Sprintf("%+07d", s.Year())
			}
			want = year + s.Format("-01-02T15:04:05.000000Z")
		}
		if got := string(v.Append([]byte(">"))); got != ">"+want {
			t.Fatalf("Append(%d) = %q, want %q", v, got, want)
		}
	}
}

func TestATimeIsWrittenAsPostgresDoes(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	var micros []int64
	for _, v := range times() {
		if v >= TimeOf(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)) && v < TimeOf(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)) {
			micros = append(micros, int64(v))
		}
	}
	var want []string
	err := db.Select(&want, `SELECT to_char((timestamptz '2000-01-01 00:00:00+00' + (m / 86400000000) * interval '24 hours' + (m % 86400000000) * interval '1 microsecond')
		AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM unnest($1::bigint[]) WITH ORDINALITY u(m, n) ORDER BY n`, pq.Array(micros))
	if err != nil {
		t.Fatal(err)
	}
	if len(want) != len(micros) || len(want) < 1000 {
		t.Fatalf("%d texts of %d times", len(want), len(micros))
	}
	for i, m := range micros {
		if got := Time(m).String(); got != want[i] {
			t.Fatalf("%d is %s, want %s", m, got, want[i])
		}
	}
}

func TestALiteralIsReadBackInEverySession(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	db.SetMaxOpenConns(1)
	all := times()
	literals := make([]string, len(all))
	for i, v := range all {
		literals[i] = v.literal()
	}
	for _, session := range []string{`SET TIME ZONE 'UTC'`, `SET TIME ZONE 'Asia/Kathmandu'; SET datestyle = 'SQL, DMY'`, `SET TIME ZONE 'America/St_Johns'; SET datestyle = 'German'; SET intervalstyle = 'sql_standard'`} {
		exec(t, db, session)
		var got []int64
		err := db.Select(&got, `SELECT ('x' || encode(timestamptz_send(l::timestamptz), 'hex'))::bit(64)::bigint
			FROM unnest($1::text[]) WITH ORDINALITY u(l, n) ORDER BY n`, pq.Array(literals))
		if err != nil {
			t.Fatal(session, err)
		}
		for i, v := range all {
			if got[i] != int64(v) {
				t.Fatalf("%s: the literal %q of %d is read as %d", session, literals[i], v, got[i])
			}
		}
	}
}

func TestTimeOfRoundsDownAndStdConvertsBack(t *testing.T) {
	for _, v := range times() {
		if v == Infinity || v == NegativeInfinity {
			continue
		}
		if want := std(v); !v.Std().Equal(want) {
			t.Fatalf("%d is %v, want %v", v, v.Std(), want)
		}
		for _, more := range []time.Duration{0, 1, 999} {
			if s := std(v).Add(more); s.Year() > -290000 && s.Year() < 290000 && TimeOf(s) != v {
				t.Fatalf("TimeOf(%v) = %d, want %d", s, TimeOf(s), v)
			}
		}
	}
	if zone := Time(0).Std().Location(); zone != time.UTC {
		t.Errorf("Std is in %v", zone)
	}
}

func TestTheMiddleLiesBetween(t *testing.T) {
	all := times()
	random := rand.New(rand.NewPCG(11, 12))
	for range 100_000 {
		a, b := pick(random, all), pick(random, all)
		if a >= b {
			continue
		}
		if m := middle(a, b); m < a || m >= b || (m != NegativeInfinity && (m < minFinite || m > maxFinite)) {
			t.Fatalf("middle(%d, %d) = %d", a, b, m)
		}
	}
}
