package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"
)

const (
	pairRounds = 60
	pairSlot   = 150 * time.Millisecond
)

// measurePair gives two builds of one arm short slots in turn and prints the first one's cost against the second one's: the ratio of
// processor time per append, user and system, of all threads, and of time per append. Median and quartiles of the rounds.
func measurePair(programs [2]string, name, workload, dir string) error {
	var arms [2]*process
	for i, program := range programs {
		p, err := startArm(program, name, workload, filepath.Join(dir, fmt.Sprint("pair-", i)), 160)
		if err != nil {
			return err
		}
		defer p.stop()
		arms[i] = p
	}
	var cpu, clock []float64
	for round := -2; round < pairRounds; round++ {
		var perAppend [2][2]float64
		for turn := 0; turn < 2; turn++ {
			i := (turn + round + 2) % 2
			before, err := arms[i].processorTime()
			if err != nil {
				return err
			}
			report, err := arms[i].slot(workload, pairSlot)
			if err != nil {
				return err
			}
			after, err := arms[i].processorTime()
			if err != nil {
				return err
			}
			perAppend[i] = [2]float64{float64(after-before) / report.Value, 1 / report.Value}
		}
		if round >= 0 {
			cpu = append(cpu, perAppend[0][0]/perAppend[1][0])
			clock = append(clock, perAppend[0][1]/perAppend[1][1])
		}
	}
	sort.Float64s(cpu)
	sort.Float64s(clock)
	quarter := func(of []float64, n int) float64 { return of[len(of)*n/4] }
	fmt.Printf("%.3f (%.3f-%.3f) %.3f (%.3f-%.3f)\n", quarter(cpu, 2), quarter(cpu, 1), quarter(cpu, 3), quarter(clock, 2), quarter(clock, 1), quarter(clock, 3))
	return nil
}

// processorTime is what the threads that run now have used so far.
func (p *process) processorTime() (total time.Duration, err error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // it has ended
		}
		nanos, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", task, err)
		}
		total += time.Duration(nanos)
	}
	return total, nil
}
