package scenario

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-wal/bulkhead/tests/faults/badblocks"
)

// Method 1, reads: sectors that cannot be read, and writes that were acknowledged by the disk and did not happen, or happened
// elsewhere.
var badReads = []Scenario{{
	Name: "f16-unreadable-sector", Method: "FUSE image", Rows: []string{"F16"},
	Demand: "an unreadable sector fails only the reads that touch it, and nothing when it is readable again",
	Run:    runUnreadable,
}, {
	Name: "f16-unreadable-unclean", Method: "FUSE image", Rows: []string{"F16", "F11"},
	Demand: "the same if the process was killed and the log has to be scanned",
	Run:    runUnreadableUnclean,
}, {
	Name: "f32-dropped-write", Method: "FUSE image", Rows: []string{"F32"},
	Demand: "a write that the disk only claimed to have done is found, and nothing else is replayed as good",
	Run:    func(e *Env) string { return e.runLie(badblocks.ActionDrop) },
}, {
	Name: "f32-misplaced-write", Method: "FUSE image", Rows: []string{"F32", "F22"},
	Demand: "a write that went over older entries is found at both places",
	Run:    func(e *Env) string { return e.runLie(badblocks.ActionMisplace) },
}}

const (
	touched      = 3         // entries of 2,500 bytes that a block of 4,096 can touch
	misplaceBack = 64 * 1024 // bytes
)

func runUnreadable(e *Env) string {
	return e.unreadable(func(o *Owner, l *Ledger) { o.Close(l); o.Quit() })
}
func runUnreadableUnclean(e *Env) string { return e.unreadable(func(o *Owner, _ *Ledger) { o.Quit() }) }

func (e *Env) unreadable(leave func(*Owner, *Ledger)) string {
	d := e.BadDisk()
	l := d.Ledger(1)
	o := e.Start()
	o.Open(l)
	for i := 0; i < 10; i++ {
		o.MustAppend(l, 8, baseBytes)
	}
	o.Sync(l)
	tail := d.Tail(o, l)
	name, err := filepath.Rel(l.Dir, tail.Path)
	e.must(err)
	leave(o, l)
	middle := tail.Offset / 2
	middle -= middle % blockBytes
	d.Remount(l)
	sector := d.pieces(l.file(name), middle, middle+blockBytes)
	d.RuleOn(sector, badblocks.Rule{Name: "bad", Op: badblocks.OpRead, Action: badblocks.ActionFail, Errno: eio})
	o = e.Start()
	state := o.Open(l)
	found := o.MustHoldOrReport(l, state, l.Durable, "with one unreadable block")
	if d.Hits("bad") == 0 {
		e.End(Broken, "the unreadable block was not read")
	}
	if len(found.Missing) > touched {
		e.End(Failed, "one unreadable block of 4096 bytes costs %d entries (%d to %d): %s %s %s", len(found.Missing), found.Missing[0],
			found.Missing[len(found.Missing)-1], state.State, state.Cause, state.Fault)
	}
	d.Lift("bad")
	o.Close(l)
	state = o.Open(l)
	o.MustHold(l, state, l.Durable, "with the block readable again")
	return sprintf("%d of %d entries could not be read, all of them once the block could", len(found.Missing), l.Durable)
}

// file is where a file of the log is now.
func (l *Ledger) file(relative string) string { return filepath.Join(l.Dir, relative) }

func (e *Env) runLie(action string) string {
	d := e.BadDisk()
	l := d.Ledger(1)
	o := e.Start()
	o.Open(l)
	for i := 0; i < 10; i++ {
		o.MustAppend(l, 5, baseBytes)
	}
	o.Sync(l)
	if l.Durable == 0 {
		e.unreached("nothing is durable")
	}
	tail := d.Tail(o, l)
	rule := badblocks.Rule{Name: "lie", Op: badblocks.OpWrite, Action: action}
	if action == badblocks.ActionMisplace {
		rule.Shift = -misplaceBack
	}
	d.RuleOn(d.Ahead(tail), rule)
	o.MustAppend(l, 3, 6000)
	o.Sync(l)
	e.must(syncPath(l.Dir))
	d.Lift("lie")
	if d.Hits("lie") == 0 {
		e.End(Broken, "the lie was not told")
	}
	for i := 0; i < 5; i++ {
		o.MustAppend(l, 4, baseBytes)
	}
	o.Sync(l)
	o.Close(l)
	o.Quit()
	d.Remount(l)
	o = e.Start()
	r := o.Do(l.Partition, "open", l.Dir)
	if !r.OK {
		return "the open refuses: " + r.Problem()
	}
	found := o.MustHoldOrReport(l, r, l.Durable, "after a "+action+" that the disk did not tell of")
	return sprintf("%d of %d entries gone, each of them reported (%s %s)", len(found.Missing), l.Durable, r.State, r.Cause)
}

// syncPath has the filesystem of a path write all it holds.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
