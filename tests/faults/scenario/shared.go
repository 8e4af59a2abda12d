package scenario

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/badblocks"
	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
	"github.com/bulkhead-wal/bulkhead/tests/faults/driver"
)

// Methods 4, 5 and 8 over flushes that logs share: on ext4 and xfs the writes of many are made durable by one flush of another file.
var sharedFlushes = []Scenario{{
	Name: "f20-shared-power-cut", Method: "shutdown ioctl", Rows: []string{"F20", "F11"}, Filesystems: []string{"ext4", "xfs"}, Modes: []string{"sync"},
	Demand: "nothing that many logs have made durable together is lost by a power cut or by kill -9",
	Needs:  []Ability{Shares}, Run: runSharedPowerCut,
}, {
	Name: "f20-shared-crash-states", Method: "recorded FUSE image", Rows: []string{"F20", "F11"}, Filesystems: []string{"ext4", "xfs"}, Modes: []string{"sync"},
	Demand: "ext4 with and without a journal, xfs with and without copies by reflink: in no state that a disk may be in is something lost that many logs have made durable together",
	Needs:  []Ability{Shares}, Run: runSharedCrashStates,
}}

const (
	sharers      = 24
	sharedRounds = 12
	// sharesWithin is when logs that append beside each other must share flushes: the disk needs a file for it, which housekeeping makes.
	sharesWithin = 20 * time.Second
)

// openAside opens logs, all at once.
func (o *Owner) openAside(ledgers []*Ledger) (states []driver.Reply) {
	var calls []*driver.Call
	for _, l := range ledgers {
		calls = append(calls, o.Send(l.Partition, "open", l.Dir))
	}
	for _, c := range calls {
		r := o.Await(c, callLimit)
		if !r.OK || r.State != "ReadWrite" {
			o.env.End(Failed, "it does not open: %s %s %s", r.State, r.Fault, r.Problem())
		}
		states = append(states, r)
	}
	return states
}

// appendAside appends to all logs at the same time and calls note after each answer.
func (o *Owner) appendAside(ledgers []*Ledger, note func(*Ledger)) {
	var calls []*driver.Call
	var counts []int
	for _, l := range ledgers {
		count := 1 + o.env.Random.Intn(3)
		counts = append(counts, count)
		calls = append(calls, o.Send(l.Partition, l.appendWords(count, o.env.Random.Intn(5000))...))
	}
	for i, l := range ledgers {
		if r := o.Await(calls[i], callLimit); !r.OK {
			o.env.End(Failed, "an append without a cause to fail failed: %s", r.Problem())
		}
		l.acknowledged(uint64(counts[i]))
		note(l)
	}
}

func (o *Owner) shared() uint64 { return o.Do(0, "shared").Shared }

// untilShared appends beside each other until flushes are shared.
func (o *Owner) untilShared(ledgers []*Ledger) {
	for deadline := time.Now().Add(sharesWithin); o.shared() == 0; {
		if time.Now().After(deadline) {
			o.env.End(Failed, "%d logs that append beside each other share no flush", len(ledgers))
		}
		o.appendAside(ledgers, func(*Ledger) {})
		time.Sleep(50 * time.Millisecond) // not to fill the disk meanwhile
	}
}

func (d *Disk) ledgers(n uint64) (all []*Ledger) {
	for p := uint64(1); p <= n; p++ {
		all = append(all, d.Ledger(p))
	}
	return all
}

func runSharedPowerCut(e *Env) string {
	rounds := 4
	if e.Full {
		rounds = 20
	}
	d := e.DiskWith(disk.Options{}, loadDisk)
	all := d.ledgers(64)
	var shared uint64
	for round := 0; round < rounds; round++ {
		o := e.Start()
		o.openAside(all)
		o.untilShared(all)
		for i := 0; i < 3+e.Random.Intn(sharedRounds); i++ {
			o.appendAside(all, func(*Ledger) {})
		}
		shared += o.shared()
		for _, l := range all { // under way when it happens: they may be there or not
			o.Send(l.Partition, l.appendWords(1, 3000)...)
		}
		time.Sleep(time.Duration(e.Random.Intn(3000)) * time.Microsecond)
		if round%2 == 0 {
			d.PowerCut(o, all...)
		} else {
			o.Quit()
		}
		o = e.Start()
		for i, state := range o.openAside(all) {
			o.MustHold(all[i], state, all[i].Durable, "after a power cut or kill -9")
			all[i].goOn(state.Last)
		}
		o.appendAside(all, func(*Ledger) {})
		o.Quit()
	}
	return sprintf("%d power cuts and kills, %d logs, %d of their writes made durable together, nothing lost", rounds, len(all), shared)
}

