// Package conformance holds what raft relies on in a storage, as a test suite
// that runs against CubeFS's own WAL and against Bulkhead alike.
//
// Where an implementation is known to fail a case, its list of defects says so
// in words. A defect that does not show any more fails the suite too, so that
// the list stays true.
package conformance

import (
	"bytes"
	"fmt"
	"math/rand"
	"path/filepath"
	"runtime/debug"
	"testing"

	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
)

// Implementation is one kind of storage.
type Implementation struct {
	// Open opens the log in dir or makes it.
	Open func(dir string) (storage.Storage, error)
	// OpenDummy is Open with TruncateFirstDummy.
	OpenDummy func(dir string) (storage.Storage, error)
	// Defects maps the name of a case to why the implementation fails it.
	Defects map[string]string
}

// testCase is one requirement. run panics with a failure if it does not hold.
type testCase struct {
	name string
	run  func(c *run)
}

// run is what a case works with: a directory and the storages it opened.
type run struct {
	impl   Implementation
	parent string
	opened []storage.Storage
}

// failure is the panic of a requirement that does not hold.
type failure string

// Run runs every case against one implementation.
func Run(t *testing.T, impl Implementation) {
	known := make(map[string]bool)
	for _, group := range [][]testCase{logCases, boundsCases, snapshotCases, lifeCases, damageCases, modelCases} {
		for _, tc := range group {
			tc := tc
			known[tc.name] = true
			t.Run(tc.name, func(t *testing.T) { judge(t, impl, tc) })
		}
	}
	for name := range impl.Defects {
		if !known[name] {
			t.Errorf("the list of defects names %q, which is no case", name)
		}
	}
}

func judge(t *testing.T, impl Implementation, tc testCase) {
	problem := attempt(impl, t.TempDir(), tc)
	defect, expected := impl.Defects[tc.name]
	switch {
	case problem != "" && !expected:
		t.Fatal(problem)
	case problem == "" && expected:
		t.Fatalf("listed as a defect, but the requirement holds: take it off the list (%s)", defect)
	case expected:
		t.Logf("known defect: %s\nit showed as: %s", defect, problem)
	}
}

// attempt returns what went wrong, "" if nothing did.
func attempt(impl Implementation, parent string, tc testCase) (problem string) {
	c := &run{impl: impl, parent: parent}
	defer c.closeAll()
	defer func() {
		switch r := recover().(type) {
		case nil:
		case failure:
			problem = string(r)
		default:
			problem = fmt.Sprintf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	tc.run(c)
	return ""
}

// closeAll closes what the case left open. CubeFS's Close may panic on a log
// that a case has damaged; the case has been judged by then.
func (c *run) closeAll() {
	for _, s := range c.opened {
		func() {
			defer func() { _ = recover() }()
			s.Close()
		}()
	}
}

func (c *run) dir() string { return filepath.Join(c.parent, "wal_7") }

// open opens the case's directory and must succeed.
func (c *run) open() storage.Storage {
	s, err := c.tryOpen(c.dir())
	c.must(err, "open")
	return s
}

func (c *run) tryOpen(dir string) (storage.Storage, error) {
	s, err := c.impl.Open(dir)
	if err == nil {
		c.opened = append(c.opened, s)
	}
	return s, err
}

func (c *run) reopen(s storage.Storage) storage.Storage {
	s.Close()
	return c.open()
}

func (c *run) check(ok bool, format string, args ...interface{}) {
	if !ok {
		panic(failure(fmt.Sprintf(format, args...)))
	}
}

func (c *run) must(err error, format string, args ...interface{}) {
	c.check(err == nil, "%s: %v", fmt.Sprintf(format, args...), err)
}

// noise is what payloads are cut from: making each byte by byte takes minutes
// under the race detector.
var noise = func() []byte {
	b := make([]byte, 256<<10)
	rand.New(rand.NewSource(1)).Read(b)
	return b
}()

// payload is recognisable by its index and different for every term.
func payload(index, term uint64, size int) []byte {
	b := append([]byte(nil), noise[(index*13+term)%4096:][:size]...)
	copy(b, fmt.Sprintf("<entry %d of term %d>", index, term))
	return b
}

// entries makes [lo, hi) of one term; every fifth is a configuration change.
func entries(lo, hi, term uint64, size int) []*proto.Entry {
	var out []*proto.Entry
	for i := lo; i < hi; i++ {
		e := &proto.Entry{Index: i, Term: term, Data: payload(i, term, size)}
		if i%5 == 0 {
			e.Type = proto.EntryConfChange
		}
		out = append(out, e)
	}
	return out
}

func (c *run) store(s storage.Storage, es []*proto.Entry) {
	c.must(s.StoreEntries(es), "StoreEntries of [%d, %d]", es[0].Index, es[len(es)-1].Index)
}

const noLimit = uint64(1<<32 - 1) // math.MaxUint32

// holds checks that the log is exactly want, read in one call and one by one.
func (c *run) holds(s storage.Storage, want []*proto.Entry) {
	if len(want) == 0 {
		first, last := c.bounds(s)
		c.check(last == first-1, "the log is [%d, %d], want it empty", first, last)
		return
	}
	lo, hi := want[0].Index, want[len(want)-1].Index
	first, last := c.bounds(s)
	c.check(first == lo && last == hi, "the log is [%d, %d], want [%d, %d]", first, last, lo, hi)
	got, compact, err := s.Entries(lo, hi+1, noLimit)
	c.must(err, "Entries(%d, %d)", lo, hi+1)
	c.check(!compact, "Entries(%d, %d) is compact", lo, hi+1)
	c.same(got, want)
	for _, e := range want {
		term, compact, err := s.Term(e.Index)
		c.must(err, "Term(%d)", e.Index)
		c.check(!compact && term == e.Term, "Term(%d) = %d, compact %v, want %d", e.Index, term, compact, e.Term)
	}
}

func (c *run) bounds(s storage.Storage) (first, last uint64) {
	first, err := s.FirstIndex()
	c.must(err, "FirstIndex")
	last, err = s.LastIndex()
	c.must(err, "LastIndex")
	return first, last
}

func (c *run) same(got, want []*proto.Entry) {
	c.check(len(got) == len(want), "%d entries, want %d", len(got), len(want))
	for i, g := range got {
		w := want[i]
		c.check(g.Index == w.Index && g.Term == w.Term && g.Type == w.Type && bytes.Equal(g.Data, w.Data),
			"entry %d: index %d term %d type %v and %d bytes, want index %d term %d type %v and %d bytes",
			i, g.Index, g.Term, g.Type, len(g.Data), w.Index, w.Term, w.Type, len(w.Data))
	}
}

func (c *run) hardState(s storage.Storage, want proto.HardState) {
	got, err := s.InitialState()
	c.must(err, "InitialState")
	c.check(got == want, "hard state %+v, want %+v", got, want)
}
