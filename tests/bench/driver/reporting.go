package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
)

// reported is one line of rows F7 and F10: how long the owner waits.
type reported struct {
	result
	Count int `json:"count"`
}

// reports are the workloads, and the longest that may be in microseconds: for the 99th percentile in row F7, where a machine under
// load decides about the maximum, for the maximum in row F10.
var reports = []struct {
	id       string
	limit    float64
	filesys  string // made for it on a loop device; empty: the data directory
	what     string
	quantile string
}{
	{"F7/sync-flush", 10_000, "", "a flush fails, mode sync", "p99"},
	{"F7/interval-flush", 10_000, "", "a flush fails, mode interval", "p99"},
	{"F7/none-write", 10_000, "", "a write fails, mode none", "p99"},
	{"F7/root", 10_000, "", "a root write fails", "p99"},
	{"F10/ext4", 1_000_000, "ext4", "space is back, ext4", "max"},
	{"F10/xfs", 1_000_000, "xfs", "space is back, xfs", "max"},
}

// measureReports runs them one after the other, prints a line for each and writes them to faults.json.
func measureReports(s settings, out string) error {
	fmt.Printf("\n%-18s %7s %10s %10s %10s   %s\n", "", "n", "p50 us", "p99 us", "max us", "target")
	var lines []reported
	measured := 0
	for _, r := range reports {
		of, err := measureReport(r.id, r.filesys, s)
		if err != nil {
			fmt.Printf("%-18s not measured: %s\n", r.id, err)
			continue
		}
		line := of[0]
		reached := line.P99Micros
		if r.quantile == "max" {
			reached = line.Value
		}
		fmt.Printf("%-18s %7d %10.1f %10.1f %10.1f   %s %s <= %g: %s\n", r.id, line.Count, line.P50Micros, line.P99Micros, line.Value,
			r.what+",", r.quantile, r.limit, verdict(reached, r.limit, true))
		for _, part := range of[1:] {
			what := "the same without the library"
			if part.Arm == "queued" {
				what = "of it until the event is queued"
			}
			fmt.Printf("%-18s %7d %10.1f %10.1f %10.1f   %s\n", "  "+part.Arm, part.Count, part.P50Micros, part.P99Micros, part.Value, what)
		}
		lines = append(lines, of...)
		measured++
	}
	text, err := json.MarshalIndent(lines, "", "  ")
	if err != nil {
		return err
	}
	if measured < len(reports) {
		err = fmt.Errorf("%d of %d were not measured", len(reports)-measured, len(reports))
	}
	if e := os.WriteFile(filepath.Join(out, "faults.json"), append(text, '\n'), 0o644); e != nil {
		return e
	}
	return err
}

// measureReport gives the library's line and, where there is one, the control's.
func measureReport(id, filesys string, s settings) (lines []reported, err error) {
	dir := filepath.Join(s.dataDir, strings.ReplaceAll(id, "/", "-"))
	if filesys != "" {
		if missing := missingForFaults(); missing != "" {
			return nil, fmt.Errorf("it needs %s", missing)
		}
		image := filepath.Join(s.faultDir, filesys+".img")
		if err := disk.Make(filesys, image, 0); err != nil {
			return nil, err
		}
		dir = filepath.Join(s.faultDir, filesys)
		mounted, err := disk.Mount(filesys, image, dir, disk.Options{})
		if err != nil {
			return nil, err
		}
		defer func() { _ = mounted.Unmount() }()
	}
	output, err := exec.Command(filepath.Join(s.programDir, rustArms), "--arm", faultArm, "--workload", id, "--dir", dir, "--ops", "1").Output()
	if err != nil {
		if exit, ok := err.(*exec.ExitError); ok {
			return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return nil, err
	}
	for decoder := json.NewDecoder(bytes.NewReader(output)); decoder.More(); {
		var line reported
		if err := decoder.Decode(&line); err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return nil, errors.New("it printed nothing")
	}
	return lines, nil
}
