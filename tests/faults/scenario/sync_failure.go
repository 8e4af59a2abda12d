package scenario

import (
	"path/filepath"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
	"github.com/bulkhead-wal/bulkhead/tests/faults/driver"
)

// Method 2: a real fsync failure. The image lies on a tmpfs that is smaller: when that is full, writes to blocks that were never
// written fail below the filesystem, an fsync fails once and succeeds the next time, and the page cache holds what the disk
// does not.
var syncFailure = []Scenario{{
	Name: "f1-fsync-fails-recover", Method: "full tmpfs below", Rows: []string{"F1", "F2", "F3"},
	Demand:      "after a failed flush nothing acknowledged is lost unsaid, by recovery on the spot",
	Filesystems: []string{"ext4"},
	Run:         func(e *Env) string { return e.runSyncFailure((*Owner).recoverOnTheSpot) },
}, {
	Name: "f3-fsync-fails-reopen", Method: "full tmpfs below", Rows: []string{"F1", "F3"},
	Demand:      "an open after a failed flush does not trust what only the page cache has",
	Filesystems: []string{"ext4"},
	Run:         func(e *Env) string { return e.runSyncFailure((*Owner).reopenOnTheSpot) },
}, {
	Name: "f3-fsync-fails-crash", Method: "full tmpfs below", Rows: []string{"F1", "F3"},
	Demand:      "the same if the process dies after the failed flush and another one opens",
	Filesystems: []string{"ext4"},
	Run:         func(e *Env) string { return e.runSyncFailure((*Owner).crashOnTheSpot) },
}}

const (
	tmpfsBytes  = 48 << 20
	sparseBytes = 192 << 20
	entryBytes  = 20000 // some pages: those in the middle are not written again with the next entry
)

func (e *Env) runSyncFailure(goOn func(*Owner, *Ledger) *Owner) string {
	small, err := disk.NewTmpfs(e.name("small"), tmpfsBytes)
	e.must(err)
	e.after(small.Unmount)
	// The image is served by FUSE, which passes on that there is no space: the loop device alone reports a write that fits in
	// part as done (seen with Linux 6.18), and a disk that lies is another scenario.
	d := &Disk{Image: filepath.Join(small.Dir, "image"), env: e, options: disk.Options{DirectIO: true}}
	e.must(disk.Make(e.FS, d.Image, sparseBytes))
	e.must(disk.WriteJournal(d.Image))
	d.serve()
	e.after(d.release)
	d.Mount()
	l := d.Ledger(1)
	o := e.Start()
	o.Open(l)
	o.MustAppend(l, 50, 2000)
	o.Sync(l)
	e.must(small.Fill())
	refusal, refused := o.appendAndSync(l, 20000)
	if !refused {
		e.End(Broken, "no call failed although the image cannot grow")
	}
	before := o.State(l)
	e.must(small.Drain())
	if next := o.again(l); e.System.has(States) && !next.OK && (next.Errno != refusal.Errno || next.Status != refusal.Status) {
		e.End(Failed, "the first error was %s, the next call says %s", refusal.Problem(), next.Problem())
	}
	o = goOn(o, l)
	o.Close(l)
	o.Quit()
	d.Remount(l) // whatever only the page cache had is gone

	o = e.Start()
	state := o.Open(l)
	found := o.MustHoldOrReport(l, merge(before, state), l.Last, "after a failed flush")
	if len(found.Missing) > 0 && found.Missing[0] <= l.Durable {
		e.End(Lost, "a sync confirmed entries up to %d, also after the failed flush, and %d to %d are gone: %s %s", l.Durable,
			found.Missing[0], found.Missing[len(found.Missing)-1], state.State, state.Cause)
	}
	return sprintf("first error: errno %d; %d acknowledged, %d reported as lost, none missing unsaid", refusal.Errno, l.Last, len(found.Reported))
}

// appendAndSync appends and syncs until a call is refused.
func (o *Owner) appendAndSync(l *Ledger, entries int) (driver.Reply, bool) {
	for i := 0; i < entries/10; i++ {
		if r, refused := o.Fill(l, 10, entryBytes); refused {
			return r, true
		}
		if r := o.Do(l.Partition, "sync"); !r.OK && !r.Unsupported {
			return r, true
		} else if r.OK {
			l.Durable = l.Last
		}
	}
	return driver.Reply{}, false
}

// recoverOnTheSpot goes on by the documented way, and appends if that worked.
func (o *Owner) recoverOnTheSpot(l *Ledger) *Owner {
	r := o.Recover(l)
	for end := time.Now().Add(5 * time.Second); !r.OK && time.Now().Before(end); r = o.Recover(l) {
		time.Sleep(200 * time.Millisecond) // space that is back may not be there at once
	}
	if r.OK {
		l.Last = max(l.Last, r.Last) // what was refused and is there, if the system says so
		o.Fill(l, 20, 1000)
		o.Sync(l)
	}
	return o
}

// reopenOnTheSpot opens again in the same mount and the same process, where the page cache still has what the disk has not.
func (o *Owner) reopenOnTheSpot(l *Ledger) *Owner {
	o.Close(l)
	if r := o.Do(l.Partition, "open", l.Dir); r.OK {
		o.appendOn(l, r)
	}
	return o
}

// crashOnTheSpot opens again in the same mount, in a new process.
func (o *Owner) crashOnTheSpot(l *Ledger) *Owner {
	o.Quit()
	next := o.env.Start()
	if r := next.Do(l.Partition, "open", l.Dir); r.OK {
		next.appendOn(l, r)
	}
	return next
}

// appendOn appends what an owner would that believes the log.
func (o *Owner) appendOn(l *Ledger, state driver.Reply) {
	if state.Last > l.Last {
		l.Last = state.Last // what was refused and is there
	}
	if state.Last < l.Last {
		o.env.allowLoss(l, state)
	}
	o.Fill(l, 20, 1000)
	o.Sync(l)
}

// allowLoss: in modes none and interval a crash or a failed flush may cost what was not durable; it must not cost more.
func (e *Env) allowLoss(l *Ledger, state driver.Reply) {
	if state.Last < l.Durable {
		e.End(Lost, "opened with last %d, durable was %d", state.Last, l.Durable)
	}
	if e.Mode == "none" && !reports(state, l.Last) {
		e.End(Lost, "mode none, no power cut: opened with last %d, acknowledged was %d, and no word of it", state.Last, l.Last)
	}
	l.goOn(state.Last)
}

// merge is what two states report together.
func merge(a, b driver.Reply) driver.Reply {
	if b.Lost[1] == 0 {
		b.Lost = a.Lost
	}
	return b
}
