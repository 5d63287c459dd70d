package measure

import (
	"fmt"

	"github.com/prometheus/procfs"
)

// TotalMemory returns the machine's memory in bytes, or 0 if it is unknown.
func TotalMemory() int64 {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0
	}
	info, err := fs.Meminfo()
	if err != nil || info.MemTotalBytes == nil {
		return 0
	}
	return int64(*info.MemTotalBytes)
}

// LoadAverage returns the machine's load averages over the last 1, 5 and 15 minutes, such as "0.10
// 0.30 0.25", or "" if they are unknown. A high load means that other programs disturb a
// measurement.
func LoadAverage() string {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return ""
	}
	load, err := fs.LoadAvg()
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%.2f %.2f %.2f", load.Load1, load.Load5, load.Load15)
}
