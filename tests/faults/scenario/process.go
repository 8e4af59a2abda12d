package scenario

import (
	"os"
	"strconv"
	"strings"
)

// descriptors, threads and residentKiB are what a process holds.
func descriptors(o *Owner) int { return entries(o, "fd") }
func threads(o *Owner) int     { return entries(o, "task") }

func entries(o *Owner, what string) int {
	list, err := os.ReadDir(sprintf("/proc/%d/%s", o.Pid(), what))
	o.env.must(err)
	return len(list)
}

func residentKiB(o *Owner) int {
	text, err := os.ReadFile(sprintf("/proc/%d/status", o.Pid()))
	o.env.must(err)
	for _, line := range strings.Split(string(text), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmRSS:" {
			kib, err := strconv.Atoi(fields[1])
			o.env.must(err)
			return kib
		}
	}
	o.env.End(Broken, "the process has no VmRSS")
	return 0
}
