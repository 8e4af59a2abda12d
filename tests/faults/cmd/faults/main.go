// Command faults runs the fault scenarios on real filesystems, with Bulkhead or with the logs of others as well. It needs root:
// it mounts. All it mounts is in namespaces of its own and goes when it ends, however it ends. The exit code says whether
// everything could be run, and whether Bulkhead held: what the others do is a finding, not a failure.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/child"
	"github.com/bulkhead-wal/bulkhead/tests/faults/compare"
	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
	"github.com/bulkhead-wal/bulkhead/tests/faults/runner"
	"github.com/bulkhead-wal/bulkhead/tests/faults/scenario"
)

func main() {
	programs := flag.String("programs", "", "directory with the programs badblocks, subject and subject-rust (default: where this program is)")
	work := flag.String("work", "", "directory to work in; a tmpfs is mounted over it (default: <programs>/../work)")
	out := flag.String("out", "", "write the results to this file, as JSON")
	markdown := flag.String("table", "", "write a table of the systems to this file, and print it")
	run := flag.String("run", "", "only scenarios whose name matches this expression")
	systems := flag.String("systems", "bulkhead", "any of "+strings.Join(compare.Order, ","))
	filesystems := flag.String("fs", strings.Join(disk.Kinds, ","), "filesystems")
	modes := flag.String("modes", "sync,none,interval", "durability modes")
	full := flag.Bool("full", os.Getenv("BULKHEAD_FAULTS") == "full", "more seeds and faults; BULKHEAD_FAULTS=full is the same")
	seed := flag.Int64("seed", 0, "seed of all random choices (default: fresh)")
	jobs := flag.Int("jobs", 6, "scenarios at a time, of those that do not measure time")
	trace := flag.Bool("trace", false, "print every command and answer to standard error")
	list := flag.Bool("list", false, "list the scenarios and end")
	flag.Parse()
	if *list {
		scenario.List(os.Stdout)
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
	if *trace {
		child.Trace = os.Stderr
	}
	wanted, err := regexp.Compile(*run)
	exitOn(err)
	exitOn(runner.Isolate(*work))
	subjects, err := compare.Subjects(*programs, strings.Split(*systems, ","))
	exitOn(err)
	plan := runner.Plan{Wanted: wanted, Modes: strings.Split(*modes, ","), Filesystems: strings.Split(*filesystems, ","), Jobs: *jobs}
	options := scenario.Options{Programs: *programs, Work: *work, Seed: *seed, Full: *full}
	var results []scenario.Result
	for _, s := range subjects {
		results = append(results, plan.Run(s.System, options)...)
		if *markdown != "" && compare.UnderRaft(s.Name) && wanted.MatchString(compare.RaftGroup) {
			results = append(results, compare.RunRaftGroup(s, options))
		}
	}
	records := compare.Records(subjects, results, time.Now().UTC().Format("2006-01-02"))
	if *out != "" {
		exitOn(compare.Write(*out, records))
	}
	if *markdown != "" {
		file, err := os.Create(*markdown)
		exitOn(err)
		compare.Table(io.MultiWriter(os.Stdout, file), records)
		exitOn(file.Close())
	}
	if !runner.Summary(results, scenario.Bulkhead("").Name) {
		os.Exit(1)
	}
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(2)
	}
}
