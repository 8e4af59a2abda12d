package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-wal/bulkhead/tests/faults/badblocks"
	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
	"github.com/bulkhead-wal/bulkhead/tests/faults/driver"
)

// Method 4, the tail: what a power cut leaves of writes that were under way, and what a disk makes of durable ones.
var tails = []Scenario{{
	Name: "f11-middle-lost", Method: "FUSE image", Rows: []string{"F11", "F20"},
	Demand: "a power cut that leaves blocks of the unsynced tail and loses others before them is an end and not damage",
	Run:    func(e *Env) string { return e.eachPayload(runMiddleLost, "random") },
}, {
	Name: "f13-payloads", Method: "FUSE image", Rows: []string{"F13", "F11"},
	Demand: "the same with payloads of zeros, and with payloads that are pieces of a log's own file",
	Run:    func(e *Env) string { return e.eachPayload(runMiddleLost, "zeros", "file") },
}, {
	Name: "f12-last-record", Method: "FUSE image", Rows: []string{"F12", "F13"},
	Demand: "a last record that was acknowledged and does not check any more is reported, not cut silently",
	Modes:  []string{"sync"},
	Run:    func(e *Env) string { return e.eachPayload(runLastRecord, "random", "zeros", "file") },
}}

// eachPayload runs something with kinds of payload.
func (e *Env) eachPayload(run func(*Env, string) string, kinds ...string) string {
	var lines []string
	for _, kind := range kinds {
		payload := kind
		if kind == "file" {
			payload += ":" + e.aLogsFile()
		}
		lines = append(lines, kind+": "+run(e, payload))
	}
	return strings.Join(lines, "; ")
}

// aLogsFile is a copy of the largest file of a log with some entries.
func (e *Env) aLogsFile() string {
	d := e.Disk()
	l := d.Ledger(1)
	o := e.Start()
	o.Open(l)
	o.MustAppend(l, baseEntries, 200)
	o.Sync(l)
	o.Close(l)
	o.Quit()
	copied := e.name("records")
	bytes, err := os.ReadFile(largestFiles(e, l.Dir)[0])
	e.must(err)
	e.must(os.WriteFile(copied, []byte(strings.TrimRight(string(bytes), "\x00")), 0o600))
	d.Discard()
	return copied
}

// noDamage ends the run if what a power cut costs is called damage.
func (e *Env) noDamage(state driver.Reply, what string) {
	if state.Damaged[1] > 0 || state.State == "Unavailable" {
		e.End(Failed, "%s is called damage: %s %s %v %s", what, state.State, state.Cause, state.Damaged, state.Fault)
	}
}

func runMiddleLost(e *Env, payload string) string {
	d := e.disk(true, disk.Options{DirectIO: true, Data: dataOf[e.FS]}, 0)
	l := d.Ledger(1)
	o := e.StartWith(nil, "-payload", payload, "-no-idle-check") // a look must not be the flush that hangs
	o.Open(l)
	o.MustAppend(l, 20, baseBytes)
	o.Sync(l)
	tail := d.tailOf(o, l, 1)
	name, err := filepath.Rel(l.Dir, tail.Path)
	e.must(err)
	if e.Mode == "none" {
		e.writeBackParts(d, o, l, tail)
		d.PowerCut(o, l)
	} else {
		e.cutFlush(d, o, l, tail)
	}
	// btrfs names blocks only once all of them are written, but for those that are written over, as in the other modes.
	if !e.hasHole(l.file(name), tail.Offset) && (e.FS != "btrfs" || e.Mode != "none") {
		e.noHole("no block is there behind one that is lost")
	}
	o = e.StartWith(nil, "-payload", payload)
	state := o.Open(l)
	e.noDamage(state, "a tail with lost blocks")
	o.MustHold(l, state, l.Durable, "with blocks lost in the unsynced tail")
	if e.Mode == "sync" && e.System.has(States) && state.MaybeAcked[1] == 0 {
		e.End(Failed, "a flush that never finished is cut silently: last %d, %s", state.Last, state.State)
	}
	gone := l.goOn(state.Last)
	o.MustAppend(l, 5, baseBytes)
	o.Sync(l)
	o.Close(l)
	d.Remounted(o, l)
	o = e.StartWith(nil, "-payload", payload)
	o.MustHold(l, o.Open(l), l.Last, "reopened")
	o.Close(l)
	o.Quit()
	d.Discard()
	return sprintf("%d of the unsynced entries gone with the first lost block, an end and no damage", gone)
}

// dataOf are mount options by which what was written back is there soon: btrfs has no other way to make just that durable.
var dataOf = map[string]string{"btrfs": "commit=1"}

const (
	unsyncedEntries = 30
	lostBlocks      = 3 // every third block of the tail reaches the disk
)

