package scenario

import (
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/clock"
	"github.com/bulkhead-wal/bulkhead/tests/faults/driver"
)

// Method 3: a real full disk, freed again.
var fullDisk = []Scenario{{
	Name: "f9-full-disk", Method: "small filesystem", Rows: []string{"F8", "F9"},
	Demand: "full: appends are refused with ENOSPC, and reads, votes, close, open, recover and compaction work; freed: it goes on",
	Run:    runFullDisk,
}, {
	Name: "f8-full-metadata", Method: "small filesystem", Rows: []string{"F8"}, Filesystems: []string{"btrfs"},
	Demand: "no room for metadata either: what is refused is refused with ENOSPC, all is readable; freed: it goes on",
	Needs:  []Ability{States}, Run: runFullMetadata,
}, {
	Name: "f10-space-returns", Method: "small filesystem", Rows: []string{"F10"},
	Demand: "ReadWrite within 1 s of the space returning, with no restart and no call",
	Needs:  []Ability{Resume, Events}, Alone: true, Run: runSpaceReturns,
}}

const (
	enospc       = 28
	resumeWithin = time.Second
	fullAppends  = 20000 // far more than a log may have in reserve
)

// written gives a disk, and a log on it with a vote and 100 entries, all durable.
func (e *Env) written() (*Disk, *Owner, *Ledger) {
	d := e.Disk()
	l := d.Ledger(1)
	o := e.Start()
	o.Open(l)
	o.MustVote(l, 1, 1)
	o.MustAppend(l, 100, 3000)
	o.Sync(l)
	return d, o, l
}

// full gives a disk without a free byte, and a log on it that has refused an append.
func (e *Env) full() (*Disk, *Owner, *Ledger) {
	d, o, l := e.written()
	_, err := d.Fill()
	e.must(err)
	refusal, refused := o.fillBatches(l, fullAppends)
	if !refused {
		e.End(Broken, "the disk does not get full")
	}
	if refusal.Errno != enospc && (refusal.Errno != 0 || e.System.has(States)) { // some have a name of their own for it
		e.End(Failed, "a full disk is answered with errno %d: %s", refusal.Errno, refusal.Problem())
	}
	o.AfterError(l)
	if e.System.has(States) {
		if s := o.State(l); s.State != "ReadOnly" {
			e.End(Failed, "on a full disk the log is %s (%s), not ReadOnly: %s", s.State, s.Cause, s.Fault)
		}
	}
	return d, o, l
}

// fillBatches appends batches of changing size until one is refused: the space ends inside one of them.
func (o *Owner) fillBatches(l *Ledger, most int) (driver.Reply, bool) {
	for i := 0; i < most; i++ {
		if r := o.Append(l, 1+i%7, 6000); !r.OK {
			return r, true
		}
	}
	return driver.Reply{}, false
}

func runFullDisk(e *Env) string {
	d, o, l := e.full()
	o.MustHold(l, o.State(l), l.Last, "read on a full disk")
	e.fullVote(o, l, 2)
	// In mode interval what was accepted in memory goes with the close, which must say so.
	if r := o.Close(l); !r.OK && (e.Mode != "interval" || r.Errno != enospc) {
		e.End(Failed, "close on a full disk: %s", r.Problem())
	}
	state := o.Open(l)
	if e.Mode == "interval" {
		l.goOn(state.Last)
	}
	o.MustHold(l, state, l.Last, "opened on a full disk")
	o.fillBatches(l, fullAppends)
	o.AfterError(l)
	e.fullVote(o, l, 3)
	if r := o.Do(l.Partition, "recover"); !r.OK && !r.Unsupported && r.Errno != enospc {
		e.End(Failed, "recover on a full disk: %s", r.Problem())
	}
	o.MustHold(l, o.State(l), l.Last, "after recover on a full disk")
	if r := o.Compact(l, 50); !r.OK {
		e.End(Failed, "compaction on a full disk: %s", r.Problem())
	}
	e.must(d.Drain())
	if r := o.Append(l, 1, 1000); !r.OK {
		o.Recover(l)
		o.MustAppend(l, 1, 1000)
	}
	o.MustAppend(l, 200, 3000)
	o.Sync(l)
	o.MustHold(l, o.State(l), l.Last, "after the space returned")
	o.Close(l)
	d.Remount(l)
	o.MustHold(l, o.Open(l), l.Last, "reopened after the space returned")
	return sprintf("%d appends; read, vote, close, open, recover, compact on 0 free bytes", l.Last)
}

func (e *Env) fullVote(o *Owner, l *Ledger, term uint64) {
	if r := o.Vote(l, term, term); !r.OK && !r.Unsupported {
		s := o.State(l)
		e.End(Failed, "a vote of term %d on a full disk (%s, %s): %s", term, s.State, s.Cause, r.Problem())
	}
}

// runFullMetadata leaves the filesystem no block to note down that another one is in use: votes may fail, too.
func runFullMetadata(e *Env) string {
	d, o, l := e.written()
	e.must(d.FillMetadata())
	refused := 0
	for round := uint64(2); round < 12; round++ {
		r, _ := o.fillBatches(l, fullAppends)
		vote := o.Vote(l, round, round)
		for _, r := range []driver.Reply{r, vote} {
			if !r.OK && r.Errno != enospc {
				e.End(Failed, "without room for metadata: errno %d: %s", r.Errno, r.Problem())
			}
		}
		if !vote.OK {
			refused++
		}
		o.MustHold(l, o.State(l), l.Last, "read without room for metadata")
	}
	e.must(d.Drain())
	if r := o.Append(l, 1, 1000); !r.OK {
		o.Recover(l)
		o.MustAppend(l, 1, 1000)
	}
	o.MustVote(l, 20, 20)
	o.MustAppend(l, 200, 3000)
	o.Sync(l)
	o.MustHold(l, o.State(l), l.Last, "after the space returned")
	o.Close(l)
	d.Remount(l)
	o.MustHold(l, o.Open(l), l.Last, "reopened after the space returned")
	return sprintf("%d appends; %d of 10 votes refused with ENOSPC meanwhile", l.Last, refused)
}

func runSpaceReturns(e *Env) string {
	d, o, l := e.full()
	o.Do(0, "events")
	e.must(d.Drain())
	begin := clock.NS()
	event, ok := o.AwaitEvent(3*resumeWithin, func(v driver.Event) bool { return v.Partition == l.Partition && v.To == "ReadWrite" })
	if !ok {
		e.End(Failed, "not ReadWrite %v after the space returned", 3*resumeWithin)
	}
	after := time.Duration(event.TimeNS - begin)
	if after > resumeWithin {
		e.Late("ReadWrite %d ms after the space returned, demanded are 1000", after.Milliseconds())
	}
	o.MustAppend(l, 100, 3000)
	o.MustHold(l, o.State(l), l.Last, "after the space returned")
	o.Close(l)
	d.Remount(l)
	o.MustHold(l, o.Open(l), l.Last, "reopened after the space returned")
	return sprintf("ReadWrite %d ms after the space returned", after.Milliseconds())
}
