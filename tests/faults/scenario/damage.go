package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-wal/bulkhead/tests/faults/driver"
)

// Method 9, bytes: what is in the files is not what was written there.
var damage = []Scenario{{
	Name: "f14-flipped-bit", Method: "write", Rows: []string{"F14", "F11"},
	Demand: "a flipped bit, anywhere in the directory: all is there, or what is not is reported",
	Run:    runFlippedBit,
}, {
	Name: "f15-hostile-files", Method: "write", Rows: []string{"F15"},
	Demand: "a file of the log is a pipe, a directory, a link, noise, empty or enormous: an answer within 10 s and 256 MiB",
	Run:    runHostileFiles,
}, {
	Name: "f17-hard-state-block", Method: "write", Rows: []string{"F17"},
	Demand: "a block of the file with the hard state is lost: the newest vote; several are: that or a refusal, never an older one",
	Needs:  []Ability{Votes}, Run: runHardStateBlock,
}}

// flip changes bits of a byte of a file, durably.
func flip(path string, at int64, mask byte) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		return err
	}
	b[0] ^= mask
	if _, err := f.WriteAt(b[:], at); err != nil {
		return err
	}
	return f.Sync()
}

// lived gives a log with some of everything in it, whose process was killed or that was closed.
func (e *Env) lived(d *Disk, closed bool) *Ledger {
	l := d.Ledger(1)
	o := e.Start()
	o.Open(l)
	for term := uint64(1); term <= 3; term++ {
		o.MustAppend(l, 15, baseBytes)
		o.MustVote(l, term, 4-term)
		o.Sync(l)
	}
	if r := o.Compact(l, 5); !r.OK {
		e.End(Failed, "a compaction without a cause to fail failed: %s", r.Problem())
	}
	o.MustAppend(l, 5, 100)
	o.Sync(l)
	if closed {
		o.Close(l)
	}
	o.Quit()
	return l
}

// copied is a copy of a log, to be damaged.
func (e *Env) copied(l *Ledger) *Ledger {
	c := l.Copy()
	c.Dir = l.Dir + "-" + filepath.Base(e.name("copy"))
	e.must(os.CopyFS(c.Dir, os.DirFS(l.Dir)))
	return c
}

const (
	flipsCI   = 30
	flipsFull = 1000
)

func runFlippedBit(e *Env) string {
	flips := flipsCI
	if e.Full {
		flips = flipsFull
	}
	d := e.Disk()
	refused, reported := 0, 0
	for _, closed := range []bool{true, false} {
		l := e.lived(d, closed)
		o := e.Start()
		for i := 0; i < flips; i++ {
			c := e.copied(l)
			where := e.flipSomewhere(c)
			r := o.Do(c.Partition, "open", c.Dir)
			if !r.OK {
				refused++
			} else {
				if f := o.MustHoldOrReport(c, r, c.Durable, where); len(f.Missing) > 0 {
					reported++
				}
				o.Close(c)
			}
			e.must(os.RemoveAll(c.Dir))
		}
		o.Quit()
		e.must(os.RemoveAll(l.Dir))
	}
	return sprintf("%d bits flipped: %d opens refused, %d with entries reported, the others without harm", 2*flips, refused, reported)
}

// flipSomewhere flips a random bit of a random file: of a byte that is not zero, half of the time, since most bytes are.
func (e *Env) flipSomewhere(l *Ledger) string {
	paths := largestFiles(e, l.Dir)
	path := paths[e.Random.Intn(len(paths))]
	bytes, err := os.ReadFile(path)
	e.must(err)
	at := e.Random.Intn(len(bytes))
	for tries := 0; e.Random.Intn(20) > 0 && bytes[at] == 0 && tries < len(bytes); tries++ {
		at = (at + 1) % len(bytes)
	}
	bit := e.Random.Intn(8)
	e.must(flip(path, int64(at), 1<<bit))
	return sprintf("bit %d of byte %d of %s flipped", bit, at, filepath.Base(path))
}

// hostile are things that can be in the place of a file.
var hostile = []struct {
	what string
	make func(path string, noise []byte) error
}{
	{"a pipe", func(path string, _ []byte) error { return unix.Mkfifo(path, 0o600) }},
	{"a directory", func(path string, _ []byte) error { return os.Mkdir(path, 0o700) }},
	{"a link to endless zeros", func(path string, _ []byte) error { return os.Symlink("/dev/zero", path) }},
	{"a device", func(path string, _ []byte) error { return unix.Mknod(path, unix.S_IFCHR|0o600, 1<<8|5) }},
	{"an empty file", func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o600) }},
	{"noise", func(path string, noise []byte) error { return os.WriteFile(path, noise, 0o600) }},
	{"an enormous file", func(path string, _ []byte) error {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			return err
		}
		return os.Truncate(path, enormous)
	}},
	{"its own bytes and enormous", nil},
}

