package benchstack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"memexport/internal/workshop/measure"
	"memexport/internal/workshop/process"
)

// readyTimeout limits how long the API may take to start. It usually takes less than a second.
const readyTimeout = 30 * time.Second

// BaseURL returns the URL of the API.
func (s *Stack) BaseURL() string { return s.baseURL }

// APIPID returns the process id of the API.
func (s *Stack) APIPID() int { return s.api.PID() }

// WorkerPID returns the process id of the first worker.
func (s *Stack) WorkerPID() int { return s.workers[0].PID() }

// Restart replaces the API and the workers by new processes, so that earlier measurements leave
// nothing in their memory and caches. It returns once the new processes are ready. They get the
// extra environment variables, such as "EXPORT_COMPRESSION=gzip", until the next Restart.
func (s *Stack) Restart(ctx context.Context, workers int, extra ...string) error {
	if err := s.stopProcesses(); err != nil {
		return err
	}
	s.extra = extra
	api, err := s.startProcess("api", "api")
	if err != nil {
		return err
	}
	s.api = api
	for i := range workers {
		worker, err := s.startProcess(fmt.Sprintf("worker-%d", i+1), "worker")
		if err != nil {
			return err
		}
		s.workers = append(s.workers, worker)
	}
	if err := s.waitReady(ctx); err != nil {
		return err
	}
	// With two exports per worker, it is very likely that each worker has run one before it is
	// measured.
	return s.exportTiny(ctx, 2*workers)
}

var adminListening = regexp.MustCompile(`"msg":"admin listening","address":"([^"]+)"`)

// WorkerAdminURL returns the URL of the admin port of the first worker, which must have ADMIN_ADDR and
// LOG_LEVEL=info.
func (s *Stack) WorkerAdminURL(ctx context.Context) (string, error) {
	match, err := s.workers[0].WaitOutput(ctx, adminListening)
	if err != nil {
		return "", err
	}
	return "http://" + match[1], nil
}

// UseBinary makes the next Restart start this build of memexport, or the stack's own build if path is empty.
func (s *Stack) UseBinary(path string) {
	s.binary = cmp.Or(path, filepath.Join(s.WorkDir, "memexport"))
}

// WorkerOutput returns the end of what the first worker has printed, at most 1 MiB.
func (s *Stack) WorkerOutput() string { return s.workers[0].Output() }

var workerStarted = regexp.MustCompile(`"msg":"worker started"`)

// ReplaceWorkers replaces the workers one after the other, as a rolling restart does: each stops once its
// successor has started. The workers must have LOG_LEVEL=info.
func (s *Stack) ReplaceWorkers(ctx context.Context) error {
	for i, old := range s.workers {
		next, err := s.startProcess(fmt.Sprintf("worker-%d", i+1), "worker")
		if err != nil {
			return err
		}
		s.workers[i] = next
		_, err = next.WaitOutput(ctx, workerStarted)
		if err := errors.Join(err, old.Stop()); err != nil {
			return err
		}
		s.replacedCPU += old.CPUTime()
	}
	return nil
}

// startProcess starts memexport. If the process ends before it is stopped, the benchmark fails.
func (s *Stack) startProcess(name, command string) (*process.Process, error) {
	cmd := exec.Command(s.binary, command)
	cmd.Env = append(s.environment[:len(s.environment):len(s.environment)], s.extra...)
	p, err := process.Start(cmd, process.Options{Name: name, Log: filepath.Join(s.options.Dir, name+".log")})
	if err != nil {
		return nil, err
	}
	go func() {
		<-p.Done()
		if err := p.Err(); err != nil {
			s.options.Fail(err)
		}
	}()
	return p, nil
}

func (s *Stack) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not ready after %s", readyTimeout))
	defer cancel()
	return s.api.WaitReady(ctx, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.baseURL+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := s.http.Do(request)
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		return nil
	})
}

func (s *Stack) stopProcesses() error {
	var problems []error
	for _, worker := range s.workers {
		problems = append(problems, worker.Stop())
	}
	if s.api != nil {
		s.http.CloseIdleConnections()
		problems = append(problems, s.api.Stop())
	}
	s.workers, s.api = nil, nil
	return errors.Join(problems...)
}

// ResetPeaks resets the peak memory of the API and the workers to their current memory. If the kernel
// does not allow that, ResetPeaks restarts the processes.
func (s *Stack) ResetPeaks(ctx context.Context) error {
	allowed := measure.ResetPeak(s.api.PID())
	for _, worker := range s.workers {
		allowed = measure.ResetPeak(worker.PID()) && allowed
	}
	if allowed {
		return nil
	}
	return s.Restart(ctx, len(s.workers), s.extra...)
}

// ResetAPIPeak resets the peak memory of the API to its current memory, if the kernel allows that.
func (s *Stack) ResetAPIPeak() { measure.ResetPeak(s.api.PID()) }

// APIPeak returns the API's peak memory in bytes.
func (s *Stack) APIPeak() int64 { return measure.PeakMemory(s.api.PID()) }

// WorkerPeak returns the largest peak memory of any worker, in bytes.
func (s *Stack) WorkerPeak() int64 {
	var peak int64
	for _, worker := range s.workers {
		peak = max(peak, measure.PeakMemory(worker.PID()))
	}
	return peak
}

// WorkerCPU returns the processor time that all workers together have used, including the replaced ones.
func (s *Stack) WorkerCPU() time.Duration {
	total := s.replacedCPU
	for _, worker := range s.workers {
		total += measure.CPUTime(worker.PID())
	}
	return total
}

// PostgresCPU returns the processor time that all Postgres processes together have used. While a
// backend exits, the sum briefly lacks that backend's time. So PostgresCPU reads until two readings
// agree, for at most 100 ms. They agree once the server is idle.
func (s *Stack) PostgresCPU() time.Duration {
	last := measure.CPUTimeWithChildren(s.Postgres.PID)
	for range 20 {
		time.Sleep(5 * time.Millisecond)
		now := measure.CPUTimeWithChildren(s.Postgres.PID)
		if now == last {
			break
		}
		last = now
	}
	return last
}

// CPU is the processor time that the parts of the stack have used.
type CPU struct{ Temporal, Postgres, Workers, API time.Duration }

// CPU returns the processor time that the parts of the stack have used so far.
func (s *Stack) CPU() CPU {
	return CPU{Temporal: measure.CPUTime(s.Temporal.PID), Postgres: s.PostgresCPU(), Workers: s.WorkerCPU(), API: measure.CPUTime(s.api.PID())}
}

// Minus returns the time used since earlier.
func (c CPU) Minus(earlier CPU) CPU {
	return CPU{Temporal: c.Temporal - earlier.Temporal, Postgres: c.Postgres - earlier.Postgres, Workers: c.Workers - earlier.Workers, API: c.API - earlier.API}
}

// Times returns c with each time multiplied by f.
func (c CPU) Times(f float64) CPU {
	scale := func(d time.Duration) time.Duration { return time.Duration(f * float64(d)) }
	return CPU{Temporal: scale(c.Temporal), Postgres: scale(c.Postgres), Workers: scale(c.Workers), API: scale(c.API)}
}

// All returns the time of all parts together.
func (c CPU) All() time.Duration { return c.Temporal + c.Postgres + c.Workers + c.API }
