package scenario

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Method 8, conversions: kill -9 at a system call.
var conversionKills = []Scenario{{
	Name: "f11-conversion-killed", Method: "strace inject", Rows: []string{"F11"},
	Demand: "bulkhead import and export, killed at any system call that changes something: CubeFS's WAL opens a whole log, or Bulkhead does, or both refuse; the next import finishes it or begins anew",
	Modes:  []string{"sync"}, Needs: []Ability{Converts}, Run: runConversionKilled,
}}

// conversion is a call of the command. Directories of logs come last, as CubeFS's and as Bulkhead's before.
type conversion struct {
	name      string
	words     []string
	from      start
	elsewhere bool // what it makes is in a new directory
}

type start int

const (
	cubefsLog start = iota
	importedLog
	writtenLog // imported, and written to since
)

var conversions = []conversion{
	{name: "import", words: []string{"import", "--id=1"}, from: cubefsLog},
	{name: "undo", words: []string{"import", "--id=1", "--undo"}, from: importedLog},
	{name: "discard", words: []string{"import", "--id=1", "--discard-original"}, from: importedLog},
	{name: "export in place", words: []string{"export", "--in-place"}, from: writtenLog},
	{name: "export", words: []string{"export"}, from: writtenLog, elsewhere: true},
}

const (
	creates         = "O_CREAT"
	unnamed         = "O_TMPFILE"
	otherNames      = "rmdir,linkat"
	conversionFiles = 8 << 10 // bytes of CubeFS's log files: there are several
)

// converter is what the kills of one run have in common.
type converter struct {
	e       *Env
	d       *Disk
	stock   *Owner // CubeFS's own WAL
	ours    *Owner
	starts  [3]*Ledger // what each conversion begins with; never changed
	kills   int
	pending int // what the next import went on with
}

func runConversionKilled(e *Env) string {
	c := &converter{e: e, d: e.Disk(), ours: e.Start()}
	c.stock = e.StartAs("cubefs", nil, "-file-bytes", itoa(conversionFiles))
	c.prepare()
	var said []string
	for _, v := range conversions {
		before := c.kills
		c.killAll(v)
		said = append(said, sprintf("%s %d", v.name, c.kills-before))
	}
	return sprintf("%d kills: %s; %d times neither opened it until the next import", c.kills, strings.Join(said, ", "), c.pending)
}

// prepare makes the logs that conversions begin with.
func (c *converter) prepare() {
	l := c.d.Ledger(1)
	c.stock.Open(l)
	for i := 0; i < 40; i++ {
		c.stock.MustAppend(l, 2, 300)
	}
	c.stock.MustVote(l, 5, 3)
	c.stock.Compact(l, 10)
	c.stock.Close(l)
	for from := range c.starts {
		next := l.Copy()
		next.Dir = c.copied(l.Dir, sprintf("start%d", from))
		if start(from) == importedLog || start(from) == writtenLog {
			c.command(conversions[0], next.Dir)
		}
		if start(from) == writtenLog {
			c.inBulkhead(next, func(in *Ledger) { c.ours.MustAppend(in, 3, 300) })
		}
		c.starts[from] = next
	}
}

// inBulkhead does something with a log that is open; Bulkhead's directory is what CubeFS's WAL is in.
func (c *converter) inBulkhead(l *Ledger, do func(*Ledger)) {
	in := l.Copy()
	in.Dir = wal(l.Dir)
	state := c.ours.Open(in)
	c.ours.MustHold(in, state, in.Last, filepath.Base(l.Dir))
	do(in)
	l.Last, l.Durable = in.Last, in.Durable
	if r := c.ours.Close(in); !r.OK {
		c.e.End(Failed, "close: %s", r.Problem())
	}
}

// wal is where the log lies in a directory.
func wal(dir string) string { return filepath.Join(dir, "wal") }

func (c *converter) copied(from, name string) string {
	to := filepath.Join(c.d.Dir, name)
	c.e.must(os.CopyFS(to, os.DirFS(from)))
	return to
}

func (c *converter) words(v conversion, dir string) []string {
	words := append([]string{filepath.Join(c.e.programs, "bulkhead")}, v.words...)
	if words = append(words, wal(dir)); v.elsewhere {
		words = append(words, filepath.Join(dir, "target"))
	}
	return words
}

// command runs a conversion to its end.
func (c *converter) command(v conversion, dir string) {
	words := c.words(v, dir)
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		c.e.End(Failed, "%s: %v: %s", v.name, err, out)
	}
}

// killAll kills a conversion at each call, and looks at what is left.
func (c *converter) killAll(v conversion) {
	begin := c.starts[v.from]
	whole := c.copied(begin.Dir, "whole")
	places := c.places(v, whole)
	c.check(v, whole, "not killed")
	left := []string{whole}
	for i, p := range places {
		dir := c.copied(begin.Dir, sprintf("killed%d", i))
		if !c.kill(v, dir, p) {
			c.e.must(os.RemoveAll(dir)) // another thread made this call the last time
			continue
		}
		c.kills++
		c.check(v, dir, sprintf("%s killed at %s %d", v.name, p.call, p.number))
		left = append(left, dir)
	}
	c.finish(v, left)
}

