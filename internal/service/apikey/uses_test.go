package apikey_test

import (
	"testing"
	"time"

	"memexport/internal/service/apikey"
	"memexport/internal/workshop/await"
)

func TestTheLastUseIsWrittenAtMostOnceAMinute(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	secret, key := create(t, s, tenant, apikey.ReadExports)
	version := func() (xmin string) {
		t.Helper()
		if err := db.Get(&xmin, `SELECT xmin::text FROM memexport.api_keys WHERE id = $1`, key.ID); err != nil {
			t.Fatal(err)
		}
		return xmin
	}
	unused := version()
	lookup(t, s, secret)
	await.True(t, time.Minute, "the first use was written", func() bool { return version() != unused })
	first := version()
	for range 5 {
		used := lookup(t, s, secret).LastUsedAt
		if used == nil || time.Since(*used) > time.Minute {
			t.Errorf("last used at %v", used)
		}
	}
	s.AwaitUses(t)
	if version() != first {
		t.Error("the row was written again within the minute")
	}
	db.MustExec(`UPDATE memexport.api_keys SET last_used_at = now() - interval '61 seconds'`)
	before := version()
	lookup(t, s, secret)
	await.True(t, time.Minute, "a use after a minute was written", func() bool { return version() != before })
}

func TestNoRequestWaitsForTheLastUse(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	secret, key := create(t, s, tenant, apikey.ReadExports)
	tx := db.MustBegin()
	defer tx.Rollback()
	tx.MustExec(`SELECT FROM memexport.api_keys WHERE id = $1 FOR UPDATE`, key.ID) // no other transaction can write the row until tx ends
	for range 20 {
		lookup(t, s, secret)
	}
	s.AwaitUses(t) // the writer skips the locked row and does not wait
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	lookup(t, s, secret)
	await.True(t, time.Minute, "the use was written", func() bool { return lookup(t, s, secret).LastUsedAt != nil })
}

func TestAKeyIsValidWhereItsUseCannotBeWritten(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	secret, _ := create(t, s, tenant, apikey.ReadExports)
	db.MustExec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		PERFORM nextval('attempts'); RAISE 'no'; END $$; CREATE SEQUENCE attempts;
		CREATE TRIGGER refuse BEFORE UPDATE ON memexport.api_keys FOR EACH ROW EXECUTE FUNCTION refuse()`)
	for range 20 {
		lookup(t, s, secret)
		s.AwaitUses(t)
	}
	var attempts int
	if err := db.Get(&attempts, `SELECT last_value FROM attempts`); err != nil || attempts != 1 { // the sequence counts attempts even if the statement fails
		t.Errorf("the use was written %d times, want 1 attempt in a minute: %v", attempts, err)
	}
}
