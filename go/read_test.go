package bulkhead

import (
	"testing"
)

// Read returns as much as the range and the size say, whatever fits the buffers
// it uses inside.
func TestReadCuts(t *testing.T) {
	p := openPartition(t, openEngine(t, EngineConfig{}), ModeNone)
	all := makeEntries(1, 101, 1, 1000)
	mustAppend(t, p, all)
	for _, c := range []struct {
		lo, hi, max uint64
		want        int
	}{
		{1, 101, 1 << 40, 100}, {1, 1000, 1 << 40, 100}, {50, 60, 1 << 40, 10}, {1, 101, 0, 1}, {1, 101, 1, 1}, {1, 101, 999, 1},
		{1, 101, 1000, 2}, {1, 101, 1999, 2}, {1, 101, 2000, 3}, {100, 101, 0, 1}, {5, 5, 100, 0}, {6, 5, 100, 0},
	} {
		got, err := p.Read(c.lo, c.hi, c.max)
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		if err := equalEntries(got, all[c.lo-1:int(c.lo)-1+c.want]); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// More entries, and larger ones, than the buffers hold.
func TestReadOverBuffers(t *testing.T) {
	p := openPartition(t, openEngine(t, EngineConfig{}), ModeNone)
	small := makeEntries(1, maxReadHeaders+3000, 1, 5)
	mustAppend(t, p, small)
	next := uint64(len(small)) + 1
	large := makeEntries(next, next+3, 1, keepReadBytes+1)
	mustAppend(t, p, large)
	medium := makeEntries(next+3, next+63, 1, 100<<10)
	mustAppend(t, p, medium)
	all := append(append(small, large...), medium...)
	mustHold(t, p, all)
	got, err := p.Read(next, next+63, 2*(keepReadBytes+1))
	if err == nil {
		err = equalEntries(got, large)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What was read must not change when the buffers are used again.
func TestReadReturnsOwnMemory(t *testing.T) {
	p := openPartition(t, openEngine(t, EngineConfig{}), ModeNone)
	all := makeEntries(1, 51, 1, 1000)
	mustAppend(t, p, all)
	first, err := p.Read(1, 51, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, p, makeEntries(20, 80, 2, 1000))
	if _, err := p.Read(1, 80, 1<<40); err != nil {
		t.Fatal(err)
	}
	if err := equalEntries(first, all); err != nil {
		t.Fatal(err)
	}
	grown := append(first[0].Data, 1, 2, 3)
	if err := equalEntries(first, all); err != nil || len(grown) != 1003 {
		t.Fatalf("growing one payload wrote into the next: %v", err)
	}
	kept := all[:1:1]
	if out, err := p.ReadAppend(kept, 1000, 1001, 10); err == nil || len(out) != 1 {
		t.Fatalf("a failed ReadAppend returned %d entries, %v", len(out), err)
	}
}
