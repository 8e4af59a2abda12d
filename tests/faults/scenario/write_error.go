package scenario

import "time"

// Method 7, narrowed to the log's own files: writes of every kind fail there, those that a process uses elsewhere do not.
var writeErrors = []Scenario{{
	Name: "f24-write-fails", Method: "strace inject", Rows: []string{"F1", "F24"},
	Demand: "a write to the log's file fails once: refused or healed, and the log goes on with all that was acknowledged",
	Run:    runWriteFails,
}}

const allWrites = "write,writev,pwrite64,pwritev,pwritev2"

func runWriteFails(e *Env) string {
	d := e.Disk()
	o := e.Start()
	refusals := 0
	for i, errno := range []string{"EIO", "ENOSPC", "EDQUOT"} {
		l := d.Ledger(uint64(i + 1))
		o.Open(l)
		o.MustAppend(l, 20, baseBytes)
		o.Sync(l)
		if e.failWrite(o, l, errno) {
			refusals++
		}
		o.MustHold(l, o.State(l), l.Last, errno+", in the same process")
		o.MustAppend(l, 10, baseBytes)
		o.Sync(l)
		o.Close(l)
		d.Remount(l)
		o.MustHold(l, o.Open(l), l.Last, errno+", opened from the disk")
		o.Close(l)
	}
	return sprintf("3 errnos, %d of them answered with an error", refusals)
}

// failWrite makes the next write to a log's files fail, and goes on as the system's users do. It tells whether the owner got an
// error.
func (e *Env) failWrite(o *Owner, l *Ledger, errno string) (refused bool) {
	names, err := files(l.Dir)
	e.must(err)
	injection := o.Inject(allWrites+":error="+errno+":when=1", paths(names)...)
	for i := 0; i < 10 && !refused; i++ {
		refused = !o.Append(l, 2, baseBytes).OK
		time.Sleep(time.Millisecond)
	}
	if !refused { // mode interval writes later
		r := o.Sync(l)
		refused = !r.OK && !r.Unsupported
	}
	if refused {
		o.again(l)
	}
	if injection.Lift() == 0 {
		e.End(Broken, "no write failed")
	}
	if refused {
		if r := o.Recover(l); !r.OK {
			e.End(Failed, "%s: does not go on after the fault: %s", errno, r.Problem())
		}
		l.Last = max(l.Last, o.State(l).Last) // what was refused and is there
	}
	return refused
}
