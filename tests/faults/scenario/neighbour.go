package scenario

import (
	"os"
	"path/filepath"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/badblocks"
	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
	"github.com/bulkhead-wal/bulkhead/tests/faults/driver"
)

// Method 1, neighbours: one partition of several on a disk fails for good.
var neighbours = []Scenario{{
	Name: "f5-failing-neighbour", Method: "FUSE image", Rows: []string{"F5"},
	Demand:      "one partition's data blocks fail for good: the others on the disk keep their throughput and p99",
	Filesystems: []string{"ext4", "xfs"}, Modes: []string{"sync", "none"}, Alone: true,
	Run: runNeighbour,
}}

const (
	neighbourCount  = 8
	neighbourDisk   = 3 * loadDisk // a fast machine makes large segments for each of them
	neighbourWindow = 700 * time.Millisecond
	// A run of a second on a shared machine varies more than what a benchmark would call a difference: this finds a failing
	// partition that holds up the others, not one that costs a few percent.
	keepThroughput = 0.7
	keepP99        = 3
	p99FloorUS     = 3000
)

// share is what the healthy partitions did in a window.
type share struct {
	appends float64 // per second, all together
	p99US   float64 // of the slowest
}

func runNeighbour(e *Env) string {
	d := e.disk(true, disk.Options{DirectIO: true}, neighbourDisk)
	o := e.Start()
	var ledgers []*Ledger
	for p := 1; p <= neighbourCount; p++ {
		l := d.Ledger(uint64(p))
		o.Open(l)
		o.MustAppend(l, 5, 1000)
		o.Sync(l)
		ledgers = append(ledgers, l)
	}
	sick := ledgers[0]
	before, _ := e.window(o, ledgers)
	e.failForGood(d, sick, "bad")
	during, refusals := e.window(o, ledgers)
	struck := d.Hits("bad")
	d.Lift("bad")
	e.resumes(o, sick)
	after, _ := e.window(o, ledgers)
	if struck == 0 {
		e.unreached("no write met the bad blocks")
	}
	slow, late := min(before.appends, after.appends), max(before.p99US, after.p99US, p99FloorUS/keepP99)
	line := sprintf("the other %d: %.0f, %.0f, %.0f appends/s and p99 %.0f, %.0f, %.0f us before, during, after; %d failed writes, %d refusals",
		neighbourCount-1, before.appends, during.appends, after.appends, before.p99US, during.p99US, after.p99US, struck, refusals)
	if during.appends < keepThroughput*slow || during.p99US > keepP99*late {
		e.Late("%s", line)
	}
	for _, l := range ledgers {
		o.MustHold(l, o.State(l), l.Durable, "partition "+itoa(l.Partition))
	}
	return line
}

// window loads all partitions for a while. It gives what the healthy ones did, and how often the first was refused.
func (e *Env) window(o *Owner, ledgers []*Ledger) (s share, refusals uint64) {
	for _, l := range ledgers {
		o.Do(l.Partition, "load", 200, 60, 0)
	}
	time.Sleep(neighbourWindow / 2)
	o.Do(ledgers[0].Partition, "sync") // in mode none its bad blocks are met by a sync only
	time.Sleep(neighbourWindow / 2)
	var calls []*driver.Call
	for _, l := range ledgers {
		calls = append(calls, o.Send(l.Partition, "loadstop"))
	}
	for i, l := range ledgers {
		r := o.Await(calls[i], callLimit)
		if r.Last > l.Last {
			l.Last = r.Last
		}
		if e.Mode == "sync" {
			l.Durable = l.Last
		}
		if i == 0 {
			refusals = r.Errors
			continue
		}
		if r.Errors > 0 {
			e.End(Failed, "partition %d, whose blocks are good: %s", l.Partition, r.FirstError)
		}
		s.appends += float64(r.Appends) / r.Seconds
		s.p99US = max(s.p99US, r.P99US)
	}
	return s, refusals
}

// failForGood makes all blocks of a partition's files fail, and those of files it makes later where that can be known: every
// segment of Bulkhead's begins with the incarnation that its root has at this place (docs/format.md).
func (e *Env) failForGood(d *Disk, l *Ledger, name string) {
	e.must(syncPath(l.Dir))
	e.keepBlocks(d, l)
	rule := badblocks.Rule{Name: name, Op: badblocks.OpWrite, Action: badblocks.ActionFail, Errno: eio}
	names, err := files(l.Dir)
	e.must(err)
	for path := range names {
		d.RuleOn(d.pieces(path, 0, 1<<62), rule)
	}
	const at, length = 32, 16
	if root, err := os.ReadFile(filepath.Join(l.Dir, "root")); err == nil && len(root) > at+length {
		rule.Match = root[at : at+length]
		d.Rule(rule)
	}
}

// keepBlocks gives a partition's files a second name: blocks that it lets go of must not become those of its neighbours.
func (e *Env) keepBlocks(d *Disk, l *Ledger) {
	names, err := files(l.Dir)
	e.must(err)
	for path := range names {
		if err := os.Link(path, filepath.Join(d.Dir, filepath.Base(e.name("kept")))); !os.IsNotExist(err) { // removed meanwhile
			e.must(err)
		}
	}
}
