package benchstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"memexport/internal/service/memory"
	"memexport/internal/workshop/measure"
	"memexport/internal/workshop/process"
)

// findPsql looks for psql on PATH and then in Debian's package directories, which may not be on
// PATH.
func findPsql() (string, error) {
	if path, err := exec.LookPath("psql"); err == nil {
		return path, nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/psql") // the only error is a malformed pattern
	if len(found) > 0 {
		return found[len(found)-1], nil
	}
	return "", errors.New("the sections speed, shapes, sizes, formats and s3 need psql: install the PostgreSQL client, or choose others with -sections")
}

// selectMemories returns the SQL that reads a data set in the same order as an export.
func selectMemories(d Dataset) string {
	where := fmt.Sprintf("workspace_id = '%s'", d.Workspace())
	if d.user != "" {
		where += fmt.Sprintf(" and user_id = '%s'", d.user)
	}
	return fmt.Sprintf("select %s from %s where %s order by created_at, id", strings.Join(memory.Columns, ", "), d.table.name(), where)
}

// CopyCSV returns the psql command that writes a data set to a file as CSV. If file is "", it writes to
// standard output.
func CopyCSV(d Dataset, file string) string {
	return fmt.Sprintf(`\copy (%s) to %s csv header`, selectMemories(d), quoted(file))
}

// CopyJSON returns the psql command that writes a data set to a file with one JSON object per line. If file
// is "", it writes to standard output.
func CopyJSON(d Dataset, file string) string {
	return fmt.Sprintf(`\copy (select row_to_json(m) from (%s) m) to %s`, selectMemories(d), quoted(file))
}

func quoted(file string) string {
	if file == "" {
		return "stdout"
	}
	return "'" + strings.ReplaceAll(file, "'", "''") + "'"
}

// PsqlRun is the result of one run of psql.
type PsqlRun struct {
	Wall        time.Duration
	CPU         time.Duration // of psql
	PostgresCPU time.Duration
	Peak        int64 // memory of psql in bytes
	Bytes       int64 // size of the file
}

// RunPsql runs and measures a psql command that writes to file.
func (s *Stack) RunPsql(ctx context.Context, command, file string) (PsqlRun, error) {
	cmd := s.psqlCommand(command)
	var out process.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	server, began := s.PostgresCPU(), time.Now()
	psql, err := process.Start(cmd, process.Options{Name: "psql"})
	if err != nil {
		return PsqlRun{}, err
	}
	defer context.AfterFunc(ctx, psql.Kill)()
	peak := measure.WatchPeak(psql.PID())
	code := psql.ExitCode()
	run := PsqlRun{Wall: time.Since(began), Peak: peak()}
	if ctx.Err() != nil {
		return run, context.Cause(ctx)
	}
	if code != 0 {
		return run, psql.Err()
	}
	run.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	run.PostgresCPU = s.PostgresCPU() - server
	info, err := os.Stat(file)
	if err != nil {
		return run, err
	}
	run.Bytes = info.Size()
	return run, nil
}

func (s *Stack) psqlCommand(command string) *exec.Cmd {
	cmd := exec.Command(s.psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", s.Postgres.URL, "-c", command)
	cmd.Env = process.EnvironWithout("PG") // PGOPTIONS, for example, would change what is measured
	return cmd
}

// PsqlPlan says how Postgres reads a data set for psql: it either scans the index, or reads all rows
// and sorts them. Sorting is slower, so an export can beat psql more easily then.
func (s *Stack) PsqlPlan(ctx context.Context, d Dataset) (string, error) {
	var lines []string
	if err := s.DB.SelectContext(ctx, &lines, `EXPLAIN (COSTS off) `+selectMemories(d)); err != nil {
		return "", err
	}
	var nodes []string
	for _, line := range lines {
		line = strings.TrimSpace(line)
		node, isNode := strings.CutPrefix(line, "->")
		if isNode || len(nodes) == 0 {
			nodes = append(nodes, strings.TrimSpace(node))
		}
	}
	return strings.Join(nodes, " <- "), nil
}
