package scenario

import (
	"fmt"

	"github.com/bulkhead-wal/bulkhead/tests/faults/driver"
)

// ledgerTerm is the term of all entries: what is appended again after a failure is the same entry again, so that it does not
// matter which of the two a log kept.
const ledgerTerm = 1

// Ledger is what the runner knows of a partition: what was acknowledged, and what may be there beyond that.
type Ledger struct {
	Partition uint64
	Dir       string
	Last      uint64 // last acknowledged entry; entries start at 1
	Durable   uint64 // of those, what the mode promised or a sync said to be durable

	Term, Vote     uint64 // acknowledged hard state
	maybeVotes     [][2]uint64
	compactedMaybe uint64
	alwaysDurable  bool
}

// Ledger opens the books for a partition in a directory.
func (e *Env) Ledger(partition uint64, dir string) *Ledger {
	return &Ledger{Partition: partition, Dir: dir, alwaysDurable: e.Mode == "sync"}
}

func (l *Ledger) appendWords(count, bytes int) []any {
	return []any{"append", l.Last + 1, count, bytes, ledgerTerm}
}

func (l *Ledger) acknowledged(count uint64) {
	l.Last += count
	if l.alwaysDurable {
		l.Durable = l.Last
	}
}

func (l *Ledger) offered(term, vote uint64) {
	l.maybeVotes = append(l.maybeVotes, [2]uint64{term, vote})
}

// goOn takes what a log holds after a loss that was allowed as the new start. It returns how many entries went.
func (l *Ledger) goOn(last uint64) (gone uint64) {
	if last < l.Last {
		gone = l.Last - last
	}
	l.Last, l.Durable = last, last
	return gone
}

// Copy is what the ledger says now.
func (l *Ledger) Copy() *Ledger {
	c := *l
	c.maybeVotes = append([][2]uint64{}, l.maybeVotes...)
	return &c
}

// Finding is what a check of a log against its ledger found.
type Finding struct {
	Missing  []uint64 // acknowledged up to the floor, and not readable
	Reported []uint64 // those of Missing that the system reports
}

// reports tells whether what a system says of a log covers an entry: as lost, damaged, possibly cut, or all of it as not to be
// trusted.
func reports(state driver.Reply, index uint64) bool {
	for _, s := range []driver.Span{state.Damaged, state.Lost, state.MaybeAcked, state.Unsynced} {
		if s[1] > 0 && index >= s[0] && index <= s[1] {
			return true
		}
	}
	return state.State == "Unavailable" && (state.Cause == "damage" || state.Cause == "lost entries")
}

// Check compares an open log with its ledger up to a floor: the entries that must be there. Content that was never appended,
// and an older vote, end the run as lost. state is what open or state answered.
func (o *Owner) Check(l *Ledger, state driver.Reply, floor uint64) Finding {
	e := o.env
	var found Finding
	if first := l.compactedMaybe + 1; first <= l.Last {
		r := o.Do(l.Partition, "read", first, l.Last)
		if len(r.Bad) > 0 {
			e.End(Lost, "entry %d was read as something that was never appended", r.Bad[0])
		}
		for _, t := range r.Terms {
			if t[2] != ledgerTerm {
				e.End(Lost, "entry %d was read with term %d, appended with %d", t[0], t[2], ledgerTerm)
			}
		}
		for index := first; index <= floor; index++ {
			if driver.Holds(r.Good, index) {
				continue
			}
			found.Missing = append(found.Missing, index)
			if driver.Holds(r.Unreadable, index) || reports(state, index) {
				found.Reported = append(found.Reported, index)
			}
		}
	}
	o.checkVote(l, state)
	return found
}

// checkVote: a term or a vote older than the acknowledged one is the worst loss of all; no answer is a report.
func (o *Owner) checkVote(l *Ledger, state driver.Reply) {
	if l.Term == 0 {
		return
	}
	r := o.Do(l.Partition, "hardstate")
	if !r.OK {
		return
	}
	if r.Term == l.Term && r.Vote == l.Vote {
		return
	}
	for _, v := range l.maybeVotes {
		if v[0] == r.Term && v[1] == r.Vote && r.Term > l.Term {
			return
		}
	}
	o.env.End(Lost, "hard state: acknowledged term %d vote %d, found term %d vote %d", l.Term, l.Vote, r.Term, r.Vote)
}

// MustHold demands that all up to the floor is readable.
func (o *Owner) MustHold(l *Ledger, state driver.Reply, floor uint64, when string) {
	if f := o.Check(l, state, floor); len(f.Missing) > 0 {
		o.env.lost(f, fmt.Sprintf("%s, acknowledged up to %d", when, floor), state)
	}
}

// MustHoldOrReport demands that all up to the floor is readable or reported.
func (o *Owner) MustHoldOrReport(l *Ledger, state driver.Reply, floor uint64, when string) Finding {
	f := o.Check(l, state, floor)
	if len(f.Missing) > len(f.Reported) {
		o.env.lost(f, when, state)
	}
	return f
}

// lost ends the run because of missing entries: lost if nobody says so, else failed.
func (e *Env) lost(f Finding, when string, state driver.Reply) {
	outcome := Failed
	if len(f.Missing) > len(f.Reported) {
		outcome = Lost
	}
	e.End(outcome, "%s: %d entries missing (%d to %d), %d of them reported; last %d, %s %s %s", when, len(f.Missing), f.Missing[0],
		f.Missing[len(f.Missing)-1], len(f.Reported), state.Last, state.State, state.Cause, state.Fault)
}
