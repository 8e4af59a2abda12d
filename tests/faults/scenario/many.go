package scenario

import (
	"sort"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-wal/bulkhead/tests/faults/badblocks"
	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
	"github.com/bulkhead-wal/bulkhead/tests/faults/driver"
)

// Method 1 and 7, from the owner's side: what a fault is called, how soon it is told, and what many partitions or many faults cost.
var many = []Scenario{{
	Name: "f6-typed-causes", Method: "strace inject", Rows: []string{"F6", "F1"},
	Demand: "each errno has its cause, in the event and in the state, and comes back in the error",
	Needs:  []Ability{States, Events}, Run: runTypedCauses,
}, {
	Name: "f7-told", Method: "FUSE image", Rows: []string{"F7"},
	Demand: "the owner hears within 10 ms of the disk's first error, asking nothing",
	Needs:  []Ability{Events}, Alone: true, Run: runTold,
}, {
	Name: "f27-one-damaged", Method: "write", Rows: []string{"F27"},
	Demand: "one damaged partition of 1,000 neither fails nor delays the opening of the others",
	Modes:  []string{"none"}, Needs: []Ability{States}, Alone: true, Run: runOneDamaged,
}, {
	Name: "f30-open-fail-close", Method: "prlimit", Rows: []string{"F30"},
	Demand: "descriptors, threads and memory after many cycles of opening, failing and closing are what they were after a few",
	Modes:  []string{"sync", "none"}, Needs: []Ability{States}, Run: runOpenFailClose,
}}

var causes = []struct {
	name  string
	errno unix.Errno
	cause string
}{
	{"EIO", unix.EIO, "I/O error"}, {"EROFS", unix.EROFS, "read-only filesystem"}, {"ENOSPC", unix.ENOSPC, "no space"},
	{"EDQUOT", unix.EDQUOT, "no space"}, {"ENOMEM", unix.ENOMEM, "resource"},
}

func runTypedCauses(e *Env) string {
	d := e.Disk()
	o := e.Start()
	for i, c := range causes {
		l := d.Ledger(uint64(i + 1))
		o.Open(l)
		o.MustAppend(l, 20, baseBytes)
		o.Sync(l)
		o.Do(0, "events")
		injection := o.Inject(writes + "," + syncs + "," + space + ":error=" + c.name)
		refusal, refused := o.appendAndSync(l, 100)
		state := o.State(l)
		event, told := o.AwaitEvent(time.Second, func(v driver.Event) bool { return v.Partition == l.Partition && v.Errno != 0 })
		injection.Lift()
		if !refused || !told {
			e.End(Failed, "%s: refused %v, told %v", c.name, refused, told)
		}
		if refusal.Errno != int(c.errno) || event.Errno != refusal.Errno || event.Cause != c.cause || state.Cause != c.cause {
			e.End(Failed, "%s is %q in the state, %q with errno %d in the event, and refused with %s (errno %d)", c.name, state.Cause,
				event.Cause, event.Errno, refusal.Problem(), refusal.Errno)
		}
		e.resumes(o, l)
		o.Close(l)
	}
	return sprintf("%d errnos, each with its cause in the error, the event and the state", len(causes))
}

const toldRounds = 5

// runTold takes the median of a few partitions: a busy machine is late now and then.
func runTold(e *Env) string {
	d := e.BadDisk()
	// A look at a log that is idle would find the fault before the write whose owner is to hear.
	o := e.StartWith([]string{"nice", "-n", "-15"}, "-no-idle-check")
	var ledgers []*Ledger
	for p := uint64(1); p <= toldRounds; p++ {
		l := d.Ledger(p)
		o.Open(l)
		o.MustAppend(l, 10, baseBytes)
		o.Sync(l)
		ledgers = append(ledgers, l)
	}
	for _, l := range ledgers { // all of them before the first fails: after that the filesystem cannot be synced
		e.failForGood(d, l, "bad"+itoa(l.Partition))
	}
	var heard []time.Duration
	for _, l := range ledgers {
		o.Do(0, "events")
		written, synced := o.Send(l.Partition, l.appendWords(1, baseBytes)...), o.Send(l.Partition, "sync")
		event, told := o.AwaitEvent(callLimit, func(v driver.Event) bool { return v.Partition == l.Partition && v.Errno != 0 })
		if !told || event.Errno != eio {
			e.End(Failed, "the disk fails, and the event is: %+v", event)
		}
		o.Await(written, callLimit)
		o.Await(synced, callLimit)
		heard = append(heard, time.Duration(event.TimeNS-d.command(badblocks.Command{Do: "hits"}).FirstNS["bad"+itoa(l.Partition)]))
	}
	sort.Slice(heard, func(i, j int) bool { return heard[i] < heard[j] })
	median := heard[len(heard)/2]
	if median > ownerHears {
		e.Late("the owner heard %.1f ms after the disk's error (median of %d), demanded are 10", median.Seconds()*1000, toldRounds)
	}
	return sprintf("the owner heard %.1f ms after the disk's error (median of %d, worst %.1f)", median.Seconds()*1000, toldRounds,
		heard[len(heard)-1].Seconds()*1000)
}

