package scenario

import (
	"os"
	"path/filepath"
	"sort"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
	"github.com/bulkhead-wal/bulkhead/tests/faults/driver"
)

// Method 9: what people and programs do to files, mounts and limits.
var environment = join([]Scenario{{
	Name: "f6-read-only-remount", Method: "ext4 error", Rows: []string{"F1", "F6"},
	Demand:      "a filesystem that goes read-only: a typed refusal, reads work, all is there after a mount",
	Filesystems: []string{"ext4"},
	Run:         runReadOnlyRemount,
}, {
	Name: "f8-file-size-limit", Method: "prlimit", Rows: []string{"F8"},
	Demand: "RLIMIT_FSIZE: a refusal, nobody dies of SIGXFSZ, it goes on when the limit is lifted",
	Run:    runFileSizeLimit,
}, {
	Name: "f24-descriptor-limit", Method: "prlimit", Rows: []string{"F24"},
	Demand: "RLIMIT_NOFILE: at worst a refusal; it goes on when the limit is lifted",
	Run:    runDescriptorLimit,
}}, movedFiles)

func runReadOnlyRemount(e *Env) string {
	d := e.DiskWith(disk.Options{Data: "errors=remount-ro"}, 0)
	well := e.Disk()
	l, other := d.Ledger(1), well.Ledger(2)
	o := e.Start()
	for _, x := range []*Ledger{l, other} {
		o.Open(x)
		o.MustAppend(x, 50, baseBytes)
		o.Sync(x)
	}
	e.must(d.RemountReadOnly())
	refusal := o.refusedWithin(l, 5*time.Second)
	named := refusal.Errno == 0 && !e.System.has(States) // some have a name of their own for it
	if refusal.Errno != int(unix.EROFS) && refusal.Errno != int(unix.EIO) && !named {
		e.End(Failed, "a read-only filesystem is answered with errno %d: %s", refusal.Errno, refusal.Problem())
	}
	o.MustAppend(other, 10, baseBytes)
	o.MustHold(l, o.State(l), l.Durable, "read on a read-only filesystem")
	o.LetGo(l)
	d.Remount(l)
	state := o.Open(l)
	o.MustHold(l, state, l.Durable, "mounted anew")
	l.goOn(state.Last)
	o.MustAppend(l, 5, baseBytes)
	return sprintf("errno %d, %s; reads work, the other disk as well, all there after a mount", refusal.Errno, refusal.Status)
}

// refusedWithin appends and syncs until a call is refused.
func (o *Owner) refusedWithin(l *Ledger, limit time.Duration) driver.Reply {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if r, refused := o.appendAndSync(l, 10); refused {
			return r
		}
	}
	o.env.End(Failed, "nothing is refused %v after the fault", limit)
	return driver.Reply{}
}

func runFileSizeLimit(e *Env) string {
	d := e.Disk()
	l := d.Ledger(1)
	o := e.Start()
	o.Open(l)
	o.MustAppend(l, 20, baseBytes)
	o.Sync(l)
	sizes, err := files(l.Dir)
	e.must(err)
	limits := o.limit(unix.RLIMIT_FSIZE, uint64(sizes[largestFiles(e, l.Dir)[0]]))
	refusal, refused := o.fillBatches(l, limitedAppends)
	if o.State(l).State == "ReadOnly" {
		o.MustVote(l, 5, 5)
	}
	o.MustHold(l, o.State(l), l.Last, "at the limit")
	o.setLimit(unix.RLIMIT_FSIZE, limits)
	e.resumes(o, l)
	e.intact(d, o, l)
	if !refused {
		return sprintf("%d entries in files within the limit; votes and reads worked", l.Last)
	}
	return sprintf("refused with errno %d (%s), votes and reads worked, goes on without the limit", refusal.Errno, refusal.Status)
}

// limitedAppends take many times what fits in a file at the limit, and leave space on the smallest disk.
const limitedAppends = 300

func runDescriptorLimit(e *Env) string {
	d := e.Disk()
	l := d.Ledger(1)
	o := e.Start()
	o.Open(l)
	o.MustAppend(l, 20, baseBytes)
	o.Sync(l)
	entries, err := os.ReadDir(sprintf("/proc/%d/fd", o.Pid()))
	e.must(err)
	limits := o.limit(unix.RLIMIT_NOFILE, uint64(len(entries)))
	refused := 0
	for i := 0; i < 400; i++ { // more than the files that are open can take
		if r := o.Append(l, 1, 6000); !r.OK {
			refused++
			break
		}
	}
	if r := o.Vote(l, 5, 5); !r.OK && !r.Unsupported {
		refused++
	}
	if r := o.Do(l.Partition, "read", 1, l.Last); !r.OK {
		refused++
	}
	o.setLimit(unix.RLIMIT_NOFILE, limits)
	e.resumes(o, l)
	e.intact(d, o, l)
	return sprintf("%d of append, vote and read refused; goes on without the limit", refused)
}

// limit lowers the soft limit of an owner and returns what it was.
func (o *Owner) limit(resource int, to uint64) unix.Rlimit {
	var was unix.Rlimit
	o.env.must(unix.Prlimit(o.Pid(), resource, nil, &was))
	o.setLimit(resource, unix.Rlimit{Cur: to, Max: was.Max})
	return was
}

func (o *Owner) setLimit(resource int, to unix.Rlimit) {
	o.env.must(unix.Prlimit(o.Pid(), resource, &to, nil))
}

// largestFiles lists a log's files, those with most of the log first; what is in kept/ and hard state come last or not at all.
func largestFiles(e *Env, dir string) []string {
	sizes, err := files(dir)
	e.must(err)
	var paths []string
	for path := range sizes {
		if filepath.Base(filepath.Dir(path)) != "kept" {
			paths = append(paths, path)
		}
	}
	sort.Slice(paths, func(i, j int) bool {
		if sizes[paths[i]] != sizes[paths[j]] {
			return sizes[paths[i]] > sizes[paths[j]]
		}
		return paths[i] < paths[j]
	})
	return paths
}
