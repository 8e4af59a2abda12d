package runner

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
	"github.com/bulkhead-wal/bulkhead/tests/faults/scenario"
)

// Plan says which scenarios are run, and where.
type Plan struct {
	Wanted      *regexp.Regexp // names
	Modes       []string
	Filesystems []string
	Jobs        int // at a time
}

// attempts is how often a scenario that was late is tried: what holds once was held up by the machine the other times.
const attempts = 3

// task is one run that is to be done.
type task struct {
	scenario         scenario.Scenario
	mode, filesystem string
}

func (p *Plan) tasks(system scenario.System) (together, alone []task) {
	for _, s := range scenario.Scenarios {
		if p.Wanted != nil && !p.Wanted.MatchString(s.Name) {
			continue
		}
		for _, filesystem := range p.Filesystems {
			for _, mode := range p.Modes {
				if !has(system.Modes, mode) || !s.On(mode, filesystem) {
					continue
				}
				if s.Alone {
					alone = append(alone, task{s, mode, filesystem})
				} else {
					together = append(together, task{s, mode, filesystem})
				}
			}
		}
	}
	return together, alone
}

func has(list []string, word string) bool {
	for _, w := range list {
		if w == word {
			return true
		}
	}
	return false
}

// Run runs the plan with a system, and prints a line for each run.
func (p *Plan) Run(system scenario.System, options scenario.Options) []scenario.Result {
	together, alone := p.tasks(system)
	progress := &progress{total: len(together) + len(alone), begin: time.Now()}
	fmt.Printf("%s: %d runs, seed %d\n", system.Name, progress.total, options.Seed)
	queue := make(chan task)
	var done sync.WaitGroup
	for i := 0; i < p.Jobs; i++ {
		done.Add(1)
		go func() {
			defer done.Done()
			for t := range queue {
				progress.add(scenario.Run(t.scenario, system, t.mode, t.filesystem, options))
			}
		}()
	}
	for _, t := range together {
		queue <- t
	}
	close(queue)
	done.Wait()
	for _, t := range alone {
		r := scenario.Run(t.scenario, system, t.mode, t.filesystem, options)
		for n := 1; n < attempts && r.Late; n++ {
			fmt.Printf("again: %s %s %s: %s\n", r.Scenario, r.Filesystem, r.Mode, r.Line)
			r = scenario.Run(t.scenario, system, t.mode, t.filesystem, options)
		}
		progress.add(r)
	}
	return progress.results
}

// progress collects results and prints them as they come.
type progress struct {
	mu      sync.Mutex
	total   int
	begin   time.Time
	results []scenario.Result
}

func (p *progress) add(r scenario.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.results = append(p.results, r)
	fmt.Printf("%3d/%d %5.1fs %-6s %-26s %-5s %-8s %-14s %s\n", len(p.results), p.total, time.Since(p.begin).Seconds(),
		r.Outcome, r.Scenario, r.Filesystem, r.Mode, strings.Join(r.Rows, ","), r.Line)
}

// Summary prints what did not hold, which requirements were shown where, and the line that counts. It returns whether all held
// of the system that must, and everything could be run.
func Summary(results []scenario.Result, must string) bool {
	passed, failed, found, slowest := 0, 0, 0, scenario.Result{}
	for _, r := range results {
		if r.Seconds > slowest.Seconds {
			slowest = r
		}
		switch {
		case r.Outcome == scenario.Held:
			passed++
		case r.Outcome == scenario.NotApplicable:
		case r.System != must && r.Outcome != scenario.Broken:
			found++
		default:
			if failed == 0 {
				fmt.Println("not held:")
			}
			failed++
			fmt.Printf("  %s %s %s %s %s (seed %d): %s\n", r.Outcome, r.System, r.Scenario, r.Filesystem, r.Mode, r.Seed, r.Line)
		}
	}
	rows(results, must)
	fmt.Printf("slowest: %s %s %s, %.1f s\n", slowest.Scenario, slowest.Filesystem, slowest.Mode, slowest.Seconds)
	if found > 0 {
		fmt.Printf("%d runs of others did not hold\n", found)
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	return failed == 0 && passed > 0
}

// rows prints how many runs showed each requirement on each filesystem.
func rows(results []scenario.Result, system string) {
	held := make(map[string]int)
	for _, r := range results {
		for _, row := range r.Rows {
			if r.System == system && r.Outcome == scenario.Held {
				held[row+r.Filesystem]++
			}
		}
	}
	fmt.Printf("%-4s %6s %6s %6s   (runs that held)\n", "row", disk.Kinds[0], disk.Kinds[1], disk.Kinds[2])
	for n := 1; n <= scenario.LastRow; n++ {
		row := fmt.Sprintf("F%d", n)
		counts := [3]int{}
		for i, kind := range disk.Kinds {
			counts[i] = held[row+kind]
		}
		if counts != [3]int{} {
			fmt.Printf("%-4s %6d %6d %6d\n", row, counts[0], counts[1], counts[2])
		}
	}
}
