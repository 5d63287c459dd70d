package measure

import "github.com/prometheus/procfs"

// CPUModel returns the name of the machine's processor, or "unknown".
func CPUModel() string {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return "unknown"
	}
	processors, err := fs.CPUInfo()
	if err != nil || len(processors) == 0 || processors[0].ModelName == "" {
		return "unknown"
	}
	return processors[0].ModelName
}
