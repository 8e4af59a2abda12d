package main

import (
	"errors"
	"fmt"
	"time"
)

// entry is what every system stores for an index.
type entry struct {
	index, term uint64
	data        []byte
}

type hardState struct{ term, vote, commit uint64 }

// logStore is one open log of a system.
type logStore interface {
	// append adds consecutive entries; from the first one's index on they replace what is there.
	append(entries []entry) error
	// read returns the entries lo..hi that there are, in order; those before an error may come with it.
	read(lo, hi uint64) ([]entry, error)
	setHardState(state hardState) error
	hardState() (hardState, error)
	compact(index uint64) error
	// bounds is 1 more than the compaction point, and the last index.
	bounds() (first, last uint64, err error)
	close() error
}

// What only some systems have.
type (
	syncer    interface{ sync() error }
	recoverer interface{ recover() error }
	// verifier reads all of a log and checks it.
	verifier interface{ verify() error }
	// reporter adds what a system says about the health of a log.
	reporter interface{ report(into reply) error }
	// sharer is a system whose logs share flushes: how many writes others' flushes made durable so far.
	sharer interface{ shared() (uint64, error) }
	// wholeReader is a log that cannot read one entry without all others.
	wholeReader interface{ readsWhole() }
)

// system opens logs.
type system interface {
	// open makes or opens the log of a partition. known is an index the owner knows to be there, 0 if none.
	open(partition uint64, dir string, known uint64) (logStore, error)
	// healsItself tells whether a log can be used again after an error without being closed.
	healsItself() bool
	// typed names an error in the system's own terms, "" if it has no name there.
	typed(err error) string
	// events returns what the system pushed since the last call.
	events() ([]reply, error)
}

// errUnsupported says that a system has nothing that a command could call.
var errUnsupported = errors.New("the system has no such call")

// limits that scenarios set, of Bulkhead and of CubeFS's WAL; the others have none.
type limits struct {
	stall       time.Duration
	noHealing   bool
	noIdleCheck bool
	fileBytes   int
}

type systemKind struct {
	name, version string
	modes         []string
	make          func(mode string, limits limits) (system, error)
}

var systems = []systemKind{bulkheadKind, cubefsKind, etcdKind, raftWALKind}

func systemNames() []string {
	var names []string
	for _, kind := range systems {
		names = append(names, kind.name)
	}
	return names
}

func newSystem(name, mode string, limits limits) (system, error) {
	for _, kind := range systems {
		if kind.name != name {
			continue
		}
		for _, known := range kind.modes {
			if known == mode {
				return kind.make(mode, limits)
			}
		}
		return nil, fmt.Errorf("%s has no mode %q, only %v", name, mode, kind.modes)
	}
	return nil, fmt.Errorf("there is no system %q, only %v", name, systemNames())
}

// noEvents is for systems that push nothing.
type noEvents struct{}

func (noEvents) events() ([]reply, error) { return nil, errUnsupported }
