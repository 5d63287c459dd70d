package devstack

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user that Postgres runs as when root starts it, because Postgres refuses to run as
// root. A nil account stands for the user of this process.
type account struct{ uid, gid uint32 }

// apply makes cmd run as the account's user.
func (a *account) apply(cmd *exec.Cmd) {
	if a == nil {
		return
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
}

// own makes the account the owner of dir and everything in dir, unless the account owns dir already.
func (a *account) own(dir string) error {
	if a == nil {
		return nil
	}
	if uid, _, err := owner(dir); err == nil && uid == a.uid {
		return nil
	}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(a.uid), int(a.gid))
	})
	if err != nil {
		return fmt.Errorf("give the Postgres data directory to the user that Postgres runs as: %w", err)
	}
	return nil
}

// reaches reports whether the account can enter dir. To find out, it runs a program in dir as the account,
// so the result is also right with groups and access control lists.
func (a *account) reaches(dir string) bool {
	cmd := exec.Command("/bin/sh", "-c", ":")
	cmd.Dir = dir
	a.apply(cmd)
	return cmd.Run() == nil
}

// placeData returns the data directory of the stack in base, and the user that Postgres runs as.
func placeData(base string, log logFunc) (data string, _ *account, _ error) {
	data = filepath.Join(base, "postgres")
	if os.Geteuid() != 0 {
		return data, nil, nil
	}
	runAs, err := accountFor(data)
	if err != nil {
		return "", nil, err
	}
	if runAs.reaches(base) {
		return data, runAs, nil
	}
	elsewhere := dataOutside(base)
	if err := os.Mkdir(elsewhere, 0o711); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", nil, fmt.Errorf("make a place for the Postgres data directory: %w", err)
	}
	// Everybody can create directories in /var/tmp, so check that this directory belongs to root.
	info, err := os.Lstat(elsewhere)
	if err != nil {
		return "", nil, fmt.Errorf("the place of the Postgres data directory: %w", err)
	}
	if uid, _, err := owner(elsewhere); err != nil || uid != 0 || !info.IsDir() {
		return "", nil, fmt.Errorf("%s is not a directory that belongs to root: delete it, or use --dir", elsewhere)
	}
	log.printf("postgres: its data is in %s, because the user that Postgres runs as (uid %d) cannot reach %s", elsewhere, runAs.uid, base)
	data = filepath.Join(elsewhere, "postgres")
	runAs, err = accountFor(data)
	return data, runAs, err
}

// dataOutside returns the directory for Postgres's data if the user that runs Postgres cannot enter
// base. The result depends only on base.
func dataOutside(base string) string {
	hash := sha256.Sum256([]byte(base))
	return fmt.Sprintf("/var/tmp/memexport-%x", hash[:6])
}

// accountFor returns the user that Postgres runs as if root starts it. It returns the owner of the data
// directory if the directory exists and root does not own it. Otherwise it returns the user postgres, or
// the user nobody if there is no user postgres.
func accountFor(data string) (*account, error) {
	if uid, gid, err := owner(data); err == nil && uid != 0 {
		return &account{uid: uid, gid: gid}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(found.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(found.Gid, 10, 32)
		if uidErr == nil && gidErr == nil {
			return &account{uid: uint32(uid), gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("Postgres does not run as root, and this system has neither a user postgres nor a user nobody: " +
		"run as an ordinary user, or `useradd postgres`")
}

func owner(path string) (uid, gid uint32, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, fmt.Errorf("%s: the owner is unknown", path)
	}
	return stat.Uid, stat.Gid, nil
}
