package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

const (
	fewAppends  = 500
	manyAppends = 2500
	leastShown  = 0.005 // calls per append
)

// countCalls prints the system calls per append of every arm: the difference of a long and a short
// run under strace, so that opening and closing do not count.
func countCalls(selected []row, programs, dir string) error {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return fmt.Errorf("strace is needed to count system calls (Debian: apt-get install strace)")
	}
	for _, r := range selected {
		if r.measure != nil {
			continue
		}
		for _, w := range r.workloads {
			fmt.Printf("\n%s: system calls per append\n", w.id)
			for _, a := range r.arms {
				few, err := traced(strace, programs, dir, a, w, fewAppends)
				if err != nil {
					fmt.Printf("  %-24s FAILED: %s\n", a.name, err)
					continue
				}
				many, err := traced(strace, programs, dir, a, w, manyAppends)
				if err != nil {
					return err
				}
				fmt.Printf("  %-24s %s\n", a.name, perAppend(few, many))
			}
		}
	}
	return nil
}

func perAppend(few, many map[string]int) string {
	type call struct {
		name string
		each float64
	}
	var calls []call
	total := 0.0
	for name, count := range many {
		each := float64(count-few[name]) / (manyAppends - fewAppends)
		if total += each; each >= leastShown {
			calls = append(calls, call{name, each})
		}
	}
	sort.Slice(calls, func(i, j int) bool { return calls[i].each > calls[j].each })
	text := fmt.Sprintf("%5.2f:", total)
	for _, c := range calls {
		text += fmt.Sprintf(" %s %.2f", c.name, c.each)
	}
	return text
}

// traced runs one arm under strace and returns how often it made which call.
func traced(strace, programs, dir string, a arm, w workload, appends int) (map[string]int, error) {
	data, table := filepath.Join(dir, "data"), filepath.Join(dir, "strace")
	defer os.RemoveAll(data)
	command := exec.Command(strace, "-f", "-c", "-U", "calls,name", "-o", table,
		filepath.Join(programs, a.program), "--arm", a.name, "--workload", w.id, "--dir", data, "--ops", strconv.Itoa(appends))
	if output, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %.300s", err, output)
	}
	file, err := os.Open(table)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	counts := map[string]int{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) != 2 || fields[1] == "total" {
			continue
		}
		if count, err := strconv.Atoi(fields[0]); err == nil {
			counts[fields[1]] = count
		}
	}
	return counts, nil
}
