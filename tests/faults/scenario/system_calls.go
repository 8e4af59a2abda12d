package scenario

import (
	"strings"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
	"github.com/bulkhead-wal/bulkhead/tests/faults/driver"
)

// Method 7: system calls that fail or take long, by strace.
var systemCalls = []Scenario{{
	Name: "f24-calls-fail", Method: "strace inject", Rows: []string{"F1", "F24"},
	Demand: "whatever call fails with whatever errno, once or from then on: nothing acknowledged is lost, nothing dies or hangs",
	Run:    runCallsFail,
}, {
	Name: "f23-calls-hang", Method: "strace inject", Rows: []string{"F28", "F23"},
	Demand: "a write or sync that takes 3 s, with a stall limit of 1 s: the owner is told, other partitions go on, its late end does no harm",
	Needs:  []Ability{Events}, Run: runCallsHang,
}}

const (
	writes = "pwrite64,pwritev,pwritev2"
	syncs  = "fdatasync,fsync"
	space  = "fallocate,ftruncate"
	names  = "openat,mkdirat,mkdir,rename,renameat,renameat2,unlink,unlinkat"
	reads  = "pread64,preadv,preadv2"

	lifeCI   = 12 // faults per mode
	lifeFull = 200
)

// injected are the calls that are made to fail, with what, and at which of them (each thread counts for itself).
var injected = []struct{ calls, errnos, numbers string }{
	{writes, "EIO ENOSPC EROFS EDQUOT EINTR", "1 2 3 5 8 13"},
	{syncs, "EIO ENOSPC EROFS EDQUOT EINTR", "1 2 3 4"},
	{space, "EIO ENOSPC EDQUOT EINTR", "1 2 3"},
	{names, "EIO ENOSPC EROFS EDQUOT EMFILE EINTR", "1 2 3 4 6"},
	{reads, "EIO EINTR", "1 2 3 5"},
}

// pickFaults draws a sample without repetition: the groups of calls in turn, each failing once or from then on.
func (e *Env) pickFaults(n int) []string {
	var groups [][]string
	for _, group := range injected {
		var all []string
		for _, errno := range strings.Fields(group.errnos) {
			for _, number := range strings.Fields(group.numbers) {
				for _, kind := range []string{"", "+"} { // once, from then on
					if kind == "+" && errno == "EINTR" && !e.System.has(States) {
						continue // Go's runtime repeats an interrupted call without end; no kernel interrupts without end
					}
					all = append(all, group.calls+":error="+errno+":when="+number+kind)
				}
			}
		}
		e.Random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		groups = append(groups, all)
	}
	var picked []string
	for i := 0; len(picked) < n; i++ {
		group := groups[i%len(groups)]
		if k := i / len(groups); k < len(group) {
			picked = append(picked, group[k])
		} else if k > 100 {
			break // there are no more
		}
	}
	return picked
}

func runCallsFail(e *Env) string {
	n := lifeCI
	if e.Full {
		n = lifeFull
	}
	d := e.DiskWith(disk.Options{}, loadDisk) // some preallocate much for each log
	faults := e.pickFaults(n)
	struck, refused := 0, 0
	for i, fault := range faults {
		hit, answered := e.life(d.Ledger(uint64(i+1)), fault)
		if hit {
			struck++
		}
		if answered {
			refused++
		}
	}
	return sprintf("%d lives of a log, in %d a call failed, in %d the owner got an error", len(faults), struck, refused)
}

