package main

import (
	"os/exec"

	"memexport/internal/workshop/process"
)

// alone calls do while nothing else runs.
func alone(do func() error) error { return do() }

// withBystander calls do while another program keeps one core busy. On Linux that is always the same core.
func withBystander(do func() error) error {
	bystander, err := process.Start(exec.Command("sh", "-c", "while :; do :; done"), process.Options{Name: "bystander"})
	if err != nil {
		return err
	}
	defer bystander.Kill()
	if err := pin(bystander.PID(), 0); err != nil {
		return err
	}
	return do()
}
