//go:build !linux

package measure

// CPUModel returns "unknown": only Linux names the processor in /proc.
func CPUModel() string { return "unknown" }
