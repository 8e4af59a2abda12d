package scenario

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// descriptors, libraryThreads and residentKiB are what a process holds.
func descriptors(o *Owner) int {
	list, err := os.ReadDir(sprintf("/proc/%d/fd", o.Pid()))
	o.env.must(err)
	return len(list)
}

// libraryThreads counts Bulkhead's, which have names; the runtime's own come and go.
func libraryThreads(o *Owner) int {
	names, err := filepath.Glob(sprintf("/proc/%d/task/*/comm", o.Pid()))
	o.env.must(err)
	count := 0
	for _, name := range names {
		if text, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(text), "bulkhead-") {
			count++
		}
	}
	return count
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
