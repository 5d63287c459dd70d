package main

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
)

// findPsql finds the yardstick, also where packages put it without a link.
func findPsql() (string, error) {
	if path, err := exec.LookPath("psql"); err == nil {
		return path, nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/psql") // errs on a bad pattern only
	if len(found) > 0 {
		return found[len(found)-1], nil
	}
	return "", errors.New("the sections speed and sizes need psql: install the PostgreSQL client, or choose others with -sections")
}

// selectMemories reads a workspace as an export does.
func selectMemories(workspace string) string {
	return fmt.Sprintf("select %s from memories where workspace_id = '%s' order by created_at, id", strings.Join(memory.Columns, ", "), workspace)
}

// copyCSV and copyJSON are psql's commands for the two yardsticks.
func copyCSV(workspace, file string) string {
	return fmt.Sprintf(`\copy (%s) to '%s' csv header`, selectMemories(workspace), quoted(file))
}

func copyJSON(workspace, file string) string {
	return fmt.Sprintf(`\copy (select row_to_json(m) from (%s) m) to '%s'`, selectMemories(workspace), quoted(file))
}

func quoted(file string) string { return strings.ReplaceAll(file, "'", "''") }

// runPsql runs a command and measures it.
func (s *stack) runPsql(ctx context.Context, command, file string) (sample, error) {
	var m sample
	cmd := exec.CommandContext(ctx, s.psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", s.postgres.URL, "-c", command)
	cmd.Env = without("PG") // PGOPTIONS, for example, would change what is measured
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	server, began := s.postgresCPU(), time.Now()
	if err := cmd.Start(); err != nil {
		return m, err
	}
	peak := watchPeak(cmd.Process.Pid)
	err := cmd.Wait()
	m.wall, m.peak = time.Since(began), peak()
	if err != nil {
		return m, fmt.Errorf("psql: %w: %s", err, strings.TrimSpace(out.String()))
	}
	m.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	m.postgresCPU = s.postgresCPU() - server
	info, err := os.Stat(file)
	if err != nil {
		return m, err
	}
	m.bytes = info.Size()
	return m, nil
}

// planOf names how Postgres reads for psql, which decides what there is to beat: along the index,
// or everything and sorted.
func (s *stack) planOf(ctx context.Context, workspace string) (string, error) {
	var lines []string
	if err := s.db.SelectContext(ctx, &lines, `EXPLAIN (COSTS off) `+selectMemories(workspace)); err != nil {
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
