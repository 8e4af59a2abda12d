package bulkhead

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestLifeOfAPartition(t *testing.T) {
	for _, mode := range allModes {
		t.Run(mode.String(), func(t *testing.T) {
			e := openEngine(t, EngineConfig{})
			p := openPartition(t, e, mode)
			entries := makeEntries(1, 101, 1, 300)
			mustAppend(t, p, entries)
			if err := p.SetHardState(HardState{Term: 3, Vote: 2, Commit: 50}); err != nil {
				t.Fatal(err)
			}
			if err := p.Compact(40); err != nil {
				t.Fatal(err)
			}
			replaced := makeEntries(91, 95, 3, 40)
			mustAppend(t, p, replaced)
			want := append(append([]Entry(nil), entries[40:90]...), replaced...)
			for again := 0; again < 2; again++ {
				mustHold(t, p, want)
				checkBounds(t, p, 41, 94)
				if h, err := p.HardState(); err != nil || h != (HardState{3, 2, 50}) {
					t.Fatalf("hard state %+v, %v", h, err)
				}
				if term, err := p.Term(40); err != nil || term != 1 {
					t.Fatalf("term of the compaction point %d, %v", term, err)
				}
				if err := p.Sync(); err != nil {
					t.Fatal(err)
				}
				checkStatus(t, p, mode)
				if err := p.Close(); err != nil {
					t.Fatal(err)
				}
				p = reopenPartition(t, e, PartitionConfig{Path: p.Path(), ID: 7, Mode: mode, KnownIndex: 94})
			}
			if err := p.Reset(500, 4); err != nil {
				t.Fatal(err)
			}
			checkBounds(t, p, 501, 500)
		})
	}
}

func checkBounds(t *testing.T, p *Partition, wantFirst, wantLast uint64) {
	t.Helper()
	first, last, err := p.Bounds()
	if err != nil || first != wantFirst || last != wantLast {
		t.Fatalf("the log is [%d, %d], %v, want [%d, %d]", first, last, err, wantFirst, wantLast)
	}
}

func checkStatus(t *testing.T, p *Partition, mode Mode) {
	t.Helper()
	s, err := p.Status()
	if err != nil {
		t.Fatal(err)
	}
	if s.PartitionID != 7 || s.State != StateReadWrite || s.Cause != CauseNone || s.Mode != mode ||
		s.FirstIndex != 41 || s.LastIndex != 94 || s.LastTerm != 3 || s.CompactionIndex != 40 || s.CompactionTerm != 1 ||
		s.HardState != (HardState{3, 2, 50}) || s.DurableIndex != 94 || s.Incarnation == [16]byte{} || s.Epoch == [16]byte{} {
		t.Fatalf("status %+v", s)
	}
	if fault := p.LastFault(); fault != nil {
		t.Fatalf("a healthy partition has a fault: %v", fault)
	}
	report, err := p.Verify()
	if err != nil || report.BadRecords != 0 || report.Entries < 54 {
		t.Fatalf("verify %+v, %v", report, err)
	}
}

