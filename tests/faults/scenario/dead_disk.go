package scenario

import (
	"sort"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/clock"
	"github.com/bulkhead-wal/bulkhead/tests/faults/driver"
)

// Method 6: the disk under one partition of several dies.
var deadDisk = []Scenario{{
	Name: "f7-dead-disk", Method: "shutdown ioctl", Rows: []string{"F1", "F6", "F7"},
	Demand:      "the others carry on, the process lives, the owner hears within 10 ms and every later call gets the first error",
	Filesystems: []string{"ext4", "xfs"}, Alone: true,
	Run: runDeadDisk,
}}

const (
	ownerHears = 10 * time.Millisecond
	eio        = 5
	deadRounds = 5

	loadBefore = 100 * time.Millisecond
	loadAfter  = 200 * time.Millisecond
	loadBytes  = 64
	// Without a pause loads of mode none and interval keep all processors busy, and Go's scheduler looks for what came in from
	// outside every 10 ms only.
	loadPauseUS = 200
	loadDisk    = 768 << 20 // loads without a pause run as fast as memory in mode interval
)

// runDeadDisk does it a few times: what a busy machine adds to a single time says nothing.
func runDeadDisk(e *Env) string {
	var heard []time.Duration
	for i := 0; i < deadRounds; i++ {
		heard = append(heard, e.killDisk())
	}
	if !e.System.has(Events) {
		return "the others carried on"
	}
	sort.Slice(heard, func(i, j int) bool { return heard[i] < heard[j] })
	median := heard[len(heard)/2]
	if median > ownerHears {
		e.Late("the owner heard %.1f ms after the fault (median of %d), demanded are 10", median.Seconds()*1000, deadRounds)
	}
	return sprintf("%d disks; the others carried on; the owner heard after %.1f ms (median)", deadRounds, median.Seconds()*1000)
}

func (e *Env) killDisk() time.Duration {
	disks := []*Disk{e.Disk(), e.Disk(), e.Disk()}
	var ledgers []*Ledger
	o := e.Start("nice", "-n", "-15") // what is measured is the log, not what else the machine does
	for i, d := range disks {
		l := d.Ledger(uint64(i + 1))
		o.Open(l)
		o.MustAppend(l, 20, 1000)
		o.Sync(l)
		ledgers = append(ledgers, l)
	}
	o.Do(0, "events") // what came before
	for _, l := range ledgers {
		o.Do(l.Partition, "load", loadBytes, 60, loadPauseUS)
	}
	time.Sleep(loadBefore)
	e.must(disks[1].Shutdown())
	fault := clock.NS()
	time.Sleep(loadAfter)
	loads := make([]driver.Reply, len(ledgers))
	for i, l := range ledgers {
		loads[i] = o.Do(l.Partition, "loadstop")
		l.Last = loads[i].Last
	}
	if loads[1].Errors == 0 {
		e.End(Lost, "%v of appends to a dead disk, and not one was refused", loadAfter)
	}
	for i, load := range loads {
		if i != 1 && (load.Errors > 0 || load.LastOkNS < fault+int64(loadAfter/2)) {
			e.End(Failed, "partition %d on another disk stopped: %d errors, %s", i+1, load.Errors, load.FirstError)
		}
	}
	sick := ledgers[1]
	heard := e.heard(o, sick, fault, loads[1])
	e.staysLatched(o, sick)
	o.LetGo(sick)
	disks[1].Unmount()
	disks[1].Mount()
	sick.Dir = disks[1].Ledger(2).Dir
	e.comesBack(o, sick)
	o.Quit()
	for _, d := range disks {
		d.Discard()
	}
	return heard
}

// heard is how long the owner took to hear of the fault: since it happened, or, if appends were still acknowledged after that
// (mode interval writes later), since the last of them. The first event that names the fault counts: a log that tries to mend it
// before it refuses calls says so first.
func (e *Env) heard(o *Owner, l *Ledger, fault int64, load driver.Reply) time.Duration {
	if !e.System.has(Events) {
		return 0
	}
	event, ok := o.AwaitEvent(time.Second, func(v driver.Event) bool { return v.Partition == l.Partition && v.Errno != 0 })
	if !ok {
		e.End(Failed, "no event within a second")
	}
	if event.Errno != eio {
		e.End(Failed, "the event says errno %d (%s), the disk said EIO", event.Errno, event.Cause)
	}
	if load.LastOkNS > fault {
		fault = load.LastOkNS
	}
	return time.Duration(event.TimeNS - fault)
}

// staysLatched demands that everything that writes gets the first error again.
func (e *Env) staysLatched(o *Owner, l *Ledger) {
	if !e.System.Retries {
		return
	}
	first := o.Append(l, 1, 100)
	if first.OK {
		e.End(Lost, "an append to a dead disk was acknowledged")
	}
	second := o.Append(l, 1, 100)
	if second.OK || e.System.has(States) && (second.Errno != first.Errno || second.Status != first.Status) {
		e.End(Failed, "two refusals differ: %s, then %s", first.Problem(), second.Problem())
	}
	if r := o.Vote(l, 1000, 1); r.OK {
		e.End(Lost, "a vote was acknowledged on a dead disk")
	}
	if r := o.Compact(l, 5); r.OK && e.System.has(States) {
		e.End(Failed, "a compaction was acknowledged on a dead disk")
	}
}

// comesBack demands that the log opens on the disk as it was left, and goes on. In mode none the owner's memory may have entries
// that went with the disk: that they are reported as lost is right, and then a new process has to go on.
func (e *Env) comesBack(o *Owner, l *Ledger) {
	l.compactedMaybe = 0
	state := o.OpenWritable(l)
	o.MustHold(l, state, l.Durable, "after the disk came back")
	if state = o.State(l); e.Mode != "sync" && state.State == "Unavailable" && state.Lost[0] > l.Durable {
		o.restart()
		state = o.Open(l)
	}
	l.goOn(state.Last)
	o.MustAppend(l, 1, 100)
}