// writeBackParts appends without a sync and has the kernel write back some blocks, as it does by itself under pressure.
func (e *Env) writeBackParts(d *Disk, o *Owner, l *Ledger, tail Tail) {
	o.MustAppend(l, unsyncedEntries, baseBytes)
	f, err := os.OpenFile(tail.Path, os.O_RDWR, 0)
	e.must(err)
	defer f.Close()
	const flags = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	for block := int64(lostBlocks); block < unsyncedEntries*baseBytes/blockBytes; block += lostBlocks {
		e.must(unix.SyncFileRange(int(f.Fd()), tail.Offset+block*blockBytes, blockBytes, flags))
	}
	if e.FS == "btrfs" {
		time.Sleep(2500 * time.Millisecond)
		return
	}
	other, err := os.Create(filepath.Join(d.Dir, "other")) // its fsync commits what the filesystem notes of the blocks
	e.must(err)
	defer other.Close()
	_, err = other.Write(make([]byte, blockBytes))
	e.must(err)
	e.must(other.Sync())
}

// cutFlush cuts the power in a flush: blocks in its middle have not arrived, those around have.
func (e *Env) cutFlush(d *Disk, o *Owner, l *Ledger, tail Tail) {
	e.settle(l) // a flush of its housekeeping must not be the one that hangs
	if info, err := os.Stat(tail.Path); err == nil && info.Size() < tail.Offset+unsyncedEntries*baseBytes && !e.System.has(States) {
		e.End(NotApplicable, "%s lets its file grow: where the next blocks will lie is not known", e.System.Name)
	}
	middle := d.pieces(tail.Path, tail.Offset+blockBytes, tail.Offset+(1+lostBlocks)*blockBytes)
	d.RuleOn(middle, badblocks.Rule{Name: "lost", Op: badblocks.OpWrite, Action: badblocks.ActionDrop})
	d.Rule(badblocks.Rule{Name: "hang", Op: badblocks.OpFlush, Action: badblocks.ActionHang})
	call := o.Send(l.Partition, l.appendWords(unsyncedEntries, baseBytes)...)
	if e.Mode == "interval" {
		if r := o.Await(call, callLimit); r.OK {
			l.acknowledged(unsyncedEntries)
		}
	}
	for deadline := time.Now().Add(callLimit); d.Hits("lost") == 0 || d.Hits("hang") == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			e.noHole("the flush did not reach the disk")
		}
	}
	o.Strike() // it dies when the flush lets go of it
	d.takeNoWrites()
	d.Lift("hang")
	d.PowerCut(o, l)
}

// noHole ends a run in which no damage could be made: a log that writes to blocks which its filesystem has not named yet has
// nothing of a flush that did not finish.
func (e *Env) noHole(what string) {
	if !e.System.has(States) {
		e.End(NotApplicable, "%s: %s", e.System.Name, what)
	}
	e.End(Broken, "%s", what)
}

// settle waits until a log makes no files any more.
func (e *Env) settle(l *Ledger) {
	const quiet = 200 * time.Millisecond
	before := ""
	for since := time.Now(); time.Since(since) < quiet; time.Sleep(quiet / 10) {
		names, err := files(l.Dir)
		e.must(err)
		if now := sprintf("%v", names); now != before {
			before, since = now, time.Now()
		}
	}
}

// hasHole tells whether a file has a block of zeros at or behind an offset, and bytes behind it.
func (e *Env) hasHole(path string, from int64) bool {
	bytes, err := os.ReadFile(path)
	e.must(err)
	hole := false
	for at := from; at+blockBytes <= int64(len(bytes)); at += blockBytes {
		if allZero(bytes[at : at+blockBytes]) {
			hole = true
		} else if hole {
			return true
		}
	}
	return false
}

func allZero(bytes []byte) bool {
	for _, b := range bytes {
		if b != 0 {
			return false
		}
	}
	return true
}

// runLastRecord damages the last record of a log whose process was killed: the data of an entry is there in part only.
func runLastRecord(e *Env, payload string) string {
	d := e.BadDisk()
	l := d.Ledger(1)
	o := e.StartWith(nil, "-payload", payload)
	o.Open(l)
	o.MustAppend(l, 20, baseBytes)
	tail := d.tailOf(o, l, 1) // the last record is its probe
	o.Quit()
	e.must(flip(tail.Path, tail.End-probeBytes/2, 0x10))
	d.Remount(l)
	o = e.StartWith(nil, "-payload", payload)
	r := o.Do(l.Partition, "open", l.Dir)
	if r.OK {
		switch found := o.MustHoldOrReport(l, r, l.Last, "with a damaged last record"); len(found.Missing) {
		case 0:
			e.noHole("the byte that was changed is not the last record's")
		case 1:
		default:
			e.End(Failed, "one damaged record costs %d entries", len(found.Missing))
		}
		o.Close(l)
	}
	o.Quit()
	d.Discard()
	if !r.OK {
		return "the open refuses: " + r.Problem()
	}
	return sprintf("entry %d is reported (%v)", l.Last, r.MaybeAcked)
}
