// Command faults runs the fault scenarios with one log implementation, on real filesystems. It needs root: it mounts. All it
// mounts is in namespaces of its own and goes when it ends, however it ends.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
	"github.com/bulkhead-wal/bulkhead/tests/faults/runner"
	"github.com/bulkhead-wal/bulkhead/tests/faults/scenario"
)

func main() {
	programs := flag.String("programs", "", "directory with the programs badblocks and subject (default: where this program is)")
	work := flag.String("work", "", "directory to work in; a tmpfs is mounted over it (default: <programs>/../work)")
	out := flag.String("out", "", "write the results to this file, as JSON")
	run := flag.String("run", "", "only scenarios whose name matches this expression")
	filesystems := flag.String("fs", strings.Join(disk.Kinds, ","), "filesystems")
	modes := flag.String("modes", "sync,none,interval", "durability modes")
	full := flag.Bool("full", os.Getenv("BULKHEAD_FAULTS") == "full", "more seeds and faults; BULKHEAD_FAULTS=full is the same")
	seed := flag.Int64("seed", 0, "seed of all random choices (default: fresh)")
	jobs := flag.Int("jobs", 6, "scenarios at a time, of those that do not measure time")
	list := flag.Bool("list", false, "list the scenarios and end")
	flag.Parse()
	if *list {
		for _, s := range scenario.Scenarios {
			fmt.Printf("%-28s %-18s %-20s %s\n", s.Name, strings.Join(s.Rows, " "), s.Method, s.Demand)
		}
		return
	}
	if *seed == 0 {
		*seed = time.Now().UnixNano() % 1e9
	}
	if *programs == "" {
		self, err := os.Executable()
		exitOn(err)
		*programs = filepath.Dir(self)
	}
	if *work == "" {
		*work = filepath.Join(*programs, "..", "work")
	}
	wanted, err := regexp.Compile(*run)
	exitOn(err)
	exitOn(runner.Isolate(*work))
	options := scenario.Options{Programs: *programs, Work: *work, Seed: *seed, Full: *full}
	plan := runner.Plan{Wanted: wanted, Modes: strings.Split(*modes, ","), Filesystems: strings.Split(*filesystems, ","), Jobs: *jobs}
	results := plan.Run(scenario.Bulkhead(*programs), options)
	if *out != "" {
		exitOn(runner.Write(*out, results))
	}
	if !runner.Summary(results) {
		os.Exit(1)
	}
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(2)
	}
}
