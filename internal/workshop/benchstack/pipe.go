package benchstack

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"time"

	"memexport/internal/workshop/measure"
	"memexport/internal/workshop/process"
)

// RunPipe runs a psql command that writes to standard output, pipes the output into an upload, and measures
// both. The upload creates the object key on the S3 server. If gzip is true, gzip -1 compresses the output
// before the upload. CPU in the result is the time of psql, gzip and the upload. Peak is the memory of the upload.
func (s *Stack) RunPipe(ctx context.Context, command, key string, gzip bool) (run PsqlRun, err error) {
	steps := []*exec.Cmd{s.psqlCommand(command)}
	if gzip {
		steps = append(steps, exec.Command("gzip", "-1"))
	}
	steps = append(steps, exec.Command(s.S3.uploader, bucketURL(s.S3.Address()), key))
	server, began := s.PostgresCPU(), time.Now()
	if err := s.pipe(ctx, steps, &run); err != nil {
		return run, err
	}
	run.Wall = time.Since(began)
	for _, step := range steps {
		run.CPU += step.ProcessState.UserTime() + step.ProcessState.SystemTime()
	}
	run.PostgresCPU = s.PostgresCPU() - server
	return run, nil
}

// pipe runs steps at the same time, with the output of each as the input of the next, until all have ended.
// It sets run.Peak to the peak memory of the last one.
func (s *Stack) pipe(ctx context.Context, steps []*exec.Cmd, run *PsqlRun) error {
	var running []*process.Process
	var ends []io.Closer // this process's copies of the pipes' ends; the children see no end of file until these are closed
	closeEnds := func() {
		for _, end := range ends {
			end.Close() //nolint:errcheck // the children have their own ends
		}
		ends = nil
	}
	defer closeEnds()
	for i, step := range steps {
		step.Stderr = &process.Buffer{}
		if i < len(steps)-1 {
			r, w, err := os.Pipe()
			if err != nil {
				return err
			}
			ends = append(ends, r, w)
			step.Stdout, steps[i+1].Stdin = w, r
		}
	}
	for _, step := range steps {
		p, err := process.Start(step, process.Options{})
		if err != nil {
			return err
		}
		defer p.Kill() // does nothing if it has ended
		defer context.AfterFunc(ctx, p.Kill)()
		running = append(running, p)
	}
	closeEnds()
	peak := measure.WatchPeak(running[len(running)-1].PID())
	var problems []error
	for i, p := range running {
		if p.ExitCode() != 0 {
			problems = append(problems, p.Err(), errors.New(steps[i].Stderr.(*process.Buffer).String()))
		}
	}
	run.Peak = peak()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(problems...)
}
