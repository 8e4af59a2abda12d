// Package compare runs the shared fault scenarios over Bulkhead and over the logs that others use for the same purpose.
package compare

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"sort"

	"github.com/bulkhead-wal/bulkhead/tests/faults/scenario"
)

// Order is that of the columns.
var Order = []string{"bulkhead", "cubefs", "etcd", "raft-wal", "raft-engine"}

// Subject is a system with its version, as its program names it.
type Subject struct {
	scenario.System
	Version string
}

// What the others have of what a scenario can need. A lock is demanded of all: a log opened twice is a log lost.
var abilities = []scenario.Ability{scenario.Votes, scenario.Locks}

// Subjects asks the programs which systems they drive, and returns the wanted ones in order. The program for raft-engine is
// asked only if that is wanted.
func Subjects(programs string, wanted []string) ([]Subject, error) {
	names := []string{"subject"}
	if contains(wanted, "raft-engine") {
		names = append(names, "subject-rust")
	}
	var found []Subject
	for _, name := range names {
		program := filepath.Join(programs, name)
		text, err := exec.Command(program, "-versions").Output()
		if err != nil {
			return nil, fmt.Errorf("%s -versions: %w", program, err)
		}
		for lines := json.NewDecoder(bytes.NewReader(text)); lines.More(); {
			var v struct {
				System, Version string
				Modes           []string
			}
			if err := lines.Decode(&v); err != nil {
				return nil, fmt.Errorf("%s -versions: %w", program, err)
			}
			s := scenario.System{Name: v.System, Program: program, Modes: v.Modes, Abilities: abilities, Go: name == "subject", Retries: v.System == "raft-wal"}
			if v.System == "bulkhead" {
				s = scenario.Bulkhead(programs)
			}
			if contains(wanted, s.Name) {
				found = append(found, Subject{s, v.Version})
			}
		}
	}
	if len(found) != len(wanted) {
		return nil, fmt.Errorf("there are no systems but %v", Order)
	}
	sort.SliceStable(found, func(i, j int) bool { return place(found[i].Name) < place(found[j].Name) })
	return found, nil
}

func place(name string) int {
	for i, known := range Order {
		if name == known {
			return i
		}
	}
	return len(Order)
}

func contains(list []string, word string) bool {
	for _, w := range list {
		if w == word {
			return true
		}
	}
	return false
}
