package e2e

import (
	"strconv"

	"github.com/prometheus/procfs"
)

// processes returns all processes except zombies, with the process numbers of their parents.
func processes() (map[running]int, error) {
	all, err := procfs.AllProcs()
	if err != nil {
		return nil, err
	}
	parents := map[running]int{}
	for _, process := range all {
		stat, err := process.Stat()
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if stat.State != "Z" && stat.State != "X" { // the process is neither a zombie nor dead
			parents[running{pid: stat.PID, begun: strconv.FormatUint(stat.Starttime, 10)}] = stat.PPID
		}
	}
	return parents, nil
}