// place is a system call: which one, and the how manieth of its name in its thread.
type place struct {
	call   string
	number int
}

// places runs a conversion, and returns the calls that changed something.
func (c *converter) places(v conversion, dir string) (found []place) {
	trace := c.e.name("trace")
	words := append([]string{"-f", "-o", trace, "-e", "trace=" + strings.Join([]string{writes, syncs, space, names, otherNames}, ",")}, c.words(v, dir)...)
	if out, err := exec.Command("strace", words...).CombinedOutput(); err != nil {
		c.e.End(Failed, "%s: %v: %s", v.name, err, out)
	}
	text, err := os.ReadFile(trace)
	c.e.must(err)
	type caller struct{ thread, call string }
	counts, known := make(map[caller]int), make(map[place]bool)
	for _, line := range strings.Split(string(text), "\n") {
		thread, rest, _ := strings.Cut(line, " ")
		call, arguments, isCall := strings.Cut(strings.TrimSpace(rest), "(")
		if !isCall || strings.HasPrefix(call, "<") || strings.HasPrefix(call, "+") {
			continue
		}
		counts[caller{thread, call}]++
		p := place{call, counts[caller{thread, call}]}
		if call == "openat" && !strings.Contains(arguments, creates) && !strings.Contains(arguments, unnamed) || known[p] {
			continue
		}
		known[p] = true
		found = append(found, p)
	}
	if len(found) == 0 {
		c.e.End(Broken, "%s changes nothing", v.name)
	}
	return found
}

// kill runs a conversion that dies at the entry of a call: of the first thread that gets so far. False if none did.
func (c *converter) kill(v conversion, dir string, p place) bool {
	words := []string{"-f", "-o", os.DevNull, "-e", "trace=" + p.call, "-e", "inject=" + p.call + ":signal=KILL:when=" + strconv.Itoa(p.number)}
	cmd := exec.Command("strace", append(words, c.words(v, dir)...)...)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	// strace ends as what it traces does.
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		c.e.End(Failed, "%s at %s %d: %v: %s", v.name, p.call, p.number, err, out)
	}
	return true
}

// check has both open copies of what is left: at most one of them does, and finds all of it.
func (c *converter) check(v conversion, dir, when string) {
	begin := c.starts[v.from]
	stock := c.opens(c.stock, begin, wal(dir), when)
	ours := c.opens(c.ours, begin, wal(dir), when)
	if stock && ours {
		c.e.End(Lost, "%s: CubeFS's WAL and Bulkhead both open it", when)
	}
	if !stock && !ours {
		c.pending++
	}
	if v.elsewhere && !ours {
		c.e.End(Failed, "%s: the log does not open any more", when)
	}
	if target := filepath.Join(dir, "target"); v.elsewhere && exists(target) {
		if opens := c.opens(c.stock, begin, target, when); !opens && when == "not killed" {
			c.e.End(Failed, "the exported log does not open")
		}
	}
}

// opens tells whether a WAL opens a copy of a directory. One that does must find everything in it. A directory without a META would
// be one without a vote to CubeFS's; it may be empty as long as nothing is in it.
func (c *converter) opens(o *Owner, begin *Ledger, dir, when string) bool {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) == 0 {
		return false
	}
	l := begin.Copy()
	parent := filepath.Join(c.d.Dir, "opened")
	c.e.must(os.CopyFS(wal(parent), os.DirFS(dir)))
	defer func() { c.e.must(os.RemoveAll(parent)) }()
	l.Dir = parent
	if o == c.ours {
		l.Dir = wal(parent)
	}
	state := o.Do(l.Partition, "open", l.Dir)
	if !state.OK {
		if o == c.ours && state.Status != "NEEDS_IMPORT" {
			c.e.End(Failed, "%s: Bulkhead refuses it: %s", when, state.Problem())
		}
		return false
	}
	o.MustHold(l, state, l.Last, when)
	o.Close(l)
	return true
}

// finish has the next import go on with what kills left, and looks whether Bulkhead has it whole.
func (c *converter) finish(v conversion, left []string) {
	for _, dir := range left {
		c.command(conversions[0], dir)
		l := c.starts[v.from].Copy()
		l.Dir = dir
		c.inBulkhead(l, func(*Ledger) {})
		for _, name := range []string{"cubefs-import", "cubefs-export"} {
			if exists(filepath.Join(wal(dir), name)) {
				c.e.End(Failed, "%s: %s is left after the next import", filepath.Base(dir), name)
			}
		}
		c.e.must(os.RemoveAll(dir))
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
