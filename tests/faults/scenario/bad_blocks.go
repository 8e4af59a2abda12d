package scenario

import (
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/badblocks"
)

// Method 1, writes: bad blocks under the file that is being written.
var badBlocks = join([]Scenario{{
	Name: "f31-bad-block-healed", Method: "FUSE image", Rows: []string{"F31", "F2"},
	Demand: "a bad block under the tail costs nothing but time: the append succeeds elsewhere, the operator is told",
	Run:    runBadBlockHealed,
}, {
	Name: "f2-bad-block-recover", Method: "FUSE image", Rows: []string{"F1", "F2", "F3"},
	Demand: "if a write to a bad block is answered with an error, that is kept up until recovery, which works on other blocks",
	Run:    func(e *Env) string { return e.failAndRecover(badAhead, false) },
}, {
	Name: "f1-partition-fails", Method: "FUSE image", Rows: []string{"F1", "F2", "F3"},
	Demand: "the same if every write to the partition's files fails, new ones included, until the disk is mended",
	Run:    func(e *Env) string { return e.failAndRecover(badEverywhere, true) },
}, {
	Name: "f3-write-fails-once", Method: "FUSE image", Rows: []string{"F1", "F2", "F3"},
	Demand: "a write that fails once and would succeed the next time leaves no hole",
	Run:    func(e *Env) string { return e.failAndRecover(badOnce, false) },
}, {
	Name: "f1-flush-fails-once", Method: "FUSE image", Rows: []string{"F1", "F2", "F3"},
	Demand: "the same of the disk's flush; if the filesystem does not survive that, nothing durable is missing after a mount",
	Run:    func(e *Env) string { return e.failAndRecover(flushOnce, false) },
}}, badReads, hangs, inLine, neighbours)

const (
	// healWithin is the default budget of a heal, 300 ms, and what a busy machine adds.
	healWithin  = 300*time.Millisecond + 700*time.Millisecond
	baseEntries = 40
	baseBytes   = 2500
)

var failure = badblocks.Rule{Name: "bad", Op: badblocks.OpWrite, Action: badblocks.ActionFail, Errno: eio}

// What fails.
func badAhead(d *Disk, _ *Ledger, t Tail)      { d.RuleOn(d.Ahead(t), failure) }
func badEverywhere(d *Disk, l *Ledger, _ Tail) { d.env.failForGood(d, l, "bad") }

func badOnce(d *Disk, _ *Ledger, t Tail) {
	once := failure
	once.Times = 1
	d.RuleOn(d.Ahead(t), once)
}

func flushOnce(d *Disk, _ *Ledger, _ Tail) {
	once := failure
	once.Op, once.Times = badblocks.OpFlush, 1
	d.Rule(once)
}

// failing gives a log on a disk on which something fails from now on.
func (e *Env) failing(arm func(*Disk, *Ledger, Tail)) (*Disk, *Owner, *Ledger) {
	d := e.BadDisk()
	l := d.Ledger(1)
	o := e.Start()
	o.Open(l)
	o.MustVote(l, 3, 2)
	o.MustAppend(l, baseEntries, baseBytes)
	tail := d.Tail(o, l)
	// Before: the kernel may meet what fails at once.
	o.Do(0, "events")
	arm(d, l, tail)
	return d, o, l
}

func runBadBlockHealed(e *Env) string {
	d, o, l := e.failing(badAhead)
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

// failAndRecover has something fail, goes on after that, on a disk that is mended first if it would go on failing, and checks
// that all is there.
func (e *Env) failAndRecover(arm func(*Disk, *Ledger, Tail), mended bool) string {
	d, o, l := e.failing(arm)
	refusal, refused := o.appendAndSync(l, 100)
	if d.Hits("bad") == 0 {
		e.unreached("the bad blocks were not written to")
	}
	if !refused {
		e.intact(d, o, l)
		return "healed inside the calls"
	}
	const erofs = 30 // a filesystem that gave up because of the EIO
	if refusal.Errno != eio && (refusal.Errno != erofs || d.takesWrites()) {
		e.End(Failed, "the disk said EIO, the log errno %d: %s", refusal.Errno, refusal.Problem())
	}
	if r := o.again(l); e.System.has(States) && !r.OK && (r.Errno != refusal.Errno || r.Status != refusal.Status) {
		e.End(Failed, "the first error was %s, the next call says %s", refusal.Problem(), r.Problem())
	}
	if mended {
		d.Lift("bad")
	}
	if !d.takesWrites() { // the filesystem itself has given up
		return e.mountedAnew(d, o, l, refusal.Errno)
	}
	if r := o.Recover(l); !r.OK {
		e.End(Failed, "recover, with good blocks to write to: %s", r.Problem())
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

// mountedAnew goes on with a filesystem that has to be mounted anew.
func (e *Env) mountedAnew(d *Disk, o *Owner, l *Ledger, errno int) string {
	o.LetGo(l)
	o.Quit()
	d.Remount(l)
	o = e.Start()
	state := o.Open(l)
	o.MustHold(l, state, l.Durable, "after the filesystem gave up and was mounted anew")
	l.goOn(state.Last)
	o.MustAppend(l, 20, baseBytes)
	return sprintf("answered errno %d; the filesystem gave up; all durable entries there after a mount", errno)
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
