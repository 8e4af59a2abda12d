package scenario

import (
	"fmt"

	"github.com/bulkhead-wal/bulkhead/tests/faults/driver"
)

// No fault at all but a kill: what a follower does whenever the leader changes.
var replaced = []Scenario{{
	Name: "f22-replaced-suffix", Method: "kill -9", Rows: []string{"F22", "F19"},
	Demand: "after a suffix was replaced and the process was killed: the new suffix and all before it, nothing of the old one",
	Run:    runReplaced,
}}

const (
	replacedLast  = 20
	replacedFrom  = 15
	replacedCount = 3
	replacedTerm  = 2
)

func runReplaced(e *Env) string {
	d := e.Disk()
	l := d.Ledger(1)
	o := e.Start()
	o.Open(l)
	o.MustAppend(l, replacedLast, baseBytes)
	if r := o.Do(l.Partition, "append", replacedFrom, replacedCount, baseBytes, replacedTerm); !r.OK {
		e.End(Failed, "a suffix cannot be replaced: %s", r.Problem())
	}
	if e.Mode == "interval" { // a kill may cost all of its window, and all of this is in one
		if r := o.Sync(l); !r.OK {
			e.End(Failed, "a sync without a cause to fail failed: %s", r.Problem())
		}
	}
	o.Quit()
	o = e.Start()
	state := o.Open(l)
	r := o.Do(l.Partition, "read", 1, replacedLast)
	last := uint64(replacedFrom + replacedCount - 1)
	for index := uint64(1); index <= last; index++ {
		if driver.Holds(r.Good, index) {
			continue
		}
		outcome := Lost
		if driver.Holds(r.Unreadable, index) || reports(state, index) {
			outcome = Failed
		}
		e.End(outcome, "entry %d of 1 to %d is gone after a reopen: %s", index, last, r.Problem())
	}
	want := fmt.Sprintf("[[1 %d %d] [%d %d %d]]", replacedFrom-1, ledgerTerm, replacedFrom, last, replacedTerm)
	if got := fmt.Sprint(r.Terms); got != want {
		e.End(Lost, "terms %s, appended were %s", got, want)
	}
	return "the new suffix and all before it"
}
