package scenario

import (
	"io"
	"os"
	"path/filepath"

	"github.com/bulkhead-wal/bulkhead/tests/faults/driver"
)

// Method 9, files: directories and files that are removed, renamed and replaced.
var movedFiles = []Scenario{{
	Name: "f22-directory-removed", Method: "rm", Rows: []string{"F22"},
	Demand: "the directory of an open log is removed: the process lives, others go on, a new log there is empty",
	Run:    runDirectoryRemoved,
}, {
	Name: "f22-directory-renamed", Method: "mv", Rows: []string{"F22"},
	Demand: "the directory of an open log is renamed: what is acknowledged is under the new name, nothing of it under the old one",
	Run:    runDirectoryRenamed,
}, {
	Name: "f22-file-replaced", Method: "cp", Rows: []string{"F21", "F22"},
	Demand: "another partition's file in the place of one's own: never replayed, what is missing is reported",
	Run:    runFileReplaced,
}, {
	Name: "f21-file-older", Method: "cp", Rows: []string{"F21", "F22"},
	Demand: "an older copy of the newest file is put back: what it lacks is reported",
	Run:    runFileOlder,
}, {
	Name: "f21-file-missing", Method: "rm", Rows: []string{"F21"},
	Demand: "a missing file, any of them, is noticed",
	Run:    runFileMissing,
}}

func runDirectoryRemoved(e *Env) string {
	d := e.Disk()
	l, other := d.Ledger(1), d.Ledger(2)
	o := e.Start()
	for _, x := range []*Ledger{l, other} {
		o.Open(x)
		o.MustAppend(x, 50, baseBytes)
		o.Sync(x)
	}
	e.must(os.RemoveAll(l.Dir))
	for i := 0; i < 300; i++ { // until it needs a new file
		if r := o.Append(l, 1, 6000); !r.OK {
			break
		}
	}
	o.Vote(l, 9, 9)
	o.MustAppend(other, 50, baseBytes)
	o.Close(l)
	fresh := e.Ledger(3, l.Dir)
	second := e.Start()
	state := second.Open(fresh)
	if state.Last != 0 {
		e.End(Failed, "a log made in the place of a removed one has entries up to %d", state.Last)
	}
	second.MustAppend(fresh, 10, baseBytes)
	second.MustHold(fresh, second.State(fresh), fresh.Last, "the new log")
	o.MustHold(other, o.State(other), other.Last, "the other partition")
	return "the process lives, the other partition goes on, a new log there is empty"
}

func runDirectoryRenamed(e *Env) string {
	d := e.Disk()
	l := d.Ledger(1)
	o := e.Start()
	o.Open(l)
	o.MustAppend(l, 50, baseBytes)
	o.Sync(l)
	old := l.Dir
	l.Dir = filepath.Join(d.Dir, "renamed")
	e.must(os.Rename(old, l.Dir))
	refused := driver.Reply{OK: true}
	for i := 0; i < 300 && refused.OK; i++ {
		refused = o.Append(l, 1, 6000)
	}
	if refused.OK {
		o.Sync(l)
	}
	o.Close(l)
	e.must(os.MkdirAll(filepath.Dir(old), 0o755))
	fresh := e.Ledger(2, old)
	if state := o.Open(fresh); state.Last != 0 {
		e.End(Failed, "a log made under the old name has entries up to %d", state.Last)
	}
	o.MustAppend(fresh, 10, baseBytes)
	d.Remounted(o, l)
	o = e.Start()
	state := o.Open(l)
	o.MustHold(l, state, l.Durable, "under the new name")
	return sprintf("%d entries under the new name, %s", l.Durable, describe(refused))
}

func describe(last driver.Reply) string {
	if last.OK {
		return "appends went on"
	}
	return "appends were refused: " + last.Problem()
}

// Remounted ends an owner and mounts its disk anew.
func (d *Disk) Remounted(o *Owner, ledgers ...*Ledger) {
	o.Quit()
	d.Remount(ledgers...)
}

func runFileReplaced(e *Env) string {
	d := e.Disk()
	l, other := d.Ledger(1), d.Ledger(2)
	o := e.Start()
	for _, x := range []*Ledger{l, other} {
		o.Open(x)
		o.MustAppend(x, 60, baseBytes)
		o.Sync(x)
		o.Close(x)
	}
	target := largestFiles(e, l.Dir)[0]
	e.must(copyFile(largestFiles(e, other.Dir)[0], target))
	return e.reopenTampered(o, l, "with another partition's "+filepath.Base(target))
}

func runFileOlder(e *Env) string {
	d := e.Disk()
	l := d.Ledger(1)
	o := e.Start()
	o.Open(l)
	o.MustAppend(l, 30, baseBytes)
	o.Sync(l)
	older := map[string]string{}
	for _, path := range largestFiles(e, l.Dir) {
		older[path] = e.name("older")
		e.must(copyFile(path, older[path]))
	}
	o.MustAppend(l, 20, baseBytes)
	o.Sync(l)
	if l.Durable == 0 {
		e.unreached("nothing is durable")
	}
	o.Close(l)
	newest := largestFiles(e, l.Dir)[0]
	if older[newest] == "" {
		e.End(Broken, "%s did not exist before", newest)
	}
	e.must(copyFile(older[newest], newest))
	return e.reopenTampered(o, l, "with an older "+filepath.Base(newest))
}

func runFileMissing(e *Env) string {
	d := e.Disk()
	o := e.Start()
	tried := 0
	for number := 0; ; number++ {
		l := d.Ledger(uint64(number + 1))
		o.Open(l)
		o.MustVote(l, 7, 3)
		for i := 0; i < 16; i++ { // several files
			o.MustAppend(l, 10, 6000)
		}
		o.Sync(l)
		o.Close(l)
		paths := largestFiles(e, l.Dir)
		if number >= len(paths) {
			return sprintf("each of %d files removed in turn: what was missing was reported", tried)
		}
		e.must(os.Remove(paths[number]))
		e.reopenTampered(o, l, "without "+filepath.Base(paths[number]))
		tried++
	}
}

// reopenTampered opens a log whose files were tampered with while it was closed. A refusal reports all of it.
func (e *Env) reopenTampered(o *Owner, l *Ledger, how string) string {
	state := o.Do(l.Partition, "open", l.Dir)
	if !state.OK {
		return how + ": the open refuses: " + state.Problem()
	}
	found := o.MustHoldOrReport(l, state, l.Durable, how)
	o.Close(l)
	return sprintf("%s: %d of %d entries missing, each of them reported (%s %s)", how, len(found.Missing), l.Durable, state.State, state.Cause)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if e := out.Sync(); err == nil {
		err = e
	}
	if e := out.Close(); err == nil {
		err = e
	}
	return err
}