// Whatever the caller does wrong has a code of its own, and leaves the log as it
// was and the partition ReadWrite.
func TestBadInput(t *testing.T) {
	e := openEngine(t, EngineConfig{MaxEntryBytes: 1 << 20})
	p := openPartition(t, e, ModeSync)
	entries := makeEntries(1, 21, 5, 100)
	mustAppend(t, p, entries)
	if err := p.SetHardState(HardState{Term: 5, Vote: 1, Commit: 10}); err != nil {
		t.Fatal(err)
	}
	if err := p.Compact(5); err != nil {
		t.Fatal(err)
	}
	second := func(_ interface{}, err error) error { return err }
	for _, c := range []struct {
		what string
		want Code
		err  error
	}{
		{"no entries", ErrNoEntries, p.Append(nil)},
		{"a gap", ErrGap, p.Append(makeEntries(22, 23, 5, 10))},
		{"a gap inside the batch", ErrOutOfOrder, p.Append([]Entry{{Index: 21, Term: 5}, {Index: 23, Term: 5}})},
		{"a compacted index", ErrCompacted, p.Append(makeEntries(5, 6, 5, 10))},
		{"a committed index", ErrCommitOutOfRange, p.Append(makeEntries(10, 11, 6, 10))},
		{"a term going back", ErrTermRegression, p.Append(makeEntries(21, 22, 4, 10))},
		{"a term going back inside the batch", ErrTermRegression, p.Append([]Entry{{Index: 21, Term: 7}, {Index: 22, Term: 6}})},
		{"an entry too large", ErrEntryTooLarge, p.Append(makeEntries(21, 22, 5, 1<<20+1))},
		{"read of a compacted index", ErrCompacted, second(p.Read(5, 10, 1<<20))},
		{"read beyond the end", ErrOutOfRange, second(p.Read(21, 22, 1<<20))},
		{"term of a compacted index", ErrCompacted, second(p.Term(4))},
		{"term beyond the end", ErrOutOfRange, second(p.Term(21))},
		{"compaction beyond the end", ErrOutOfRange, p.Compact(21)},
		{"a commit beyond the end", ErrCommitOutOfRange, p.SetHardState(HardState{Term: 5, Vote: 1, Commit: 21})},
		{"a commit going back", ErrCommitOutOfRange, p.SetHardState(HardState{Term: 5, Vote: 1, Commit: 9})},
		{"a hard state of an old term", ErrTermRegression, p.SetHardState(HardState{Term: 4, Vote: 1, Commit: 10})},
	} {
		var e *Error
		if !errors.As(c.err, &e) || e.Code != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.err, c.want)
		} else if e.Message == "" {
			t.Errorf("%s: no message", c.what)
		}
	}
	mustHold(t, p, entries[5:])
	if s, err := p.Status(); err != nil || s.State != StateReadWrite {
		t.Errorf("state %v, %v", s.State, err)
	}
	mustAppend(t, p, makeEntries(21, 23, 5, 1<<20))
}

// raft does not start with a commit below the compaction point.
func TestCompactionRaisesTheCommit(t *testing.T) {
	e := openEngine(t, EngineConfig{})
	p := openPartition(t, e, ModeSync)
	mustAppend(t, p, makeEntries(1, 11, 1, 10))
	if err := p.SetHardState(HardState{Term: 2, Vote: 1, Commit: 3}); err != nil {
		t.Fatal(err)
	}
	if err := p.Compact(8); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p = reopenPartition(t, e, PartitionConfig{Path: p.Path(), ID: 7})
	if h, err := p.HardState(); err != nil || h != (HardState{2, 1, 8}) {
		t.Errorf("hard state %+v, %v", h, err)
	}
}

func TestBadPaths(t *testing.T) {
	e := openEngine(t, EngineConfig{})
	p := openPartition(t, e, ModeSync)
	mustAppend(t, p, makeEntries(1, 4, 1, 10))
	dir := t.TempDir()
	file, foreign, link, closed := filepath.Join(dir, "file"), filepath.Join(dir, "foreign"), filepath.Join(dir, "link"), filepath.Join(dir, "closed")
	theirs := filepath.Join(dir, "theirs")
	for _, err := range []error{
		os.WriteFile(file, []byte("x"), 0o600), os.Mkdir(foreign, 0o700),
		os.WriteFile(filepath.Join(foreign, "somebody's"), []byte("x"), 0o600), os.Mkdir(theirs, 0o700),
		os.WriteFile(filepath.Join(theirs, "0000000000000001-0000000000000001.log"), []byte("x"), 0o600), os.Symlink(p.Path(), link),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	other := reopenPartition(t, e, PartitionConfig{Path: closed, ID: 8})
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what   string
		want   Code
		config PartitionConfig
	}{
		{"a missing parent", ErrNotFound, PartitionConfig{Path: filepath.Join(dir, "no", "wal_1"), ID: 1}},
		{"a missing directory", ErrNotFound, PartitionConfig{Path: filepath.Join(dir, "wal_1"), ID: 1, Disposition: OpenExisting}},
		{"a file", ErrNotADirectory, PartitionConfig{Path: file, ID: 1}},
		{"a symbolic link", ErrSymlink, PartitionConfig{Path: link, ID: 7}},
		{"a foreign directory", ErrForeign, PartitionConfig{Path: foreign, ID: 1}},
		{"a directory of CubeFS's WAL", ErrNeedsImport, PartitionConfig{Path: theirs, ID: 1}},
		{"a directory that is open", ErrAlreadyOpen, PartitionConfig{Path: p.Path(), ID: 7}},
		{"a directory of another partition", ErrWrongPartition, PartitionConfig{Path: closed, ID: 9}},
		{"a new log where one is", ErrAlreadyExists, PartitionConfig{Path: closed, ID: 8, Disposition: CreateNew}},
		{"an unknown mode", ErrInvalidConfig, PartitionConfig{Path: closed, ID: 8, Mode: 77}},
		{"an unknown disposition", ErrInvalidConfig, PartitionConfig{Path: closed, ID: 8, Disposition: 77}},
	} {
		q, err := e.OpenPartition(c.config)
		if err == nil {
			t.Errorf("%s: opened", c.what)
			if err := q.Close(); err != nil {
				t.Error(err)
			}
		} else if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
	}
	mustHold(t, p, makeEntries(1, 4, 1, 10))
}

