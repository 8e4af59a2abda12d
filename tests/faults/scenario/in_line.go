package scenario

import (
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/badblocks"
	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
	"github.com/bulkhead-wal/bulkhead/tests/faults/driver"
)

// Method 1, many calls at a time: each waits for others of its disk, and what it is told depends on what these come to.
var inLine = []Scenario{{
	Name: "f28-votes-in-line", Method: "FUSE image", Rows: []string{"F28"},
	Demand:      "no vote that waits for others is refused while the disk works, however long the line; when it hangs all that wait are, soon",
	Filesystems: []string{"ext4"}, Modes: []string{"sync", "none"}, Needs: []Ability{States}, Alone: true, Run: runVotesInLine,
}, {
	Name: "f28-verifies-in-line", Method: "FUSE image", Rows: []string{"F28"},
	Demand:      "a verify waits for others as long as they read; when they hang it is refused",
	Filesystems: []string{"ext4"}, Modes: []string{"sync"}, Needs: []Ability{States}, Alone: true, Run: runVerifiesInLine,
}}

const (
	voters = 320 // twenty times what Go lets in at a time
	// inLineLimit is how long a call takes that gets its turn just before it would have been refused.
	inLineLimit = 2*stallLimit + stallMargin
	// housekeepingTakes is when the files that new logs are given beforehand are there: their blocks are written slowly, too.
	housekeepingTakes = 2 * time.Second
	mayHang           = 16 // in mode none a vote that got its turn hangs with the disk, which is documented
)

// voteDelayMS is how late the disk's writes are: a vote that has its turn takes far less than the stall limit, the line far more. In mode sync two
// rounds of those that have their turn share the threads that flush.
var voteDelayMS = map[string]int{"sync": 60, "none": 150}

func runVotesInLine(e *Env) string {
	d := e.disk(true, disk.Options{DirectIO: true}, loadDisk)
	o := e.startStalling()
	ledgers := e.openMany(o, d, voters, 1, 100)
	for term := uint64(1); term <= 2; term++ { // into both halves of the root: what a filesystem writes once only is written
		e.allOK(o, o.voteAll(ledgers, term), "before any fault")
	}
	time.Sleep(housekeepingTakes)
	d.Rule(badblocks.Rule{Name: "slow", Op: badblocks.OpWrite, Action: badblocks.ActionDelay, DelayMS: voteDelayMS[e.Mode]})
	begin := time.Now()
	e.allOK(o, o.voteAll(ledgers, 3), "on a disk that works")
	line := time.Since(begin)
	d.Lift("slow")
	if line < 2*stallLimit {
		e.unreached(sprintf("%d votes took %d ms: none waited long", voters, line.Milliseconds()))
	}
	d.hang()
	hung, slowest := o.refused(o.voteAll(ledgers, 4), inLineLimit)
	if e.Mode == "sync" && len(hung) > 0 || len(hung) > mayHang {
		e.End(Hung, "%d of %d votes have no answer after %v", len(hung), voters, inLineLimit)
	}
	d.Lift("hang")
	for _, c := range hung {
		o.Await(c, callLimit)
	}
	for _, l := range ledgers {
		e.resumes(o, l)
	}
	e.allOK(o, o.voteAll(ledgers, 5), "after the disk answers")
	return sprintf("%d votes: all in %d ms on a slow disk; on one that hangs %d refused within %.0f ms", voters, line.Milliseconds(), voters-len(hung), slowest)
}

const (
	verifiers     = 8                                        // twice what Go lets in at a time
	verifiedBytes = 4 << 20                                  // of each
	verifyLimit   = stallLimit + 5*time.Second + stallMargin // a second for each MiB of its files, which are a little larger
	verifyDelayMS = 400
)

