package demo

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/cluster"
	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/isolate"
)

// The commands that the suite runs in namespaces of their own.
const (
	CommandTemplate = "template"
	CommandOne      = "one"
)

const (
	templateLimit = 6 * time.Minute
	oneLimit      = 10 * time.Minute
)

// Suite runs scenarios with engines, one after the other, each in namespaces of its own: whatever becomes of it, nothing of it is
// left when it has ended. arguments are those by which this program takes a command.
type Suite struct {
	Places    Places
	Choices   []cluster.Choice
	Scenarios []Scenario
	Arguments []string
}

// Run runs it and returns the results. An interrupt ends it; what was measured so far is returned, too.
func (s *Suite) Run() (results []*Result, err error) {
	if err := s.Places.clear(); err != nil { // what one that was killed has left
		return nil, err
	}
	defer s.Places.clear()
	made := map[cluster.Choice]bool{}
	for _, choice := range s.Choices {
		for _, scenario := range s.Scenarios {
			if scenario.From == choice.Engine {
				continue // it is about the other one
			}
			if start := scenario.start(choice); !made[start] {
				if err := s.template(start); err != nil {
					return results, err
				}
				made[start] = true
			}
			r, err := s.one(choice, scenario)
			if err != nil {
				return results, err
			}
			results = append(results, r)
			fmt.Println(r.Line())
		}
	}
	return results, nil
}

// start is what the cluster of a scenario starts with.
func (s Scenario) start(choice cluster.Choice) cluster.Choice {
	if s.From != "" {
		choice.Engine = s.From
	}
	return choice
}

func (s *Suite) template(choice cluster.Choice) error {
	fmt.Printf("\n== engine %s: a cluster with files\n", choice.Engine)
	err := isolate.Run(templateLimit, s.command(choice, CommandTemplate)...)
	if err != nil && !errors.Is(err, isolate.ErrInterrupted) {
		err = fmt.Errorf("engine %s: no cluster: %w; logs are in %s", choice.Engine, err, s.Places.layout("template-"+choice.Engine).Logs)
	}
	return err
}

// one runs one scenario; an error is an interrupt.
func (s *Suite) one(choice cluster.Choice, scenario Scenario) (*Result, error) {
	fmt.Printf("\n== engine %s, %s: %s\n", choice.Engine, scenario.Name, scenario.What)
	_ = os.Remove(s.Places.result())
	err := isolate.Run(oneLimit, s.command(choice, CommandOne, scenario.Name)...)
	if errors.Is(err, isolate.ErrInterrupted) {
		return nil, err
	}
	result := &Result{Engine: choice.Engine, Mode: choice.Mode, Scenario: scenario.Name}
	if e := readJSON(s.Places.result(), result); e != nil {
		result.Error = fmt.Sprint("no result: ", errors.Join(err, e))
	}
	return result, nil
}

func (s *Suite) command(choice cluster.Choice, words ...string) []string {
	args := append([]string(nil), s.Arguments...)
	return append(append(args, words...), choice.Engine, choice.Mode)
}

// Summary is all lines again, and whether Bulkhead kept what is demanded of it.
func Summary(results []*Result) (text string, kept bool) {
	var lines, broken []string
	for _, r := range results {
		lines = append(lines, r.Line())
		if r.Engine != cluster.EngineBulkhead {
			continue
		}
		for _, b := range r.broken() {
			broken = append(broken, fmt.Sprintf("not kept: engine=%s scenario=%s: %s", r.Engine, r.Scenario, b))
		}
	}
	return strings.Join(append(lines, broken...), "\n") + "\n", len(broken) == 0
}
