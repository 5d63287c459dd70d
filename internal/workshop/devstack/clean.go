package devstack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Clean deletes dir if dir or a directory inside it, such as .dev/bench, contains a stack. If root ran a
// stack, Clean also deletes the data that the stack keeps outside dir: see PostgresOptions.Dir. If one of
// the stacks is running, Clean deletes nothing and returns an error. log receives a line for every deleted
// directory and may be nil.
func Clean(dir string, log func(format string, args ...any)) error {
	base, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	stacks, err := findStacks(base)
	if err != nil {
		return fmt.Errorf("look for stacks in %s: %w", base, err)
	}
	for _, stack := range stacks {
		release, err := Lock(stack)
		if err != nil {
			return err
		}
		defer release()
		for _, data := range []string{filepath.Join(stack, "postgres"), filepath.Join(dataOutside(stack), "postgres")} {
			if server, ok := readPostmaster(data); ok && serves(server.pid, data) {
				return fmt.Errorf("a Postgres (pid %d) still runs in %s: stop it with `kill -INT %d` first", server.pid, data, server.pid)
			}
		}
	}
	// Include base even if it is not in stacks. Somebody may have deleted the directory base but not the
	// data outside it.
	for _, stack := range append(stacks, base) {
		if err := removeOwn(dataOutside(stack), log); err != nil {
			return err
		}
	}
	if len(stacks) == 0 {
		return nil
	}
	return removeOwn(base, log)
}

// findStacks searches base and all directories inside it. It returns those that contain a file
// written by Lock.
func findStacks(base string) ([]string, error) {
	var stacks []string
	err := filepath.WalkDir(base, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return nil // we cannot delete what we cannot read, and removeOwn will report that
		}
		if err != nil {
			return err
		}
		if d.Type().IsRegular() && d.Name() == "lock" {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if _, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
				stacks = append(stacks, filepath.Dir(path))
			}
		}
		return nil
	})
	return stacks, err
}

// removeOwn deletes a directory if it exists. It returns an error if another user owns the
// directory.
func removeOwn(dir string, log logFunc) error {
	uid, _, err := owner(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if int(uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to the user with the number %d: delete it as that user", dir, uid)
	}
	log.printf("deleting %s", dir)
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("%w: was something in it made by another user, such as root? Delete it as that user", err)
	}
	return nil
}
