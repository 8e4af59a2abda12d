package scenario

import (
	"path/filepath"

	"github.com/bulkhead-wal/bulkhead/tests/faults/badblocks"
	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
)

// Method 5: crash states below the filesystem. What reached the disk is recorded; states that a power cut may leave are made
// from the record: every prefix that ends with a flush, and parts and reorderings of what no flush covered.
var crashStates = []Scenario{{
	Name: "f19-crash-states", Method: "recorded FUSE image", Rows: []string{"F11", "F18", "F19", "F20"},
	Demand: "in every state nothing durable is lost, votes included, and what an unfinished flush left is not called damage",
	Run:    runCrashStates,
}}

// How many states of each kind are tried.
const (
	crashStatesCI   = 12
	crashStatesFull = 150
	crashSteps      = 60
)

// step is what was acknowledged by an event of the record.
type step struct {
	seq    int64
	ledger *Ledger
}

func runCrashStates(e *Env) string {
	d, base := e.recordedDisk(func(string) {})
	l := d.Ledger(1)
	dir, err := filepath.Rel(d.Dir, l.Dir)
	e.must(err)
	steps := e.recordSteps(d, l)
	record := e.recordPath()
	d.command(badblocks.Command{Do: "stop"})
	requests, err := badblocks.ReadRecord(record)
	e.must(err)
	d.Unmount()
	states := e.pickStates(requests, steps[0].seq)
	checker := e.Start()
	uncovered := 0
	for i, s := range states {
		image := e.name("state")
		e.must(disk.CopySparse(base, image))
		e.must(s.Write(image))
		known := knownAt(steps, s.At)
		if known.Last > known.Durable {
			uncovered++
		}
		e.checkState(checker, image, dir, known, sprintf("state %d (%s)", i+1, s.Name))
	}
	return sprintf("%d states of %d writes and %d flushes, %d of them with unsynced entries", len(states), len(requests),
		len(badblocks.Flushes(requests)), uncovered)
}

func (e *Env) recordPath() string { return filepath.Join(e.Dir, "record") }

// recordedDisk is a disk, with a filesystem that was prepared, whose record begins before it is first mounted, and a copy of its image from then.
func (e *Env) recordedDisk(prepare func(image string)) (*Disk, string) {
	d := &Disk{Image: e.name("image"), env: e, options: disk.Options{DirectIO: true}}
	base := e.name("base")
	e.must(disk.Make(e.FS, d.Image, 0))
	prepare(d.Image)
	e.must(disk.CopySparse(d.Image, base))
	d.serve()
	e.after(d.release)
	d.command(badblocks.Command{Do: "record", Path: e.recordPath()})
	d.Mount()
	return d, base
}

// recordSteps drives a log through a life and notes after each answer how far the record is.
func (e *Env) recordSteps(d *Disk, l *Ledger) []step {
	o := e.Start()
	o.Open(l)
	var steps []step
	note := func() { steps = append(steps, step{d.command(badblocks.Command{Do: "seq"}).Seq, l.Copy()}) }
	note()
	for i := 0; i < crashSteps; i++ {
		switch dice := e.Random.Intn(20); {
		case dice == 0:
			o.MustVote(l, l.Term+1, 1)
		case dice == 1 && l.Durable > 20:
			// From here on the entries may be gone: noted before it is done.
			l.compactedMaybe = l.Durable / 2
			note()
			o.Compact(l, l.compactedMaybe)
		case dice <= 4:
			o.Sync(l)
		case dice == 5:
			o.Close(l)
			note()
			o.Open(l)
		default:
			o.MustAppend(l, 1+e.Random.Intn(5), e.Random.Intn(12000))
		}
		note()
	}
	o.Quit()
	return steps
}

// knownAt is what had been acknowledged when an event was recorded.
func knownAt(steps []step, at int64) *Ledger {
	known := steps[0].ledger
	for _, s := range steps {
		if s.seq <= at {
			known = s.ledger
		}
	}
	known = known.Copy()
	for _, s := range steps { // what was offered later may have arrived earlier than its answer
		known.maybeVotes = append(known.maybeVotes, s.ledger.maybeVotes...)
	}
	return known
}

// pickStates chooses states from the moment on at which the log was open.
func (e *Env) pickStates(requests []badblocks.Request, from int64) []badblocks.State {
	n := crashStatesCI
	if e.Full {
		n = crashStatesFull
	}
	var states []badblocks.State
	var flushes []badblocks.Request
	for _, f := range badblocks.Flushes(requests) {
		if f.Done >= from {
			flushes = append(flushes, f)
		}
	}
	if len(flushes) == 0 {
		e.End(Broken, "no flush reached the disk")
	}
	for _, i := range e.Random.Perm(len(flushes)) {
		if len(states) < n {
			states = append(states, badblocks.Boundary(requests, flushes[i]))
		}
	}
	last := requests[len(requests)-1].Start
	for i := 0; i < n; i++ {
		states = append(states, badblocks.Subset(requests, from+e.Random.Int63n(last-from+1), e.Random))
	}
	return states
}

// checkState mounts a state and opens the log in it.
func (e *Env) checkState(o *Owner, image, dir string, known *Ledger, name string) {
	d := &Disk{Image: image, env: e}
	e.after(d.release)
	d.Mount()
	known.Dir = filepath.Join(d.Dir, dir)
	r := o.Do(known.Partition, "open", known.Dir)
	if !r.OK {
		e.End(Failed, "%s: the log does not open: %s", name, r.Problem())
	}
	if r.Damaged[1] > 0 || r.State == "Unavailable" {
		outcome := Failed
		if r.Last < known.Durable {
			outcome = Lost
		}
		e.End(outcome, "%s: a power cut is called damage: durable %d, last %d, %s %s %v %s", name, known.Durable, r.Last, r.State, r.Cause, r.Damaged, r.Fault)
	}
	o.MustHold(known, r, known.Durable, name)
	known.goOn(r.Last)
	o.MustAppend(known, 1, 100)
	o.Close(known)
	d.Discard()
}
