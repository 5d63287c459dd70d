package devstack

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	_ "github.com/lib/pq" // the driver "postgres"

	"memexport/internal/workshop/process"
)

// previousRunTimeout is how long a start waits for the server of a killed run to shut down. The last
// checkpoint of that server may take a while.
const previousRunTimeout = time.Minute

// cluster is a Postgres data directory, together with the programs and the user that run its
// server.
type cluster struct {
	base     string   // PostgresOptions.Dir as an absolute path
	data     string   // the data directory
	account  *account // the user that Postgres runs as; nil for the user of this process
	binaries binaries
	password string // of postgresUser
}

// openCluster finds or creates the data directory for o.Dir.
func openCluster(ctx context.Context, o PostgresOptions) (*cluster, error) {
	base, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("the directory of Postgres: %w", err)
	}
	if err := os.MkdirAll(base, dirMode()); err != nil {
		return nil, fmt.Errorf("the directory of Postgres: %w; use --dir to choose another", err)
	}
	data, runAs, err := placeData(base, o.Log)
	if err != nil {
		return nil, err
	}
	made, err := clusterVersion(data)
	if err != nil {
		return nil, err
	}
	found, err := findBinaries(ctx, runAs, made, o.Log)
	if err != nil {
		return nil, err
	}
	c := &cluster{base: base, data: data, account: runAs, binaries: found}
	if err := c.readPassword(); err != nil {
		return nil, err
	}
	switch {
	case made == "":
		return c, c.init(ctx, o)
	case made != found.major:
		return nil, fmt.Errorf("%s was made by PostgreSQL %s and %s is version %s: delete that directory (its data is lost), "+
			"or install PostgreSQL %s", data, made, found.postgres, found.major, made)
	}
	if err := runAs.own(data); err != nil {
		return nil, err
	}
	if err := waitPreviousRun(ctx, data, o.Log); err != nil || c.password != "" {
		return c, err
	}
	return c, c.requirePassword(ctx)
}

// clusterVersion returns the major version of the Postgres that created the data directory, or "" if
// there is no data directory.
func clusterVersion(data string) (string, error) {
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	switch {
	case err == nil:
		return strings.TrimSpace(string(text)), nil
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("%w: the data directory belongs to another user (was it made by root?): "+
			"delete it as that user, or use --dir", err)
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("the Postgres data directory: %w", err)
	}
	// Remove fails if the directory is not empty, so no files are lost.
	if err := os.Remove(data); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is not empty and not a Postgres data directory (it has no PG_VERSION): "+
			"delete it, or use --dir", data)
	}
	return "", nil
}

// init creates the data directory under another name and renames it when it is complete. So if the start
// is killed, it leaves no incomplete data directory.
func (c *cluster) init(ctx context.Context, o PostgresOptions) error {
	halfMade, err := filepath.Glob(c.data + ".init-*")
	if err != nil {
		return err
	}
	for _, dir := range halfMade {
		_ = os.RemoveAll(dir) // this fails if initdb is still writing to dir; then the next start deletes dir
	}
	logFunc(o.Log).printf("postgres: initializing %s (PostgreSQL %s)", c.data, c.binaries.major)
	dir, err := os.MkdirTemp(filepath.Dir(c.data), filepath.Base(c.data)+".init-")
	if err != nil {
		return fmt.Errorf("make the Postgres data directory: %w", err)
	}
	err = c.makePassword()
	if err == nil {
		err = c.initdb(ctx, dir, o.Fast)
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return err
	}
	if err := os.Rename(dir, c.data); err != nil {
		return fmt.Errorf("make the Postgres data directory: %w", err)
	}
	return nil
}

func (c *cluster) initdb(ctx context.Context, dir string, fast bool) error {
	// initdb reads the password from a file that the account must be able to read. The file must lie
	// outside of dir, because initdb requires an empty directory.
	password := dir + ".password"
	defer os.Remove(password)
	if err := os.WriteFile(password, []byte(c.password+"\n"), 0o600); err != nil {
		return fmt.Errorf("make the Postgres data directory: %w", err)
	}
	for _, path := range []string{dir, password} {
		if err := c.account.own(path); err != nil {
			return err
		}
	}
	run := func(locale string) error {
		args := []string{"-D", dir, "-U", postgresUser, "-E", "UTF8", "--locale=" + locale, "--auth=scram-sha-256", "--pwfile=" + password}
		if fast {
			args = append(args, "--no-sync")
		}
		cmd := exec.Command(c.binaries.initdb, args...)
		cmd.Dir = dir
		cmd.Env = postgresEnv()
		c.account.apply(cmd)
		_, err := process.Run(ctx, cmd, process.RunOptions{})
		return err
	}
	err := run("C.UTF-8")
	if failure, ok := errors.AsType[*process.Failure](err); ok && strings.Contains(failure.Output, "invalid locale") {
		err = run("C") // the locale C differs from C.UTF-8 only in upper and lower case of non-ASCII letters
	}
	return err
}

// postmaster contains what a running server writes to its postmaster.pid.
type postmaster struct {
	pid   int
	ready bool // whether the server accepts connections
}

func readPostmaster(data string) (postmaster, bool) {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return postmaster{}, false
	}
	lines := strings.Split(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 0 {
		return postmaster{}, false
	}
	const statusLine = 7
	return postmaster{pid: pid, ready: len(lines) > statusLine && strings.TrimSpace(lines[statusLine]) == "ready"}, true
}

// waitPreviousRun waits until the server of a killed run, if there is one, no longer uses the data
// directory.
func waitPreviousRun(ctx context.Context, data string, log logFunc) error {
	old, ok := readPostmaster(data)
	if !ok {
		return nil
	}
	if !serves(old.pid, data) {
		// Delete the file, because Postgres only checks whether a process exists that has the process
		// id in the file. Postgres would refuse to start if that process is a zombie, or a different
		// program that got the same process id later.
		if err := os.Remove(filepath.Join(data, "postmaster.pid")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the postmaster.pid of a killed Postgres: %w", err)
		}
		return nil
	}
	log.printf("postgres: waiting for the server of the previous run (pid %d) to stop", old.pid)
	ctx, cancel := context.WithTimeoutCause(ctx, previousRunTimeout, fmt.Errorf(
		"a Postgres (pid %d) still runs in %s: stop it with `kill -INT %d` and start again", old.pid, data, old.pid))
	defer cancel()
	return poll(ctx, 50*time.Millisecond, func() (bool, error) { return !serves(old.pid, data), nil })
}

// createDatabase creates the database memexport when it is missing.
func (c *cluster) createDatabase(ctx context.Context, port int) error {
	db, err := sql.Open("postgres", c.url(port, "postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	var exists bool
	err = db.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", postgresDatabase).Scan(&exists)
	if err == nil && !exists {
		_, err = db.ExecContext(ctx, "CREATE DATABASE "+postgresDatabase)
	}
	if err != nil {
		return fmt.Errorf("create the database %s: %w", postgresDatabase, err)
	}
	return nil
}

// postgresEnv returns the environment for Postgres and its tools. It leaves out the variables that would
// change what they do. It sets the language of messages to English, because this package parses them.
func postgresEnv() []string { return append(process.EnvironWithout("PG", "LC_", "LANG"), "LC_ALL=C") }