const (
	partitions = 1000
	// opensWithin is how much longer opening all may take with a damaged one among them: twice what the same took without is
	// what two runs on a busy machine differ by.
	opensWithin = 2
)

func runOneDamaged(e *Env) string {
	d := e.DiskWith(disk.Options{}, loadDisk)
	var ledgers []*Ledger
	o := e.Start()
	for p := uint64(1); p <= partitions; p++ {
		l := d.Ledger(p)
		o.Open(l)
		o.MustAppend(l, 2, 100)
		o.Close(l)
		ledgers = append(ledgers, l)
	}
	o.Quit()
	sound, _ := e.openAll(ledgers)
	sick := ledgers[partitions/2]
	e.must(wipe(sick.file("root"), 0, 4*blockBytes))
	damaged, states := e.openAll(ledgers)
	for i, l := range ledgers {
		if l != sick && (!states[i].OK || states[i].State != "ReadWrite") {
			e.End(Failed, "partition %d, which is sound: %s %s", l.Partition, states[i].State, states[i].Problem())
		}
	}
	if s := states[partitions/2]; s.OK && s.State == "ReadWrite" {
		e.End(Lost, "the damaged partition opens as if nothing were")
	}
	line := sprintf("%d opened in %d ms, with one damaged in %d ms", partitions, sound.Milliseconds(), damaged.Milliseconds())
	if damaged > opensWithin*sound {
		e.Late("%s", line)
	}
	return line
}

// openAll opens them all, all at once, a few times. It gives the shortest time: what a busy machine adds says nothing.
func (e *Env) openAll(ledgers []*Ledger) (shortest time.Duration, states []driver.Reply) {
	for try := 0; try < 3; try++ {
		took, answers := e.openAllOnce(ledgers)
		if shortest == 0 || took < shortest {
			shortest = took
		}
		states = answers
	}
	return shortest, states
}

// openAllOnce opens them in a new process.
func (e *Env) openAllOnce(ledgers []*Ledger) (time.Duration, []driver.Reply) {
	o := e.Start()
	o.Do(0, "events") // it runs
	begin := time.Now()
	var calls []*driver.Call
	for _, l := range ledgers {
		calls = append(calls, o.Send(l.Partition, "open", l.Dir))
	}
	var states []driver.Reply
	for _, c := range calls {
		states = append(states, o.Await(c, callLimit))
	}
	took := time.Since(begin)
	o.Quit()
	return took, states
}

const (
	cyclesFirst = 50
	cyclesCI    = 400
	cyclesFull  = 10000
	mayGrowKiB  = 16 << 10
	threadsMost = 1 + 1 + 2 + 8 + 1 // watch, time, housekeeping, flushing (started when needed, at most so many), healing
)

// runOpenFailClose has writes fail by a limit on the size of files: really, and without a trace left when it is lifted.
func runOpenFailClose(e *Env) string {
	cycles := cyclesCI
	if e.Full {
		cycles = cyclesFull
	}
	d := e.Disk()
	l := d.Ledger(1)
	o := e.StartWith(nil, "-no-healing")
	o.Open(l)
	o.MustAppend(l, 1, 100)
	o.Close(l)
	limits := o.limit(unix.RLIMIT_FSIZE, 1)
	failures := 0
	var first [3]int
	for i := 1; i <= cyclesFirst+cycles; i++ {
		o.Open(l)
		if r := o.Do(l.Partition, l.appendWords(1, baseBytes)...); !r.OK {
			failures++
		}
		o.Close(l)
		if i == cyclesFirst {
			first = [3]int{descriptors(o), libraryThreads(o), residentKiB(o)}
		}
	}
	last := [3]int{descriptors(o), libraryThreads(o), residentKiB(o)}
	o.setLimit(unix.RLIMIT_FSIZE, limits)
	if failures < cycles {
		e.End(Broken, "only %d of %d appends failed", failures, cycles)
	}
	line := sprintf("%d cycles: descriptors %d and %d, threads of the library %d and %d, memory %d and %d MiB", cycles, first[0], last[0], first[1], last[1],
		first[2]>>10, last[2]>>10)
	if last[0] > first[0] || last[1] > threadsMost || last[2] > first[2]+mayGrowKiB {
		e.End(Failed, "%s", line)
	}
	o.MustHold(l, o.OpenWritable(l), l.Last, "after it")
	e.resumes(o, l)
	return line
}
