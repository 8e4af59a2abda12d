package badblocks

import (
	"bytes"
	"math/rand"
	"path/filepath"
	"testing"
	"time"
)

// record is what three writes and a flush leave: the first ended before the flush began, the second was under way, the third
// came later.
func record(t *testing.T) []Request {
	t.Helper()
	path := filepath.Join(t.TempDir(), "record")
	r, err := NewRecorder(path)
	if err != nil {
		t.Fatal(err)
	}
	first := r.write(0, bytes.Repeat([]byte{1}, 8192)) // event 1
	first()                                            // 2
	second := r.write(8192, []byte{2})                 // 3
	flush := r.flush()                                 // 4
	second()                                           // 5
	flush()                                            // 6
	r.write(0, bytes.Repeat([]byte{3}, 8192))          // 7, never ends
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	requests, err := ReadRecord(path)
	if err != nil {
		t.Fatal(err)
	}
	return requests
}

func TestRecordKeepsOrderAndEnds(t *testing.T) {
	want := []struct {
		flush              bool
		off, start, done   int64
		firstByte, dataLen int
	}{{false, 0, 1, 2, 1, 8192}, {false, 8192, 3, 5, 2, 1}, {true, 0, 4, 6, 0, 0}, {false, 0, 7, 0, 3, 8192}}
	got := record(t)
	if len(got) != len(want) {
		t.Fatalf("%d requests, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if g.Flush != w.flush || g.Off != w.off || g.Start != w.start || g.Done != w.done || len(g.Data) != w.dataLen {
			t.Errorf("request %d: %+v, want %+v", i, g, w)
		}
	}
}

// A state that leaves out what a flush covered, or that cannot have been, would blame the log for what no disk does.
func TestSubsetKeepsWhatAFlushCovered(t *testing.T) {
	requests := record(t)
	for seed := int64(0); seed < 200; seed++ {
		for at := int64(1); at <= 7; at++ {
			s := Subset(requests, at, rand.New(rand.NewSource(seed)))
			covered := false
			for _, r := range s.Applied {
				if r.Start > at {
					t.Fatalf("at %d: a write that started at %d", at, r.Start)
				}
				covered = covered || r.Start == 1 && len(r.Data) == 8192
			}
			if at >= 6 && !covered {
				t.Fatalf("at %d, seed %d: the flushed write is missing", at, seed)
			}
		}
	}
}

func TestBoundaryHasAllUpToTheFlush(t *testing.T) {
	requests := record(t)
	if s := Boundary(requests, Flushes(requests)[0]); len(s.Applied) != 2 {
		t.Fatalf("%d writes, want the 2 that started before the flush ended", len(s.Applied))
	}
}

func TestRules(t *testing.T) {
	var s Rules
	for _, bad := range []Rule{
		{}, {Name: "a", Op: "x"}, {Name: "a", Op: OpRead, Action: ActionFail}, {Name: "a", Op: OpBoth, Action: ActionDrop},
		{Name: "a", Op: OpWrite, Action: ActionMisplace}, {Name: "a", Op: OpRead, Action: ActionDelay}, {Name: "a", Op: OpRead, Action: "?"},
	} {
		if s.Add(bad) == nil {
			t.Errorf("taken: %+v", bad)
		}
	}
	if err := s.Add(Rule{Name: "once", Op: OpWrite, First: 4096, Length: 4096, Action: ActionFail, Errno: 5, Times: 1}); err != nil {
		t.Fatal(err)
	}
	for _, miss := range []struct {
		op        string
		off, size int64
	}{{OpRead, 4096, 1}, {OpWrite, 0, 4096}, {OpWrite, 8192, 1}, {OpFlush, 0, 0}} {
		if s.take(miss.op, miss.off, miss.size, nil) != nil {
			t.Errorf("applies to %+v", miss)
		}
	}
	if s.take(OpWrite, 0, 4097, nil) == nil {
		t.Error("does not apply to a write that reaches into its range")
	}
	if s.take(OpWrite, 4096, 1, nil) != nil {
		t.Error("applies twice")
	}
	if n := s.Hits()["once"]; n != 1 {
		t.Errorf("%d hits, want 1", n)
	}
}

// What hangs must go on when its rule is removed, or the unmount hangs, too.
func TestRemoveLetsGo(t *testing.T) {
	var s Rules
	if err := s.Add(Rule{Name: "hang", Op: OpFlush, Action: ActionHang}); err != nil {
		t.Fatal(err)
	}
	done := make(chan bool)
	go func() {
		s.take(OpFlush, 0, 0, nil).wait()
		close(done)
	}()
	for s.Hits()["hang"] == 0 {
		time.Sleep(time.Millisecond)
	}
	s.Remove("hang")
	<-done
}