// life takes a log through a life while a call fails. It tells whether one did, and whether the owner was refused anything.
func (e *Env) life(l *Ledger, fault string) (struck, refused bool) {
	defer func() { // say which fault it was
		if v, ok := recover().(verdict); ok {
			panic(verdict{outcome: v.outcome, line: shortFault(fault) + ": " + v.line})
		}
	}()
	o := e.Start()
	o.Do(0, "events") // it runs
	injection := o.Inject(fault)
	open := o.Do(l.Partition, "open", l.Dir)
	if open.OK {
		refused = e.liveUnderFault(o, l)
	}
	struck = injection.Lift() > 0
	if !open.OK {
		o.Open(l)
		refused = true
	}
	state := o.State(l)
	if state.State != "ReadWrite" {
		refused = true
		if r := o.Recover(l); !r.OK {
			e.End(Failed, "does not recover without the fault: %s", r.Problem())
		}
	}
	state = o.State(l)
	o.MustHold(l, state, l.Last, "in the same process, without the fault")
	if state.Last > l.Last {
		l.Last = state.Last // refused, but there
	}
	o.MustAppend(l, 3, 5000)
	if r := o.Close(l); !r.OK {
		e.End(Failed, "close without the fault: %s", r.Problem())
	}
	o.Quit()
	o = e.Start()
	state = o.Open(l)
	o.MustHold(l, state, l.Last, "opened by another process")
	o.MustAppend(l, 1, 10)
	o.Quit()
	return struck, refused
}

// liveUnderFault does what an owner does, and puts up with refusals.
func (e *Env) liveUnderFault(o *Owner, l *Ledger) (refused bool) {
	note := func(r driver.Reply) {
		if !r.OK && !r.Unsupported {
			refused = true
			if !e.System.Retries { // under the fault that may fail, too
				o.Do(l.Partition, "close")
				o.Do(l.Partition, "open", l.Dir)
			}
			time.Sleep(time.Millisecond)
		}
	}
	for i := 1; i <= 40; i++ {
		note(o.Append(l, 1+i%3, 200*i))
		switch {
		case i%10 == 0:
			note(o.Vote(l, uint64(i), 1))
		case i%10 == 5:
			note(o.Sync(l))
		case i == 33 && l.Durable > 10:
			note(o.Compact(l, l.Durable/3))
		case i == 27:
			if l.Last > 2 { // a few: a call that is interrupted from then on is repeated, and strace makes each repetition slow
				note(o.Do(l.Partition, "read", l.Last-1, l.Last))
			}
		}
	}
	return refused
}

func shortFault(fault string) string {
	calls, rest, _ := strings.Cut(fault, ":")
	first, _, _ := strings.Cut(calls, ",")
	return first + " and the like " + strings.ReplaceAll(rest, ":", " ")
}

func runCallsHang(e *Env) string {
	sick, well := e.Disk(), e.Disk()
	l, other := sick.Ledger(1), well.Ledger(2)
	o := e.StartWith(nil, "-stall", stallLimit.String())
	for _, x := range []*Ledger{l, other} {
		o.Open(x)
		o.MustAppend(x, 20, baseBytes)
		o.Sync(x)
	}
	o.Do(0, "events")
	names, err := files(l.Dir)
	e.must(err)
	// One call in each thread, on the files that the sick partition has.
	injection := o.Inject(writes+","+syncs+":delay_enter=3s:when=1", paths(names)...)
	begin := time.Now()
	call := o.Send(l.Partition, l.appendWords(1, baseBytes)...)
	event, told := o.awaitStalled(l)
	if !told {
		e.End(Failed, "not Unavailable %v after a call hung, the stall limit is %v", stallLimit+stallMargin, stallLimit)
	}
	after := time.Since(begin)
	if r := o.Await(call, callLimit); r.OK {
		l.acknowledged(1)
		if e.Mode == "sync" {
			e.End(Failed, "acknowledged after %d ms, the stall limit is %v", time.Since(begin).Milliseconds(), stallLimit)
		}
	}
	injection.Lift()
	o.MustAppend(other, 1, 100)
	o.MustHold(other, o.State(other), other.Last, "on the other disk")
	e.resumes(o, l)
	e.intact(sick, o, l)
	return sprintf("told after %d ms (%s, %s)", after.Milliseconds(), event.To, event.Cause)
}
