package scenario

import (
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/badblocks"
	"github.com/bulkhead-wal/bulkhead/tests/faults/driver"
)

// Method 1, time: a disk that does not answer, and one that answers late.
var hangs = []Scenario{{
	Name: "f28-hung-disk", Method: "FUSE image", Rows: []string{"F28", "F23"},
	Demand: "calls return within the stall limit (mode none: the owner is told), other disks notice nothing, late ends do no harm",
	Run:    runHungDisk,
}, {
	Name: "f28-slow-disk", Method: "FUSE image", Rows: []string{"F28"},
	Demand: "a disk that answers late, but within the stall limit, has not failed",
	Run:    runSlowDisk,
}}

const (
	stallLimit  = time.Second
	stallMargin = 1500 * time.Millisecond // two waits at the worst, one for room and one for the flush, and a busy machine
)

func runHungDisk(e *Env) string {
	sick, well := e.BadDisk(), e.Disk()
	l, other := sick.Ledger(1), well.Ledger(2)
	o := e.startStalling()
	for _, x := range []*Ledger{l, other} {
		o.Open(x)
		o.MustAppend(x, 20, baseBytes)
		o.Sync(x)
	}
	o.Do(0, "events")
	for _, op := range []string{badblocks.OpWrite, badblocks.OpFlush} {
		sick.Rule(badblocks.Rule{Name: "hang", Op: op, Action: badblocks.ActionHang})
	}
	begin := time.Now()
	call := o.Send(l.Partition, l.appendWords(1, baseBytes)...)
	if e.Mode != "sync" {
		if !e.System.has(States) {
			e.unreached("")
		}
		o.takeAppend(l, call)
		call = o.Send(l.Partition, "sync")
	}
	for i := 0; i < 20; i++ {
		o.MustAppend(other, 1, 100)
	}
	if took := time.Since(begin); took > stallLimit {
		e.End(Failed, "20 appends to another disk took %d ms meanwhile", took.Milliseconds())
	}
	if !e.System.has(Events) {
		if r, err := call.Wait(callLimit); err != nil {
			e.End(Hung, "an append to a disk that hangs does not return within %v", callLimit)
		} else if r.OK {
			e.End(Lost, "acknowledged while the disk hangs")
		}
		return "the call returned, other disk untouched"
	}
	event, told := o.awaitStalled(l)
	if !told {
		e.End(Failed, "not Unavailable %v after the disk hung, the stall limit is %v", stallLimit+stallMargin, stallLimit)
	}
	told2 := time.Since(begin)
	if e.Mode != "none" { // there the caller's own thread hangs, which is documented
		if r, err := call.Wait(stallLimit + stallMargin - told2); err != nil {
			e.End(Hung, "the call does not return within the stall limit of %v", stallLimit)
		} else if r.OK {
			e.End(Lost, "acknowledged while the disk hangs")
		}
	}
	sick.Lift("hang")
	if e.Mode == "none" {
		o.Await(call, callLimit)
	}
	e.resumes(o, l)
	e.intact(sick, o, l)
	return sprintf("told after %d ms (%s, %s), other disk untouched, goes on after the disk answers", told2.Milliseconds(), event.To, event.Cause)
}

// startStalling starts an owner with a short stall limit, if the system has one.
func (e *Env) startStalling() *Owner {
	if e.System.has(States) {
		return e.StartWith(nil, "-stall", stallLimit.String())
	}
	return e.Start()
}

// awaitStalled waits for the log to be Unavailable because of a call that hangs; that it is slow was told before.
func (o *Owner) awaitStalled(l *Ledger) (driver.Event, bool) {
	return o.AwaitEvent(stallLimit+stallMargin, func(v driver.Event) bool {
		return v.Partition == l.Partition && v.To == "Unavailable" && v.Cause == "stalled"
	})
}

// takeAppend takes the answer of an append that does not wait for the disk.
func (o *Owner) takeAppend(l *Ledger, call *driver.Call) {
	if r := o.Await(call, stallLimit+stallMargin); r.OK {
		l.acknowledged(1)
	}
}

// resumes demands that the log takes writes again now that the cause is gone, by itself or by recovery.
func (e *Env) resumes(o *Owner, l *Ledger) {
	for deadline := time.Now().Add(callLimit); ; time.Sleep(50 * time.Millisecond) {
		if s := o.State(l); s.State == "ReadWrite" {
			break
		}
		r := o.Recover(l)
		if r.OK {
			break
		}
		if time.Now().After(deadline) {
			e.End(Failed, "does not go on after the cause is gone: %s", r.Problem())
		}
	}
	state := o.State(l)
	o.MustHold(l, state, l.Durable, "after the cause was gone")
	if e.Mode != "sync" {
		o.MustHold(l, state, l.Last, "after the cause was gone, in the same process")
	}
	l.goOn(state.Last)
	o.MustAppend(l, 5, baseBytes)
	o.Sync(l)
}

func runSlowDisk(e *Env) string {
	d := e.BadDisk()
	l := d.Ledger(1)
	o := e.Start()
	o.Open(l)
	o.MustAppend(l, 20, baseBytes)
	o.Sync(l)
	for _, op := range []string{badblocks.OpWrite, badblocks.OpFlush} {
		d.Rule(badblocks.Rule{Name: "slow", Op: op, Action: badblocks.ActionDelay, DelayMS: 700, Times: 1})
	}
	begin := time.Now()
	for i := 0; i < 3; i++ {
		o.MustAppend(l, 1, baseBytes)
		if r := o.Do(l.Partition, "sync"); !r.OK && !r.Unsupported {
			e.End(Failed, "a flush that took 700 ms is called a fault: %s", r.Problem())
		}
	}
	l.Durable = l.Last
	took := time.Since(begin)
	if d.Hits("slow") == 0 {
		e.unreached("nothing was delayed")
	}
	e.intact(d, o, l)
	return sprintf("%d ms for three appends and syncs, no fault", took.Milliseconds())
}