func runSharedCrashStates(e *Env) string {
	line := ""
	for _, kind := range sharedKinds[e.FS] {
		tried, shared := e.sharedStates(kind)
		line += sprintf("%s: %d states, %d writes made durable together; ", kind, tried, shared)
	}
	return line + sprintf("%d logs, nothing lost", sharers)
}

// What is different about the filesystem: features of ext4, and whether the written blocks of xfs move, since copies by reflink have them, too.
const (
	withJournal, withoutJournal = "has_journal", "^has_journal"
	plain, withCopies           = "plain", "reflink"
)

var sharedKinds = map[string][]string{"ext4": {withJournal, withoutJournal}, "xfs": {plain, withCopies}}

func (e *Env) sharedStates(kind string) (tried int, shared uint64) {
	d, base := e.recordedDisk(func(image string) {
		if e.FS == "ext4" {
			e.must(exec.Command("tune2fs", "-O", kind, image).Run())
		}
	})
	all := d.ledgers(sharers)
	between := func(int) {}
	if kind == withCopies {
		between = func(round int) { e.copyByReflink(d, all, round) }
	}
	steps, rounds, shared := e.recordShared(d, all, between)
	record := e.recordPath()
	d.command(badblocks.Command{Do: "stop"})
	requests, err := badblocks.ReadRecord(record)
	e.must(err)
	d.Unmount()
	states := e.pickStates(requests, steps[all[0]][0].seq)
	for _, at := range rounds {
		states = append(states, badblocks.Covered(requests, at))
	}
	for i, s := range states {
		image := e.name("state")
		e.must(disk.CopySparse(base, image))
		e.must(s.Write(image))
		if kind == withoutJournal { // it is the journal that mends a filesystem where it is mounted
			e.must(repaired(exec.Command("e2fsck", "-f", "-y", image).Run()))
		}
		e.checkShared(d, image, steps, s, sprintf("%s, state %d (%s)", kind, i+1, s.Name))
	}
	return len(states), shared
}

// copyByReflink makes copies of all logs that share their blocks: what is written next goes to others.
func (e *Env) copyByReflink(d *Disk, all []*Ledger, round int) {
	copies := filepath.Join(d.Dir, sprintf("copies-%d", round))
	e.must(os.Mkdir(copies, 0o755))
	for _, l := range all {
		e.must(exec.Command("cp", "-r", "--reflink=always", l.Dir, copies).Run())
	}
}

// repaired takes "errors were corrected" for success.
func repaired(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return nil
	}
	return err
}

// recordShared appends to all logs beside each other, from when on they share flushes: what the filesystem knows of their files is durable by
// then. It notes what was acknowledged, and when each round was; between is called before each.
func (e *Env) recordShared(d *Disk, all []*Ledger, between func(round int)) (steps map[*Ledger][]step, rounds []int64, shared uint64) {
	o := e.Start()
	o.openAside(all)
	o.untilShared(all)
	steps = make(map[*Ledger][]step)
	var last int64
	note := func(l *Ledger) {
		last = d.command(badblocks.Command{Do: "seq"}).Seq
		steps[l] = append(steps[l], step{last, l.Copy()})
	}
	for _, l := range all {
		note(l)
	}
	for i := 0; i < sharedRounds; i++ {
		between(i)
		o.appendAside(all, note)
		rounds = append(rounds, last)
	}
	shared = o.shared()
	o.Quit()
	return steps, rounds, shared
}

// checkShared mounts a state and opens all logs in it.
func (e *Env) checkShared(from *Disk, image string, steps map[*Ledger][]step, s badblocks.State, name string) {
	d := &Disk{Image: image, env: e}
	e.after(d.release)
	d.Mount()
	o := e.Start()
	var known []*Ledger
	for l := range steps {
		dir, err := filepath.Rel(from.Dir, l.Dir)
		e.must(err)
		k := knownAt(steps[l], s.At)
		k.Dir = filepath.Join(d.Dir, dir)
		known = append(known, k)
	}
	for i, state := range o.openAside(known) {
		if state.Damaged[1] > 0 {
			e.End(Failed, "%s: a power cut is called damage: %v %s", name, state.Damaged, state.Fault)
		}
		o.MustHold(known[i], state, known[i].Durable, name)
	}
	o.Quit()
	d.Discard()
}