const (
	enormous       = 1 << 40
	hostileWithin  = 10 * time.Second
	hostileMostKiB = 256 << 10
)

func runHostileFiles(e *Env) string {
	d := e.Disk()
	l := e.lived(d, false)
	noise := make([]byte, 1<<20)
	e.Random.Read(noise)
	tried, refused := 0, 0
	for _, path := range largestFiles(e, l.Dir) {
		for _, h := range hostile {
			c := e.copied(l)
			target := filepath.Join(c.Dir, strings.TrimPrefix(path, l.Dir))
			if h.make == nil {
				e.must(os.Truncate(target, enormous))
			} else {
				e.must(os.Remove(target))
				e.must(h.make(target, noise))
			}
			if e.openHostile(c, h.what+" in the place of "+filepath.Base(path)) {
				refused++
			}
			tried++
			e.must(os.RemoveAll(c.Dir))
		}
	}
	return sprintf("%d of %d opens refused, the others with all there or reported", refused, tried)
}

// openHostile tells whether the open was refused.
func (e *Env) openHostile(l *Ledger, what string) bool {
	o := e.Start()
	o.Do(0, "events") // it runs
	before := residentKiB(o)
	r, err := o.Send(l.Partition, "open", l.Dir).Wait(hostileWithin)
	if err != nil {
		e.End(Hung, "%s: %v", what, err)
	}
	if grown := residentKiB(o) - before; grown > hostileMostKiB {
		e.End(Failed, "%s: the open took %d MiB", what, grown>>10)
	}
	refused := !r.OK || r.State == "Unavailable" // some refuse the open, some open to be looked at
	if !refused {
		o.MustHoldOrReport(l, r, l.Durable, "with "+what)
	}
	o.Quit()
	return refused
}

const (
	mostHardState = 64 << 10 // a file up to here may be the one with the hard state
)

func runHardStateBlock(e *Env) string {
	d := e.Disk()
	tried, refused := 0, 0
	for _, closed := range []bool{true, false} {
		l := e.lived(d, closed)
		if !closed {
			// The vote is the last that was written: one place alone has it.
			o := e.Start()
			o.Open(l)
			o.MustVote(l, 4, 1)
			o.Quit()
		}
		o := e.Start()
		for _, path := range largestFiles(e, l.Dir) {
			info, err := os.Stat(path)
			e.must(err)
			if info.Size() > mostHardState {
				continue
			}
			for first := int64(0); first < info.Size(); first += blockBytes {
				for _, loss := range []int64{blockBytes / 16, blockBytes, 2 * blockBytes} { // torn, one block, two
					c := e.copied(l)
					e.must(wipe(filepath.Join(c.Dir, strings.TrimPrefix(path, l.Dir)), first, min(loss, info.Size()-first)))
					tried++
					name := filepath.Base(path)
					// A small segment that lost its header is damage of its own: such a log may refuse its vote, and shows no older one.
					ofEntries := strings.HasPrefix(name, "seg-")
					if e.voteSurvives(o, c, loss <= blockBytes && !ofEntries, sprintf("%d bytes of %s lost at %d", loss, name, first)) {
						refused++
					}
					e.must(os.RemoveAll(c.Dir))
				}
			}
		}
		o.Quit()
		e.must(os.RemoveAll(l.Dir))
	}
	if tried == 0 {
		e.End(NotApplicable, "%s has its hard state among its entries", e.System.Name)
	}
	return sprintf("%d losses, %d opens refused, no older vote", tried, refused)
}

// voteSurvives opens a log that lost some of its hard state. It tells whether that was refused.
func (e *Env) voteSurvives(o *Owner, l *Ledger, mustOpen bool, what string) bool {
	r := o.Do(l.Partition, "open", l.Dir)
	var vote driver.Reply
	if r.OK {
		vote = o.Do(l.Partition, "hardstate")
		o.Close(l)
	}
	if vote.OK && (vote.Term != l.Term || vote.Vote != l.Vote) {
		e.End(Lost, "%s: acknowledged term %d vote %d, found term %d vote %d", what, l.Term, l.Vote, vote.Term, vote.Vote)
	}
	if mustOpen && !vote.OK {
		e.End(Failed, "%s: the vote cannot be had: %s%s%s", what, r.Problem(), r.Fault, vote.Problem())
	}
	return !vote.OK
}

// wipe puts zeros over a part of a file.
func wipe(path string, at, length int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(make([]byte, length), at)
	return err
}
