// Package scenario holds the fault scenarios: what is done to a log implementation on a real filesystem, and what must hold
// then. A scenario drives any system through its subject process, so that the same scenarios run against others.
package scenario

import (
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Outcome is how a run ended.
type Outcome string

const (
	Held          Outcome = "held"
	Lost          Outcome = "lost"   // acknowledged in the mode's own terms, and neither readable nor reported
	Died          Outcome = "died"   // the process ended
	Hung          Outcome = "hung"   // a call did not return
	Failed        Outcome = "failed" // the row's demand is not met in another way
	NotApplicable Outcome = "n/a"    // the system has nothing the row could be asked of
	Broken        Outcome = "broken" // the run itself could not be done
)

// Result is one run of a scenario.
type Result struct {
	Scenario   string   `json:"scenario"`
	Method     string   `json:"method"`
	Rows       []string `json:"rows"`
	System     string   `json:"system"`
	Mode       string   `json:"mode"`
	Filesystem string   `json:"filesystem"`
	Outcome    Outcome  `json:"outcome"`
	Line       string   `json:"line"` // one line of explanation
	Seed       int64    `json:"seed"`
	Seconds    float64  `json:"seconds"`
	Late       bool     `json:"-"` // failed by a measured time, or by what was done in one, and by nothing else
}

// Scenario is something that is done to a system, and what must hold then.
type Scenario struct {
	Name        string
	Method      string   // by which the fault is made
	Rows        []string // the requirements it shows, F1 to F32
	Demand      string   // what must hold, in a line
	Filesystems []string // where it can be done; nil: everywhere
	Modes       []string // where it makes sense; nil: in all
	Alone       bool     // it measures time: nothing else may run beside it
	Needs       []Ability
	Run         func(*Env) string // returns the line of explanation of what held
}

// On tells whether the scenario can be run on a filesystem in a mode.
func (s *Scenario) On(mode, filesystem string) bool {
	return contains(s.Modes, mode) && contains(s.Filesystems, filesystem)
}

func contains(list []string, word string) bool {
	for _, w := range list {
		if w == word {
			return true
		}
	}
	return list == nil
}

// Scenarios are all of them, by method.
var Scenarios = join(badBlocks, syncFailure, fullDisk, powerCut, tails, crashStates, sharedFlushes, deadDisk, idleDisk, systemCalls, writeErrors,
	kills, conversionKills, replaced, environment, damage, many)

// LastRow is the number of the last requirement.
const LastRow = 32

// List prints the scenarios, with the requirements that they show.
func List(out io.Writer) {
	for _, s := range Scenarios {
		fmt.Fprintf(out, "%-28s %-18s %-20s %s\n", s.Name, strings.Join(s.Rows, " "), s.Method, s.Demand)
	}
}

func join(lists ...[]Scenario) []Scenario {
	var all []Scenario
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// Options are the same for all runs.
type Options struct {
	Programs string // directory with the programs badblocks and subject
	Work     string // directory for images and mounts; emptied after each run
	Seed     int64
	Full     bool // more seeds, more faults
	Keep     bool // leave what a run that did not hold left behind
}

// verdict is what ends a run early.
type verdict struct {
	outcome Outcome
	line    string
	late    bool
}

// Run does one scenario with one system, in one mode, on one filesystem, and takes down what it set up.
func Run(s Scenario, system System, mode, filesystem string, options Options) (r Result) {
	r = Result{Scenario: s.Name, Method: s.Method, Rows: s.Rows, System: system.Name, Mode: mode, Filesystem: filesystem, Seed: options.Seed}
	if missing := system.lacks(s.Needs); missing != "" {
		r.Outcome, r.Line = NotApplicable, system.Name+" has no "+missing
		return r
	}
	begin := time.Now()
	defer func() { r.Seconds = time.Since(begin).Seconds() }()
	e := &Env{System: system, Mode: mode, FS: filesystem, Full: options.Full, Random: rand.New(rand.NewSource(options.Seed)), programs: options.Programs}
	var err error
	if e.Dir, err = os.MkdirTemp(options.Work, fmt.Sprintf("%s-%s-%s-", s.Name, filesystem, mode)); err != nil {
		r.Outcome, r.Line = Broken, err.Error()
		return r
	}
	defer func() { e.cleanUp(&r, options.Keep) }()
	defer func() {
		switch v := recover().(type) {
		case nil:
		case verdict:
			r.Outcome, r.Late, r.Line = v.outcome, v.late, strings.ReplaceAll(v.line, e.Dir+"/", "")
		default:
			panic(v) // a defect of the scenario
		}
	}()
	r.Line = s.Run(e)
	r.Outcome = Held
	return r
}

// Env is what a running scenario works with. Its methods end the run if what they do fails: what a log implementation does
// wrong becomes the outcome, what the machine refuses makes the run broken.
type Env struct {
	System   System
	Mode, FS string
	Dir      string
	Full     bool
	Random   *rand.Rand
	programs string
	first    []func()       // done at the end of the run before anything else
	undo     []func() error // and these, the last first
	owners   []*Owner
	names    int
}

// End ends the run.
func (e *Env) End(outcome Outcome, format string, args ...any) {
	panic(verdict{outcome: outcome, line: fmt.Sprintf(format, args...)})
}

// Late ends the run as failed by a measured time: the runner tries it again, because a busy machine is late, too.
func (e *Env) Late(format string, args ...any) {
	panic(verdict{Failed, fmt.Sprintf(format, args...), true})
}

// must ends the run as broken if the machine refuses something.
func (e *Env) must(err error) {
	if err != nil {
		e.End(Broken, "%v", err)
	}
}

// unreached ends a run in which the fault met no write: a system that cannot sync in mode none leaves them to the kernel.
func (e *Env) unreached(what string) {
	if e.Mode == "none" && !e.System.has(States) {
		e.End(NotApplicable, "%s syncs nothing in mode none: nothing reaches the disk while the fault is there", e.System.Name)
	}
	e.End(Broken, "%s", what)
}

// after has something undone at the end of the run, the last first.
func (e *Env) after(undo func() error) { e.undo = append(e.undo, undo) }

func (e *Env) name(prefix string) string {
	e.names++
	return filepath.Join(e.Dir, fmt.Sprintf("%s%d", prefix, e.names))
}

func (e *Env) cleanUp(r *Result, keep bool) {
	var problems []string
	for _, loosen := range e.first {
		loosen() // a process that hangs in the kernel could not be killed
	}
	for _, o := range e.owners {
		if err := o.Kill(killLimit); err != nil {
			problems = append(problems, err.Error())
		}
	}
	for i := len(e.undo) - 1; i >= 0; i-- {
		if err := e.undo[i](); err != nil {
			problems = append(problems, err.Error())
		}
	}
	if keep && r.Outcome != Held {
		return
	}
	if len(problems) == 0 { // with a mount left over, removing would empty it
		if err := os.RemoveAll(e.Dir); err != nil {
			problems = append(problems, err.Error())
		}
	}
	if len(problems) > 0 && r.Outcome == Held {
		r.Outcome, r.Line = Broken, "cleaning up: "+strings.Join(problems, "; ")
	}
}
