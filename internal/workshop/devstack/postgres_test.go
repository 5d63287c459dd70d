package devstack

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"memexport/internal/workshop/await"
	"memexport/internal/workshop/process"
)

func TestPostgresKeepsItsDataAndItsPort(t *testing.T) {
	dir := stackDir(t)
	first := startPostgres(t, PostgresOptions{Dir: dir})
	if err := exec1(first.URL, "CREATE TABLE kept (n int)"); err != nil {
		t.Fatal(err)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	<-first.Done()
	if err := first.Err(); err != nil {
		t.Error("Err reports a server that Stop ended:", err)
	}
	if !process.Ended(first.PID) {
		t.Error("the process is still there after Stop")
	}
	second := startPostgres(t, PostgresOptions{Dir: dir})
	if err := exec1(second.URL, "SELECT n FROM kept"); err != nil {
		t.Error("the data is lost:", err)
	}
	if first.Port != second.Port && tryListen(first.Port) == nil { // the port is free, so the second start should have used it
		t.Errorf("the port was %d and is %d", first.Port, second.Port)
	}
}

func TestPostgresReportsItsDeathAndStartsAgain(t *testing.T) {
	dir := stackDir(t)
	first := startPostgres(t, PostgresOptions{Dir: dir})
	if err := exec1(first.URL, "CREATE TABLE kept (n int)"); err != nil {
		t.Fatal(err)
	}
	if err := first.Err(); err != nil {
		t.Error("Err reports a server that runs:", err)
	}
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-first.Done()
	wantError(t, first.Err(), "postgres stopped unexpectedly", "killed", "database system is ready")
	second := startPostgres(t, PostgresOptions{Dir: dir, Port: first.Port})
	if err := exec1(second.URL, "SELECT n FROM kept"); err != nil {
		t.Error("the data is lost:", err)
	}
}

func TestPostgresWaitsForTheServerOfThePreviousRun(t *testing.T) {
	dir := stackDir(t)
	first := startPostgres(t, PostgresOptions{Dir: dir})
	var waited bool
	second, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir, Fast: true, Log: func(format string, args ...any) {
		if strings.Contains(format, "waiting for the server of the previous run") {
			waited = true
			if err := syscall.Kill(first.PID, syscall.SIGINT); err != nil { // the signal that Postgres gets when its parent dies
				t.Error(err)
			}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if !waited {
		t.Error("it did not say that it waits")
	}
	if err := second.Stop(); err != nil {
		t.Error(err)
	}
}

func TestPostgresIsNotMisledByARecycledProcessNumber(t *testing.T) {
	dir := stackDir(t)
	p := startPostgres(t, PostgresOptions{Dir: dir})
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	pidFile := filepath.Join(p.DataDir, "postmaster.pid")
	if err := os.WriteFile(pidFile, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	startPostgres(t, PostgresOptions{Dir: dir})
}

func TestPostgresNamesATakenPort(t *testing.T) {
	port := takePort(t)
	_, err := StartPostgres(t.Context(), PostgresOptions{Dir: stackDir(t), Fast: true, Port: port})
	wantError(t, err, strconv.Itoa(port), "in use", "--postgres-port")
}

func TestPostgresRejectsTheDataOfAnotherVersion(t *testing.T) {
	dir := stackDir(t)
	p := startPostgres(t, PostgresOptions{Dir: dir})
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.DataDir, "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir, Fast: true})
	wantError(t, err, "was made by PostgreSQL 9", "is version "+p.Version, "delete that directory", "install PostgreSQL 9")
}

func TestPostgresRecoversFromAKilledInit(t *testing.T) {
	dir := stackDir(t)
	parent, _ := startParent(t, "postgres", dir)
	halfMade := func() []string {
		found, err := filepath.Glob(filepath.Join(dir, "postgres.init-*", "PG_VERSION"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	await.True(t, patience, "initdb is half-way", func() bool { return len(halfMade()) > 0 })
	parent.Kill()
	if _, err := os.Stat(filepath.Join(dir, "postgres")); err == nil {
		t.Fatal("initdb had finished when it was killed")
	}
	p := startPostgres(t, PostgresOptions{Dir: dir})
	if err := exec1(p.URL, "SELECT 1"); err != nil {
		t.Error(err)
	}
}

func TestPostgresDoesNotTouchForeignFiles(t *testing.T) {
	dir := stackDir(t)
	letter := filepath.Join(dir, "postgres", "letter")
	if err := os.Mkdir(filepath.Dir(letter), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(letter, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir, Fast: true})
	wantError(t, err, "not a Postgres data directory", "--dir")
	if _, err := os.Stat(letter); err != nil {
		t.Error(err)
	}
}

func TestPostgresShowsItsLogWhenItCannotStart(t *testing.T) {
	dir := stackDir(t)
	p := startPostgres(t, PostgresOptions{Dir: dir})
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(filepath.Join(p.DataDir, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString("no_such_setting = 1\n"); err != nil {
		t.Fatal(err)
	}
	_, err = StartPostgres(t.Context(), PostgresOptions{Dir: dir, Fast: true})
	wantError(t, err, "stopped unexpectedly", "no_such_setting", p.LogFile)
}

func TestRootsDataGoesWherePostgresCanReachIt(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root has to run Postgres as somebody else")
	}
	dir := t.TempDir() // other users cannot enter this directory
	var told []string
	start := func() *Postgres {
		t.Helper()
		p, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir, Fast: true, Log: func(format string, args ...any) {
			told = append(told, format)
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = p.Stop()
			_ = os.RemoveAll(filepath.Dir(p.DataDir))
		})
		return p
	}
	first := start()
	if !strings.HasPrefix(first.DataDir, "/var/tmp/memexport-") || !strings.Contains(strings.Join(told, "\n"), "cannot reach") {
		t.Errorf("the data is in %s, and the log says %q", first.DataDir, told)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	if second := start(); second.DataDir != first.DataDir {
		t.Errorf("the data was in %s and is in %s", first.DataDir, second.DataDir)
	}
}

// takePort listens on a port until the end of the test and returns that port.
func takePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener.Addr().(*net.TCPAddr).Port
}
