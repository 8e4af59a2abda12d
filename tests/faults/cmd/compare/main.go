// Command compare runs the shared fault scenarios over several log implementations and prints who held what. It needs root. The
// exit code says whether everything could be run, and whether Bulkhead held: what the others do is a finding, not a failure.
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

	"github.com/bulkhead-wal/bulkhead/tests/faults/compare"
	"github.com/bulkhead-wal/bulkhead/tests/faults/driver"
	"github.com/bulkhead-wal/bulkhead/tests/faults/runner"
	"github.com/bulkhead-wal/bulkhead/tests/faults/scenario"
)

func main() {
	programs := flag.String("programs", "", "directory with the programs badblocks, subject and subject-rust (default: where this program is)")
	work := flag.String("work", "", "directory to work in; a tmpfs is mounted over it (default: <programs>/../compare-work)")
	out := flag.String("out", "", "write the results to this file, as JSON")
	markdown := flag.String("table", "", "write the table to this file as well")
	run := flag.String("run", "", "only scenarios whose name matches this expression")
	wantedSystems := flag.String("systems", strings.Join(compare.Order, ","), "systems")
	filesystems := flag.String("fs", "ext4,xfs", "filesystems")
	modes := flag.String("modes", "sync,none", "durability modes")
	seed := flag.Int64("seed", 1, "seed of all random choices")
	trace := flag.Bool("trace", false, "print every command and answer to standard error")
	jobs := flag.Int("jobs", 4, "scenarios at a time, of those that do not measure time")
	flag.Parse()
	if *programs == "" {
		self, err := os.Executable()
		exitOn(err)
		*programs = filepath.Dir(self)
	}
	if *work == "" {
		*work = filepath.Join(*programs, "..", "compare-work")
	}
	wanted, err := regexp.Compile(*run)
	exitOn(err)
	subjects, err := compare.Subjects(*programs)
	exitOn(err)
	exitOn(runner.Isolate(*work))
	plan := runner.Plan{Wanted: wanted, Modes: strings.Split(*modes, ","), Filesystems: strings.Split(*filesystems, ","), Jobs: *jobs}
	options := scenario.Options{Programs: *programs, Work: *work, Seed: *seed}
	if *trace {
		driver.Trace = os.Stderr
	}
	date := time.Now().UTC().Format("2006-01-02")
	var records []compare.Record
	for _, s := range subjects {
		if strings.Contains(","+*wantedSystems+",", ","+s.Name+",") {
			results := plan.Run(s.System, options)
			records = append(records, compare.Records(s, results, date)...)
			if (s.Name == "cubefs" || s.Name == "bulkhead") && wanted.MatchString(compare.RaftGroup) {
				r := compare.RunRaftGroup(s, *programs, *work, date)
				fmt.Println(r.Outcome, r.Scenario, r.Why)
				records = append(records, r)
			}
		}
	}
	if *out != "" {
		exitOn(compare.Write(*out, records))
	}
	compare.Table(tableOutput(*markdown), records)
	os.Exit(judge(records))
}

func tableOutput(path string) io.Writer {
	if path == "" {
		return os.Stdout
	}
	file, err := os.Create(path)
	exitOn(err)
	return io.MultiWriter(os.Stdout, file)
}

// judge: what could not be run, and what Bulkhead did not hold, is an error.
func judge(records []compare.Record) int {
	code := 0
	for _, r := range records {
		ours := r.System == "bulkhead" && r.Outcome != string(scenario.Held) && r.Outcome != string(scenario.NotApplicable)
		if ours || r.Outcome == string(scenario.Broken) {
			fmt.Printf("%s %s %s %s %s: %s\n", r.Outcome, r.System, r.Scenario, r.Filesystem, r.Mode, r.Why)
			code = 1
		}
	}
	if len(records) == 0 {
		fmt.Println("nothing was run")
		code = 1
	}
	return code
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(2)
	}
}
