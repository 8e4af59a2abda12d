package scenario

import (
	"sort"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/badblocks"
	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
)

// Method 4: the power goes. Where the filesystem has a shutdown it is stopped without flushing its journal, by ioctl; elsewhere the
// disk below it, a FUSE image, takes no write any more from that moment on. Then it is mounted anew.
var powerCut = []Scenario{{
	Name: "f20-power-cut", Method: "shutdown ioctl", Rows: []string{"F20", "F11"},
	Demand: "nothing durable is lost; what else is gone is an end and not damage",
	Run:    func(e *Env) string { return e.runPowerCut(func(*Owner, *Ledger, uint64) {}) },
}, {
	Name: "f18-power-cut-votes", Method: "shutdown ioctl", Rows: []string{"F18", "F20"},
	Demand: "a vote that was acknowledged survives in every mode, also between appends",
	Run:    func(e *Env) string { return e.runPowerCut((*Owner).voteTwice) },
}, {
	Name: "f20-window", Method: "shutdown ioctl", Rows: []string{"F20"},
	Demand: "mode interval: a power cut costs no more than the interval, and the flush that was under way",
	Modes:  []string{"interval"}, Alone: true, Run: runWindow,
}}

// DiskToCut is a disk whose power can go.
func (e *Env) DiskToCut() *Disk {
	if disk.CanShutdown(e.FS) {
		return e.Disk()
	}
	return e.BadDisk()
}

// PowerCut takes the power away and brings the disk back. Ledgers get their new directories.
func (d *Disk) PowerCut(o *Owner, ledgers ...*Ledger) {
	d.takeNoWrites()
	o.Quit()
	d.remount(func() {
		if d.Bad != nil {
			d.Lift("")
		}
	}, ledgers...)
}

func (d *Disk) takeNoWrites() {
	if d.Bad == nil {
		d.env.must(d.Shutdown())
		return
	}
	d.Rule(badblocks.Rule{Name: "power", Op: badblocks.OpWrite, Action: badblocks.ActionDrop})
}

// voteTwice votes in one term and in the next.
func (o *Owner) voteTwice(l *Ledger, round uint64) {
	o.MustVote(l, 2*round, round)
	o.MustVote(l, 2*round+1, round)
}

func (e *Env) runPowerCut(vote func(*Owner, *Ledger, uint64)) string {
	rounds := 3
	if e.Full {
		rounds = 20
	}
	d := e.DiskToCut()
	l := d.Ledger(1)
	var unsynced uint64
	for round := 1; round <= rounds; round++ {
		o := e.Start()
		o.OpenWritable(l)
		vote(o, l, uint64(2*round))
		for i := 0; i < 20+e.Random.Intn(100); i++ {
			o.MustAppend(l, 1+e.Random.Intn(4), e.Random.Intn(9000))
			if e.Mode != "sync" && e.Random.Intn(30) == 0 {
				o.Sync(l)
			}
		}
		vote(o, l, uint64(2*round+1))
		d.PowerCut(o, l)

		o = e.Start()
		state := o.Open(l)
		o.MustHold(l, state, l.Durable, "after a power cut")
		if e.Mode != "sync" {
			e.noDamage(state, "the lost unsynced tail")
		}
		unsynced += l.goOn(state.Last)
		o.MustAppend(l, 1, 100)
		o.Close(l)
		o.Quit()
	}
	return sprintf("%d power cuts, nothing durable lost; %d unsynced entries gone, reported as an end", rounds, unsynced)
}

const (
	windowRounds = 5
	interval     = 50 * time.Millisecond // the default
	// flushTakes is what the flush itself may take, with a busy machine's share.
	flushTakes = 50 * time.Millisecond
)

// runWindow cuts the power a few times, and takes the median: one late flush says something of the machine only.
func runWindow(e *Env) string {
	d := e.DiskToCut()
	l := d.Ledger(1)
	var ages []time.Duration
	for round := 0; round < windowRounds; round++ {
		o := e.Start("nice", "-n", "-15")
		l.goOn(o.OpenWritable(l).Last)
		first := l.Last + 1
		var acknowledged []time.Time
		for begin := time.Now(); time.Since(begin) < 6*interval; time.Sleep(time.Millisecond) {
			o.MustAppend(l, 1, 500)
			acknowledged = append(acknowledged, time.Now())
		}
		cut := time.Now()
		d.PowerCut(o, l)
		o = e.Start()
		state := o.Open(l)
		o.MustHold(l, state, first-1, "after a power cut")
		e.noDamage(state, "the lost window")
		if state.Last < l.Last {
			ages = append(ages, cut.Sub(acknowledged[max(state.Last+1, first)-first]))
		} else {
			ages = append(ages, 0)
		}
		o.Close(l)
		o.Quit()
	}
	sort.Slice(ages, func(i, j int) bool { return ages[i] < ages[j] })
	median := ages[len(ages)/2]
	if median > interval+flushTakes {
		e.Late("the oldest lost entry was %d ms old (median of %d), the interval is %d", median.Milliseconds(), windowRounds, interval.Milliseconds())
	}
	return sprintf("%d power cuts; the oldest lost entry was %d ms old (median), the interval is %d", windowRounds, median.Milliseconds(), interval.Milliseconds())
}
