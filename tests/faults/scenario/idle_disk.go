package scenario

import (
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/clock"
	"github.com/bulkhead-wal/bulkhead/tests/faults/driver"
)

// Method 1 again: the disk takes no writes any more, and nobody writes to it.
var idleDisk = []Scenario{{
	Name: "f7-idle-disk", Method: "FUSE image", Rows: []string{"F1", "F7"},
	Demand: "a disk that fails while nobody writes is known to all owners of logs on it within a second; logs on others are not concerned",
	Modes:  []string{"sync", "interval"}, Needs: []Ability{Events, States}, Alone: true, Run: runIdleDisk,
}}

const (
	idleLogs = 20
	// idleHears is asked of the datanode, which has to be told, and to tell its master's next heartbeat.
	idleHears = time.Second
	// marked is when an idle log has written its last mark.
	marked = 3 * time.Second
)

func runIdleDisk(e *Env) string {
	d, sound := e.BadDisk(), e.Disk()
	o := e.Start("nice", "-n", "-15")
	var ledgers []*Ledger
	for p := uint64(1); p <= idleLogs+1; p++ {
		on := d
		if p > idleLogs {
			on = sound
		}
		l := on.Ledger(p)
		o.Open(l)
		o.MustAppend(l, 10, baseBytes)
		o.Sync(l)
		ledgers = append(ledgers, l)
	}
	idle, other := ledgers[:idleLogs], ledgers[idleLogs]
	time.Sleep(marked)
	o.Do(0, "events")
	fault := clock.NS()
	d.Rule(failure)
	last := o.latchedAll(idle, fault)
	if r := o.Append(other, 1, baseBytes); !r.OK || o.State(other).State != "ReadWrite" {
		e.End(Failed, "a log on another disk: %s", r.Problem())
	}
	d.Lift(failure.Name)
	for _, l := range idle {
		o.LetGo(l)
	}
	o.Quit()
	d.Remount(idle...)
	o = e.Start()
	for _, l := range idle {
		state := o.Open(l)
		o.MustHold(l, state, l.Last, "after the disk came back")
		l.goOn(state.Last)
		o.MustAppend(l, 1, 100)
	}
	if last > idleHears {
		e.Late("the last of %d owners knew %.0f ms after the fault, demanded are 1000", idleLogs, last.Seconds()*1000)
	}
	return sprintf("all of %d owners knew within %.0f ms", idleLogs, last.Seconds()*1000)
}

// latchedAll waits until all these logs are Unavailable, and returns how long after the fault that was told of the last.
func (o *Owner) latchedAll(ledgers []*Ledger, fault int64) time.Duration {
	missing := make(map[uint64]bool, len(ledgers))
	for _, l := range ledgers {
		missing[l.Partition] = true
	}
	event, ok := o.AwaitEvent(callLimit, func(v driver.Event) bool {
		if v.To == "Unavailable" {
			delete(missing, v.Partition)
		}
		return len(missing) == 0
	})
	if !ok {
		o.env.End(Failed, "%d of %d owners have not heard of it", len(missing), len(ledgers))
	}
	return time.Duration(event.TimeNS - fault)
}