func runVerifiesInLine(e *Env) string {
	d := e.disk(true, disk.Options{DirectIO: true}, loadDisk)
	o := e.startStalling()
	ledgers := e.openMany(o, d, verifiers, verifiedBytes/(64<<10), 64<<10)
	verifyAll := func() (calls []*driver.Call) {
		for _, l := range ledgers {
			calls = append(calls, o.Send(l.Partition, "verify"))
		}
		return calls
	}
	d.Rule(badblocks.Rule{Name: "slow", Op: badblocks.OpRead, Action: badblocks.ActionDelay, DelayMS: verifyDelayMS})
	begin := time.Now()
	e.allOK(o, verifyAll(), "on a disk that works")
	line := time.Since(begin)
	d.Lift("slow")
	if line < 3*stallLimit {
		e.unreached(sprintf("%d verifies took %d ms: none waited long", verifiers, line.Milliseconds()))
	}
	d.hang()
	hung, slowest := o.refused(verifyAll(), verifyLimit)
	if len(hung) != verifiers/2 {
		e.End(Hung, "%d of %d verifies have no answer after %v", len(hung), verifiers, verifyLimit)
	}
	d.Lift("hang")
	e.allOK(o, hung, "whose disk answers after all")
	e.allOK(o, verifyAll(), "after the disk answers")
	return sprintf("%d verifies: all in %d ms on a slow disk; on one that hangs %d refused within %.0f ms", verifiers, line.Milliseconds(), verifiers-len(hung), slowest)
}

// openedAtOnce is how many logs are opened at a time: making their files is not what is asked here, and as many as there are would be a line of
// their own.
const openedAtOnce = 16

// openMany opens so many logs on a disk, some at a time, and appends to each.
func (e *Env) openMany(o *Owner, d *Disk, count, entries, bytes int) (ledgers []*Ledger) {
	var calls []*driver.Call
	for p := 1; p <= count; p++ {
		l := d.Ledger(uint64(p))
		ledgers = append(ledgers, l)
		calls = append(calls, o.Send(l.Partition, "open", l.Dir))
		calls = append(calls, o.Send(l.Partition, l.appendWords(entries, bytes)...))
		calls = append(calls, o.Send(l.Partition, "sync"))
		l.acknowledged(uint64(entries))
		l.Durable = l.Last
		if p%openedAtOnce == 0 || p == count {
			e.allOK(o, calls, "before any fault")
			calls = nil
		}
	}
	return ledgers
}

// allOK demands that none of the calls is refused. The library refuses one that has its turn and takes longer than the stall limit: that can be the machine.
func (e *Env) allOK(o *Owner, calls []*driver.Call, when string) {
	begin := time.Now()
	for _, c := range calls {
		if r := o.Await(c, callLimit); !r.OK {
			e.Late("refused after %d ms, %s: %s", time.Since(begin).Milliseconds(), when, r.Problem())
		}
	}
}

// voteAll sends a vote of a term for all logs at once.
func (o *Owner) voteAll(ledgers []*Ledger, term uint64) (calls []*driver.Call) {
	for _, l := range ledgers {
		l.offered(term, 1)
		calls = append(calls, o.Send(l.Partition, "vote", term, 1, 0))
	}
	return calls
}

// refused waits for calls on a disk that hangs, until a limit. Those that are answered must be refused for that; the others are returned. So is how
// many milliseconds the slowest answer took.
func (o *Owner) refused(calls []*driver.Call, limit time.Duration) (hung []*driver.Call, slowest float64) {
	deadline := time.Now().Add(limit)
	for _, c := range calls {
		r, err := c.Wait(max(time.Until(deadline), time.Millisecond)) // one that has come is taken
		switch {
		case err != nil:
			hung = append(hung, c)
		case r.OK:
			o.env.End(Lost, "acknowledged while the disk hangs")
		case r.Status != "STALLED":
			o.env.End(Failed, "refused while the disk hangs, and not for that: %s", r.Problem())
		}
		slowest = max(slowest, r.MS)
	}
	return hung, slowest
}

// hang has everything that reaches the disk hang until it is lifted.
func (d *Disk) hang() {
	for _, op := range []string{badblocks.OpBoth, badblocks.OpFlush} {
		d.Rule(badblocks.Rule{Name: "hang", Op: op, Action: badblocks.ActionHang})
	}
}
