package scenario

import (
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/badblocks"
)

// Method 1, writes: bad blocks under the file that is being written.
var badBlocks = join([]Scenario{{
	Name: "bad-block-healed", Method: "FUSE image", Rows: []string{"F31", "F2"},
	Demand: "a bad block under the tail costs nothing but time: the append succeeds elsewhere, the operator is told",
	Run:    runBadBlockHealed,
}, {
	Name: "bad-block-recover", Method: "FUSE image", Rows: []string{"F1", "F2", "F3"},
	Demand: "if a write to a bad block is answered with an error, that is kept up until recovery, which works on other blocks",
	Run:    runBadBlockRecover,
}}, badReads, hangs, neighbours)

const (
	// healWithin is the default budget of a heal, 300 ms, and what a busy machine adds.
	healWithin  = 300*time.Millisecond + 700*time.Millisecond
	baseEntries = 40
	baseBytes   = 2500
)

// failingTail gives a log whose next blocks do not take writes.
func (e *Env) failingTail() (*Disk, *Owner, *Ledger) {
	d := e.BadDisk()
	l := d.Ledger(1)
	o := e.Start()
	o.Open(l)
	o.MustVote(l, 3, 2)
	o.MustAppend(l, baseEntries, baseBytes)
	d.RuleOn(d.Ahead(d.Tail(o, l)), badblocks.Rule{Name: "bad", Op: badblocks.OpWrite, Action: badblocks.ActionFail, Errno: eio})
	o.Do(0, "events")
	return d, o, l
}

func runBadBlockHealed(e *Env) string {
	d, o, l := e.failingTail()
	var slowest time.Duration
	for i := 0; i < 10; i++ {
		begin := time.Now()
		if r := o.Append(l, 2, baseBytes); !r.OK {
			e.End(Failed, "append on a bad block: %s", r.Problem())
		}
		if r := o.Do(l.Partition, "sync"); !r.OK && !r.Unsupported {
			e.End(Failed, "sync on a bad block: %s", r.Problem())
		}
		if took := time.Since(begin); took > slowest {
			slowest = took
		}
	}
	if d.Hits("bad") == 0 {
		e.unreached("the bad blocks were not written to")
	}
	if slowest > healWithin {
		e.End(Failed, "the slowest append took %d ms, allowed are %d", slowest.Milliseconds(), healWithin.Milliseconds())
	}
	if e.System.has(Events) && len(o.Do(0, "events").Events) == 0 {
		e.End(Failed, "healed, but no event tells the operator")
	}
	e.intact(d, o, l)
	return sprintf("healed on other blocks; slowest append and sync %d ms", slowest.Milliseconds())
}

func runBadBlockRecover(e *Env) string {
	d, o, l := e.failingTail()
	refusal, refused := o.appendAndSync(l, 100)
	if d.Hits("bad") == 0 {
		e.unreached("the bad blocks were not written to")
	}
	if !refused {
		e.intact(d, o, l)
		return "healed inside the calls"
	}
	if refusal.Errno != eio {
		e.End(Failed, "the disk said EIO, the log errno %d: %s", refusal.Errno, refusal.Problem())
	}
	if r := o.again(l); e.System.has(States) && !r.OK && (r.Errno != refusal.Errno || r.Status != refusal.Status) {
		e.End(Failed, "the first error was %s, the next call says %s", refusal.Problem(), r.Problem())
	}
	if r := o.Recover(l); !r.OK {
		e.End(Failed, "recover, with only the old blocks bad: %s", r.Problem())
	}
	state := o.State(l)
	o.MustHold(l, state, l.Durable, "after recovery")
	if e.Mode != "sync" {
		o.MustHold(l, state, l.Last, "after recovery, in the same process")
	}
	l.goOn(state.Last)
	o.MustAppend(l, 20, baseBytes)
	o.Sync(l)
	e.intact(d, o, l)
	return sprintf("answered errno %d, kept to it, recovered on other blocks", refusal.Errno)
}

// intact demands that all that was acknowledged is there after a close, on a disk without caches.
func (e *Env) intact(d *Disk, o *Owner, l *Ledger) {
	o.MustHold(l, o.State(l), l.Last, "before the close")
	if r := o.Close(l); !r.OK {
		e.End(Failed, "close after the fault: %s", r.Problem())
	}
	o.Quit()
	d.Remount(l)
	o = e.Start()
	state := o.Open(l)
	o.MustHold(l, state, l.Last, "opened from the disk")
	l.goOn(state.Last)
	o.MustAppend(l, 1, 10)
}
