// Command driver measures Bulkhead against other logs: it starts the arms of a row, gives them
// slots in turn, and writes the table, results.json and the plots.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/runner"
)

var modes = map[string]settings{
	"quick": {rounds: 5, slot: 150 * time.Millisecond, warmUp: 50 * time.Millisecond, calmLimit: 100 * time.Millisecond, fillMiB: 160, faultSlot: 600 * time.Millisecond},
	"full":  {rounds: 7, slot: 600 * time.Millisecond, warmUp: 300 * time.Millisecond, calmLimit: time.Second, fillMiB: 320, everyArm: true, faultSlot: 1500 * time.Millisecond},
}

func main() {
	programs := flag.String("programs", "", "the directory of the arms' programs")
	out := flag.String("out", "", "where results.json and the plots go")
	data := flag.String("data", "", "a directory on the filesystem to measure")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: driver -programs DIR -out DIR -data DIR quick|full|counts|faults [ROW|WORKLOAD]... | pair PROGRAM PROGRAM ARM WORKLOAD")
	}
	flag.Parse()
	if flag.NArg() < 1 || *programs == "" || *out == "" || *data == "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Args()[1:], *programs, *out, *data); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(mode string, wanted []string, programs, out, data string) error {
	if mode == "pair" {
		if len(wanted) != 4 {
			return errors.New("pair takes two programs, an arm and a workload")
		}
		return measurePair([2]string{wanted[0], wanted[1]}, wanted[2], wanted[3], data)
	}
	selected, err := choose(wanted)
	if err != nil {
		return err
	}
	faultDir := filepath.Join(out, "faults")
	if (mode == "faults" || mode != "counts" && makesFaults(selected)) && missingForFaults() == "" {
		// Nothing that is mounted from here on outlives this program.
		if err := runner.Isolate(faultDir); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(data, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(data, "run-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if mode == "counts" {
		return countCalls(selected, programs, dir)
	}
	if mode == "faults" {
		fmt.Println(machine(data))
		return measureReports(settings{programDir: programs, dataDir: dir, faultDir: faultDir}, out)
	}
	s, known := modes[mode]
	if !known {
		return fmt.Errorf("%q is not a mode: quick, full, counts, faults", mode)
	}
	s.programDir, s.dataDir, s.faultDir, s.progress = programs, dir, faultDir, newProgress()
	fmt.Println(machine(data))
	var outcomes []outcome
	for _, r := range selected {
		measure := r.measure
		if measure == nil {
			measure = measureRow
		}
		measured, err := measure(r, r.workloads, s)
		if err != nil {
			return err
		}
		outcomes = append(outcomes, measured...)
	}
	s.progress.end()
	printTables(os.Stdout, outcomes, s)
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	results := filepath.Join(out, "results.json")
	if err := errors.Join(writeResults(results, outcomes), writePlots(out, outcomes)); err != nil {
		return err
	}
	fmt.Printf("\n%.0f s; wrote %s and plots beside it\n", time.Since(s.progress.start).Seconds(), results)
	return failures(outcomes)
}

func makesFaults(selected []row) bool {
	for _, r := range selected {
		if r.measure != nil {
			return true
		}
	}
	return false
}

// choose narrows the rows down to what was named; everything if nothing was.
func choose(wanted []string) ([]row, error) {
	if len(wanted) == 0 {
		return rows, nil
	}
	var chosen []row
	found := map[string]bool{}
	for _, r := range rows {
		kept := r
		kept.workloads = nil
		for _, w := range r.workloads {
			for _, name := range wanted {
				if name == r.id || name == w.id {
					found[name] = true
					w.fullOnly = w.fullOnly && name != w.id // asked for by name
					kept.workloads = append(kept.workloads, w)
					break
				}
			}
		}
		if len(kept.workloads) > 0 {
			chosen = append(chosen, kept)
		}
	}
	for _, name := range wanted {
		if !found[name] {
			return nil, fmt.Errorf("no row or workload is called %q", name)
		}
	}
	return chosen, nil
}

// failures is an error if any arm could not be measured. A missed target is not one.
func failures(outcomes []outcome) error {
	failed := map[string]bool{}
	for _, o := range outcomes {
		for _, m := range o.arms {
			if m.failure != nil {
				failed[o.row.id+" "+m.arm.name] = true
			}
		}
	}
	if len(failed) == 0 {
		return nil
	}
	var names []string
	for name := range failed {
		names = append(names, name)
	}
	return fmt.Errorf("could not measure %s", strings.Join(names, ", "))
}

// machine says what the figures were taken on.
func machine(dir string) string {
	filesystems := map[int64]string{0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x01021994: "tmpfs, which makes nothing durable"}
	var stat syscall.Statfs_t
	filesystem := "unknown filesystem"
	if err := syscall.Statfs(dir, &stat); err == nil {
		filesystem = fmt.Sprintf("filesystem type %#x", stat.Type)
		if name, known := filesystems[int64(stat.Type)]; known {
			filesystem = name
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	text := fmt.Sprintf("%d CPUs, Linux %s, %s", runtime.NumCPU(), strings.TrimSpace(string(kernel)), filesystem)
	average, _ := os.ReadFile("/proc/loadavg")
	var load float64
	if _, err := fmt.Sscan(string(average), &load); err == nil && load > float64(runtime.NumCPU())/2 {
		text += fmt.Sprintf("\nWARNING: the load was %.1f before the start: something else runs here, and ratios of row B1 mean little", load)
	}
	return text
}
