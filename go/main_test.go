package bulkhead

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestMain fails the run when a test left an engine or a partition open.
func TestMain(m *testing.M) {
	code := m.Run()
	if engines, partitions := LiveHandles(); engines != 0 || partitions != 0 {
		fmt.Printf("FAIL: %d engines and %d partitions were left open\n", engines, partitions)
		code = 1
	}
	os.Exit(code)
}

var allModes = []Mode{ModeNone, ModeSync, ModeInterval}

// neverHeals is for tests of what a fault does as long as nothing heals it.
var neverHeals = EngineConfig{HealLimit: Never, IdleCheck: Never, SpaceWait: Never, Probe: Never}

// openEngine opens an engine that is closed at the end of the test.
func openEngine(t testing.TB, config EngineConfig) *Engine {
	t.Helper()
	e, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("closing the engine: %v", err)
		}
	})
	return e
}

// openPartition opens a partition in a fresh directory.
func openPartition(t testing.TB, e *Engine, mode Mode) *Partition {
	t.Helper()
	return reopenPartition(t, e, PartitionConfig{Path: filepath.Join(t.TempDir(), "wal_7"), ID: 7, Mode: mode})
}

func reopenPartition(t testing.TB, e *Engine, config PartitionConfig) *Partition {
	t.Helper()
	p, err := e.OpenPartition(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Errorf("closing the partition: %v", err)
		}
	})
	return p
}

// makeEntries makes [lo, hi) with payloads that differ in every byte position.
func makeEntries(lo, hi, term uint64, size int) []Entry {
	var out []Entry
	for i := lo; i < hi; i++ {
		data := make([]byte, size)
		for k := range data {
			data[k] = byte(uint64(k)*31 + i*7 + term)
		}
		out = append(out, Entry{Index: i, Term: term, Kind: uint8(i % 3), Data: data})
	}
	return out
}

func mustAppend(t testing.TB, p *Partition, entries []Entry) {
	t.Helper()
	if err := p.Append(entries); err != nil {
		t.Fatalf("append [%d, %d]: %v", entries[0].Index, entries[len(entries)-1].Index, err)
	}
}

func equalEntries(got, want []Entry) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d entries, want %d", len(got), len(want))
	}
	for i := range got {
		g, w := got[i], want[i]
		if g.Index != w.Index || g.Term != w.Term || g.Kind != w.Kind || string(g.Data) != string(w.Data) {
			return fmt.Errorf("entry %d: index %d term %d kind %d and %d bytes, want index %d term %d kind %d and %d bytes",
				i, g.Index, g.Term, g.Kind, len(g.Data), w.Index, w.Term, w.Kind, len(w.Data))
		}
	}
	return nil
}

func mustHold(t testing.TB, p *Partition, want []Entry) {
	t.Helper()
	got, err := p.Read(want[0].Index, want[len(want)-1].Index+1, 1<<62)
	if err == nil {
		err = equalEntries(got, want)
	}
	if err != nil {
		t.Fatal(err)
	}
}
