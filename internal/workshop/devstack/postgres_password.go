package devstack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"memexport/internal/workshop/process"
)

// passwordFile returns the path of the file that contains the password of postgresUser. Only the owner of
// the stack can read the file. Without a password, every user of the machine could connect to the port as
// superuser.
func (c *cluster) passwordFile() string { return filepath.Join(c.base, "postgres.password") }

// readPassword reads the password that an earlier start wrote. If there is no file, the password stays
// empty.
func (c *cluster) readPassword() error {
	text, err := os.ReadFile(c.passwordFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the password of Postgres: %w", err)
	}
	c.password = strings.TrimSpace(string(text))
	return nil
}

// makePassword creates a password and writes it to the file, unless there is a password already.
func (c *cluster) makePassword() error {
	if c.password != "" {
		return nil
	}
	c.password = rand.Text()
	return c.keepPassword()
}

func (c *cluster) keepPassword() error {
	if err := os.WriteFile(c.passwordFile(), []byte(c.password+"\n"), 0o600); err != nil {
		return fmt.Errorf("the password of Postgres: %w", err)
	}
	return nil
}

// hostRules makes Postgres ask every connection for the password.
const hostRules = `# type database user address method
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
host all all ::1/128 scram-sha-256
`

// requirePassword sets a password in a cluster that has none. Such a cluster was created by an earlier
// version, which let every local user connect. The server must not be running. The password file is
// written last: if the start is killed before that, the next start repeats everything.
func (c *cluster) requirePassword(ctx context.Context) error {
	c.password = rand.Text()
	cmd := exec.Command(c.binaries.postgres, "--single", "-D", c.data, "postgres")
	cmd.Dir, cmd.Env = c.data, postgresEnv()
	cmd.Stdin = strings.NewReader("ALTER ROLE " + postgresUser + " PASSWORD '" + c.password + "'\n")
	c.account.apply(cmd)
	if _, err := process.Run(ctx, cmd, process.RunOptions{}); err != nil {
		return fmt.Errorf("give Postgres a password: %w", err)
	}
	// Overwrite the file instead of replacing it, so that it keeps its owner.
	if err := os.WriteFile(filepath.Join(c.data, "pg_hba.conf"), []byte(hostRules), 0o600); err != nil {
		return fmt.Errorf("give Postgres a password: %w", err)
	}
	return c.keepPassword()
}