func TestClosed(t *testing.T) {
	e := openEngine(t, EngineConfig{})
	p := openPartition(t, e, ModeSync)
	mustAppend(t, p, makeEntries(1, 4, 1, 10))
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	_, readErr := p.Read(1, 2, 10)
	_, termErr := p.Term(1)
	_, _, boundsErr := p.Bounds()
	_, stateErr := p.HardState()
	_, statusErr := p.Status()
	_, verifyErr := p.Verify()
	for i, err := range []error{p.Close(), p.Append(makeEntries(4, 5, 1, 10)), readErr, termErr, boundsErr, stateErr, statusErr, verifyErr,
		p.Compact(1), p.Reset(9, 9), p.SetHardState(HardState{Term: 2}), p.Sync(), p.Recover(), p.appendOutside(makeEntries(4, 5, 1, 10))} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("call %d after Close: %v", i, err)
		}
	}
	if fault := p.LastFault(); fault != nil {
		t.Errorf("fault of a closed partition: %v", fault)
	}
}

func TestEngineClose(t *testing.T) {
	e, err := Open(EngineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.OpenPartition(PartitionConfig{Path: filepath.Join(t.TempDir(), "wal_7"), ID: 7})
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, p, makeEntries(1, 4, 1, 10))
	for i := 0; i < 2; i++ {
		if err := e.Close(); err != nil {
			t.Fatalf("close %d: %v", i, err)
		}
	}
	if err := p.Append(makeEntries(4, 5, 1, 10)); !errors.Is(err, ErrClosed) {
		t.Errorf("append after the engine's Close: %v", err)
	}
	if err := p.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("the partition's Close after the engine's: %v", err)
	}
	if _, err := e.OpenPartition(PartitionConfig{Path: p.Path(), ID: 7}); !errors.Is(err, ErrClosed) {
		t.Errorf("open after Close: %v", err)
	}
	other := openEngine(t, EngineConfig{})
	mustHold(t, reopenPartition(t, other, PartitionConfig{Path: p.Path(), ID: 7}), makeEntries(1, 4, 1, 10))
}

func TestEngineConfigRange(t *testing.T) {
	for i, c := range []EngineConfig{
		{Interval: time.Microsecond}, {Interval: -1}, {Interval: time.Hour}, {StallLimit: time.Millisecond}, {StallLimit: 1 << 62},
		{SlowDisk: time.Hour}, {MaxEntryBytes: 65 << 20}, {SegmentMaxBytes: 2 << 30}, {FlushThreadsPerDisk: 65},
	} {
		e, err := Open(c)
		if err == nil {
			t.Errorf("config %d was accepted", i)
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		} else if !errors.Is(err, ErrInvalidConfig) {
			t.Errorf("config %d: %v", i, err)
		}
	}
}
