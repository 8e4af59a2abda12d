package scenario

import (
	"os"
	"path/filepath"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
	"github.com/bulkhead-wal/bulkhead/tests/faults/driver"
)

// Method 8: kill -9.
var kills = []Scenario{{
	Name: "f11-kill-9", Method: "kill -9", Rows: []string{"F11", "F19"},
	Demand: "a crash of the process loses nothing acknowledged (mode interval: no more than its window)",
	Run:    runKill,
}, {
	Name: "f26-second-opener", Method: "kill -9", Rows: []string{"F26"},
	Demand: "a second process is refused while the first lives; a dead owner's lock does not stay",
	Needs:  []Ability{Locks}, Run: runSecondOpener,
}}

// window is how old an append may be and still go with the process in mode interval: the default of 50 ms, and what a busy
// machine adds.
const window = 1500 * time.Millisecond

func runKill(e *Env) string {
	rounds := 4
	if e.Full {
		rounds = 50
	}
	d := e.DiskWith(disk.Options{}, loadDisk) // a fast machine writes much between two kills
	l := d.Ledger(1)
	var total, gone uint64
	for round := 1; round <= rounds; round++ {
		o := e.Start()
		state := o.OpenWritable(l)
		o.MustHold(l, state, l.Durable, "after another crash")
		l.goOn(state.Last)
		start := l.Last
		o.MustVote(l, uint64(round), uint64(round))
		moment := time.After(time.Duration(5+e.Random.Intn(400)) * time.Millisecond)
		safe := killUnderLoad(e, o, l, moment)
		total += l.Last - start
		if e.Mode != "interval" {
			safe = l.Last
		}
		o = e.Start()
		state = o.OpenWritable(l)
		o.MustHold(l, state, safe, "after kill -9")
		if state.Damaged[1] > 0 || state.State == "Unavailable" {
			e.End(Failed, "a crash of the process is called damage: %s %s %s", state.State, state.Cause, state.Fault)
		}
		gone += l.goOn(state.Last)
		o.MustAppend(l, 1, 10)
		o.Quit() // not closed: the next round opens after another crash
	}
	return sprintf("%d kills, %d appends acknowledged, %d of them inside the window of the mode and gone", rounds, total, gone)
}

// killUnderLoad appends, with some votes and compactions, until the moment; then it kills. It returns the last entry that was
// acknowledged a window before.
func killUnderLoad(e *Env, o *Owner, l *Ledger, moment <-chan time.Time) (safe uint64) {
	type mark struct {
		at   time.Time
		last uint64
	}
	var marks []mark
	for vote := uint64(1); ; vote++ {
		for i := 0; i < 8; i++ {
			o.MustAppend(l, 1+e.Random.Intn(3), e.Random.Intn(5000))
		}
		marks = append(marks, mark{time.Now(), l.Last})
		if vote%8 == 0 {
			o.MustVote(l, l.Term, l.Vote+1)
		}
		if vote%16 == 0 {
			o.Compact(l, l.Last/2)
		}
		select {
		case <-moment:
			// The last one is under way when the process dies: it may be there or not.
			o.Send(l.Partition, l.appendWords(1, 3000)...)
			o.Quit()
			for _, m := range marks {
				if time.Since(m.at) > window {
					safe = m.last
				}
			}
			return safe
		default:
		}
	}
}

func runSecondOpener(e *Env) string {
	d := e.Disk()
	l := d.Ledger(1)
	first := e.Start()
	first.Open(l)
	first.MustAppend(l, 10, 100)
	first.Sync(l)
	second := e.Start()
	if r := second.Do(1, "open", l.Dir); r.OK {
		e.End(Failed, "a second process opened the log while the first had it")
	}
	link := filepath.Join(d.Dir, "other")
	e.must(os.Mkdir(link, 0o700))
	other := e.Ledger(2, filepath.Join(link, "p"))
	e.must(os.Rename(l.Dir, other.Dir))
	if r := second.Do(2, "open", other.Dir); r.OK {
		e.End(Failed, "a second process opened the log, renamed, while the first had it")
	}
	e.must(os.Rename(other.Dir, l.Dir))
	first.MustAppend(l, 10, 100)
	first.Sync(l)
	first.Quit()
	begin := time.Now()
	state := openWithin(second, l, time.Second)
	took := time.Since(begin)
	second.MustHold(l, state, l.Last, "after the owner was killed")
	second.MustAppend(l, 1, 100)
	return sprintf("refused while alive; %d ms after its death the other process had it", took.Milliseconds())
}

// openWithin opens a log whose owner has just died.
func openWithin(o *Owner, l *Ledger, limit time.Duration) driver.Reply {
	for deadline := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		r := o.Do(l.Partition, "open", l.Dir)
		if r.OK {
			return r
		}
		if time.Now().After(deadline) {
			o.env.End(Failed, "the lock of a dead owner stays: %s", r.Problem())
		}
	}
}
