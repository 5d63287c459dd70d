package devstack

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// without returns the URL of p with this password instead of its own. If password is nil, the URL
// contains no password.
func without(t *testing.T, p *Postgres, password *url.Userinfo) string {
	t.Helper()
	u, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = password
	return u.String()
}

func wantPassword(t *testing.T, p *Postgres) {
	t.Helper()
	if err := exec1(p.URL, "SELECT 1"); err != nil {
		t.Error("with the password:", err)
	}
	for _, user := range []*url.Userinfo{url.User(postgresUser), url.UserPassword(postgresUser, "wrong"), url.User("postgres")} {
		if err := exec1(without(t, p, user), "SELECT 1"); err == nil {
			t.Errorf("%q could connect", user)
		}
	}
}

func TestPostgresAsksForAPassword(t *testing.T) {
	t.Setenv("PGPASSWORD", "")
	dir := stackDir(t)
	p := startPostgres(t, PostgresOptions{Dir: dir})
	wantPassword(t, p)
	for _, name := range []string{"postgres.password", "postgres.log"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.init-*")); err != nil || len(left) > 0 {
		t.Errorf("initdb left %q, %v", left, err)
	}
}

func TestPostgresOfAnEarlierVersionGetsAPassword(t *testing.T) {
	dir := stackDir(t)
	first := startPostgres(t, PostgresOptions{Dir: dir})
	if err := exec1(first.URL, "CREATE TABLE kept (n int)"); err != nil {
		t.Fatal(err)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	// Make the cluster as earlier versions did: with initdb --auth=trust, and without a password file.
	trusting := strings.ReplaceAll(hostRules, "scram-sha-256", "trust")
	if err := os.WriteFile(filepath.Join(first.DataDir, "pg_hba.conf"), []byte(trusting), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "postgres.password")); err != nil {
		t.Fatal(err)
	}
	second := startPostgres(t, PostgresOptions{Dir: dir})
	wantPassword(t, second)
	if second.URL == first.URL {
		t.Error("the password is the old one")
	}
	if err := exec1(second.URL, "SELECT n FROM kept"); err != nil {
		t.Error("the data is lost:", err)
	}
}
