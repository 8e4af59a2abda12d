package scenario

import "path/filepath"

// Ability is something that a scenario needs and not every system has.
type Ability string

const (
	Votes  Ability = "hard state"                   // stores term and vote
	Events Ability = "events"                       // tells its owner of faults without being asked
	States Ability = "state of health"              // says whether a log takes writes
	Resume Ability = "way to go on without a call"  // comes back by itself when the cause is gone
	Locks  Ability = "lock against a second opener" // refuses one

	Shares Ability = "flushes that logs share" // one flush of the disk for many

	Converts Ability = "import of CubeFS's logs"
)

// System is a log implementation that can be driven.
type System struct {
	Name      string
	Program   string   // of its subject
	Modes     []string // it has
	Abilities []Ability
	Go        bool // the subject is a Go program
	Retries   bool // its users call an open log again after an error; those of the others close it, or end the process
}

func (s *System) lacks(needs []Ability) string {
	for _, n := range needs {
		if !s.has(n) {
			return string(n)
		}
	}
	return ""
}

func (s *System) has(a Ability) bool {
	for _, own := range s.Abilities {
		if own == a {
			return true
		}
	}
	return false
}

// Bulkhead is this project's log.
func Bulkhead(programs string) System {
	return System{
		Name: "bulkhead", Program: filepath.Join(programs, "subject"), Modes: []string{"sync", "none", "interval"},
		Abilities: []Ability{Votes, Events, States, Resume, Locks, Shares, Converts}, Go: true, Retries: true,
	}
}
