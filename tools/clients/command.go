package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"memexport/internal/workshop/process"
)

// stopGrace is how long a program may take to stop when make clients is interrupted.
const stopGrace = time.Minute

// output runs a program and returns its standard output. env is added to the environment. If the
// program fails, the error contains everything that it printed.
func output(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	text, err := process.Run(ctx, cmd, process.RunOptions{Grace: stopGrace})
	var failure *process.Failure
	if errors.As(err, &failure) {
		err = fmt.Errorf("%s: %w\n%s", failure.Command, failure.Err, failure.Output)
	}
	return text, err
}
