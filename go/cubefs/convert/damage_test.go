package convert

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage/wal"
)

// harm is what may happen to a directory of CubeFS's WAL, what CubeFS makes of
// it, and what Bulkhead says.
type harm struct {
	name string
	do   func(t testing.TB, dir string, files []string)
	// kind and damage of the first finding of that kind.
	kind   bulkhead.CubeFSFoundKind
	damage bool
	lost   bulkhead.Range
	// cubefs checks what CubeFS's own WAL does, so that the reason is proven.
	cubefs func(t testing.TB, dir string)
}

// The log of these tests: entries 1 to 60 of 64 KiB in files of 1 MiB, term 3,
// vote 2, commit 50, compacted up to 5.
const (
	harmLast   = 60
	harmRecord = 9 + 17 + 64<<10 + 4
)

func harmed(t testing.TB) string {
	t.Helper()
	dir := walDir(t)
	s := openCubeFS(t, dir, smallFiles)
	must(t, s.StoreEntries(entries(1, harmLast+1, 3, 64<<10)))
	must(t, s.StoreHardState(proto.HardState{Term: 3, Vote: 2, Commit: 50}))
	must(t, s.Truncate(5))
	s.Close()
	return dir
}

func flip(t testing.TB, path string, offset int64) {
	t.Helper()
	flipBits(t, path, offset, 1)
}

func flipBits(t testing.TB, path string, offset int64, bits byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	b := []byte{0}
	_, err = f.ReadAt(b, offset)
	must(t, err)
	b[0] ^= bits
	_, err = f.WriteAt(b, offset)
	must(t, err)
}

func lastIs(t testing.TB, dir string, want uint64) {
	t.Helper()
	s, err := wal.NewStorage(dir, nil)
	must(t, err)
	defer s.Close()
	if last, _ := s.LastIndex(); last != want {
		t.Errorf("CubeFS opens with last index %d, want %d: the reason given is not true", last, want)
	}
}

func readFails(t testing.TB, dir string, index uint64) {
	t.Helper()
	s, err := wal.NewStorage(dir, nil)
	must(t, err)
	defer s.Close()
	// It takes a length on trust, and memory for it: the raft loop recovers.
	defer func() { _ = recover() }()
	if got, _, err := s.Entries(index, index+1, 1); err == nil && len(got) == 1 && got[0].Index == index {
		t.Errorf("CubeFS reads entry %d: the reason given is not true", index)
	}
}

func opensWith(t testing.TB, dir string, want proto.HardState) {
	t.Helper()
	s, err := wal.NewStorage(dir, nil)
	must(t, err)
	defer s.Close()
	if got, _ := s.InitialState(); got != want {
		t.Errorf("CubeFS opens with %+v, want %+v: the reason given is not true", got, want)
	}
}

// The last file holds 46 to 60: 15 records fit into a file of 1 MiB.
var harms = []harm{
	{"a flipped bit in the middle of the last file",
		func(t testing.TB, dir string, files []string) { flip(t, files[len(files)-1], 5*harmRecord+100) },
		bulkhead.CubeFSBadRecord, true, bulkhead.Range{First: 51, Last: 51},
		func(t testing.TB, dir string) { lastIs(t, dir, 50) }},
	{"a flipped bit in a length in the last file",
		func(t testing.TB, dir string, files []string) { flip(t, files[len(files)-1], 5*harmRecord+7) },
		bulkhead.CubeFSBadRecord, true, bulkhead.Range{First: 51, Last: 51},
		func(t testing.TB, dir string) { lastIs(t, dir, 50) }},
	{"a flipped bit in the last entry",
		func(t testing.TB, dir string, files []string) { flip(t, files[len(files)-1], 14*harmRecord+100) },
		bulkhead.CubeFSTornTail, false, bulkhead.Range{First: 60, Last: 60},
		func(t testing.TB, dir string) { lastIs(t, dir, 59) }},
	{"a flipped bit that makes the last entry a footer",
		func(t testing.TB, dir string, files []string) { flipBits(t, files[len(files)-1], 14*harmRecord, 2) },
		bulkhead.CubeFSTornTail, false, bulkhead.Range{First: 60, Last: 60},
		func(t testing.TB, dir string) { lastIs(t, dir, 59) }},
	{"a flipped bit that makes the last entry but one a footer",
		func(t testing.TB, dir string, files []string) { flipBits(t, files[len(files)-1], 13*harmRecord, 2) },
		bulkhead.CubeFSBadRecord, true, bulkhead.Range{First: 59, Last: 59},
		func(t testing.TB, dir string) { lastIs(t, dir, 58) }},
	{"a flipped bit in a sealed file",
		func(t testing.TB, dir string, files []string) { flip(t, files[1], 2*harmRecord+100) },
		bulkhead.CubeFSBadRecord, true, bulkhead.Range{First: 18, Last: 18},
		func(t testing.TB, dir string) { readFails(t, dir, 18) }},
	{"a flipped bit in an entry that is compacted",
		func(t testing.TB, dir string, files []string) { flip(t, files[0], 2*harmRecord+100) },
		bulkhead.CubeFSBadRecord, false, bulkhead.Range{First: 3, Last: 3}, nil},
	{"a flipped bit in an index record",
		func(t testing.TB, dir string, files []string) { flip(t, files[1], 15*harmRecord+60) },
		bulkhead.CubeFSBadIndex, false, bulkhead.Range{},
		func(t testing.TB, dir string) { readFails(t, dir, 18) }},
	{"a flipped bit in a footer",
		func(t testing.TB, dir string, files []string) {
			info, err := os.Stat(files[1])
			must(t, err)
			flip(t, files[1], info.Size()-10)
		},
		bulkhead.CubeFSBadIndex, false, bulkhead.Range{},
		func(t testing.TB, dir string) { readFails(t, dir, 18) }},
	{"a sealed file that was cut",
		func(t testing.TB, dir string, files []string) { must(t, os.Truncate(files[1], 10*harmRecord+5)) },
		bulkhead.CubeFSMissingEntries, true, bulkhead.Range{First: 26, Last: 30},
		func(t testing.TB, dir string) { readFails(t, dir, 27) }},
	{"a file that is missing in the middle",
		func(t testing.TB, dir string, files []string) { must(t, os.Remove(files[1])) },
		bulkhead.CubeFSMissingFile, true, bulkhead.Range{First: 16, Last: 30},
		func(t testing.TB, dir string) { readFails(t, dir, 20) }},
	{"the first file is missing",
		func(t testing.TB, dir string, files []string) { must(t, os.Remove(files[0])) },
		bulkhead.CubeFSMissingEntries, true, bulkhead.Range{First: 6, Last: 15},
		func(t testing.TB, dir string) { readFails(t, dir, 10) }},
	{"the last file is missing: META is ahead of the log",
		func(t testing.TB, dir string, files []string) { must(t, os.Remove(files[len(files)-1])) },
		bulkhead.CubeFSMetaAhead, true, bulkhead.Range{First: 46, Last: 50},
		func(t testing.TB, dir string) { opensWith(t, dir, proto.HardState{Term: 3, Vote: 2, Commit: 50}) }},
	{"an empty META",
		func(t testing.TB, dir string, files []string) { must(t, os.Truncate(filepath.Join(dir, "META"), 0)) },
		bulkhead.CubeFSVoteLost, true, bulkhead.Range{},
		func(t testing.TB, dir string) { opensWith(t, dir, proto.HardState{}) }},
	{"a META of zeros",
		func(t testing.TB, dir string, files []string) {
			must(t, os.WriteFile(filepath.Join(dir, "META"), make([]byte, 40), 0o600))
		},
		bulkhead.CubeFSVoteLost, true, bulkhead.Range{},
		func(t testing.TB, dir string) { opensWith(t, dir, proto.HardState{}) }},
	{"no META",
		func(t testing.TB, dir string, files []string) { must(t, os.Remove(filepath.Join(dir, "META"))) },
		bulkhead.CubeFSVoteLost, true, bulkhead.Range{},
		func(t testing.TB, dir string) { opensWith(t, dir, proto.HardState{}) }},
	{"a META that was cut",
		func(t testing.TB, dir string, files []string) { must(t, os.Truncate(filepath.Join(dir, "META"), 20)) },
		bulkhead.CubeFSBadMeta, true, bulkhead.Range{},
		func(t testing.TB, dir string) {
			if s, err := wal.NewStorage(dir, nil); err == nil {
				s.Close()
				t.Error("CubeFS opens it: the reason given is not true")
			}
		}},
	{"a commit behind the compaction point, as CubeFS's Truncate may leave it",
		func(t testing.TB, dir string, files []string) { writeMeta(t, dir, 8, 3) },
		bulkhead.CubeFSCommitBehind, false, bulkhead.Range{},
		func(t testing.TB, dir string) { opensWith(t, dir, proto.HardState{Term: 3, Vote: 2, Commit: 3}) }},
	{"a snapshot that the log does not continue, as a crash in ApplySnapshot leaves it",
		func(t testing.TB, dir string, files []string) { writeMeta(t, dir, 24, 40); writeMeta(t, dir, 32, 4) },
		bulkhead.CubeFSSnapshotConflict, true, bulkhead.Range{First: 41, Last: 60},
		func(t testing.TB, dir string) { lastIs(t, dir, 60) }},
	{"a copy of a log file beside it",
		func(t testing.TB, dir string, files []string) {
			data, err := os.ReadFile(files[1])
			must(t, err)
			must(t, os.WriteFile(files[1]+".bak", data, 0o600))
		},
		bulkhead.CubeFSStrangeFile, false, bulkhead.Range{}, nil},
}

// writeMeta changes one field of META.
func writeMeta(t testing.TB, dir string, offset int64, value uint64) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "META"), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], value)
	_, err = f.WriteAt(b[:], offset)
	must(t, err)
}

// TestDamage harms directories: what is damage is refused with its range, and
// nothing is changed; what is not is imported and named. CubeFS's own code shows
// what it would have made of each.
func TestDamage(t *testing.T) {
	engine := newEngine(t)
	for i := range harms {
		h := &harms[i]
		t.Run(h.name, func(t *testing.T) {
			dir := harmed(t)
			h.do(t, dir, logs(t, dir))
			before := tree(t, dir)
			report, err := engine.InspectCubeFS(at(dir))
			must(t, err)
			var found *bulkhead.CubeFSFinding
			for i := range report.Findings {
				if f := &report.Findings[i]; f.Kind == h.kind && found == nil {
					found = f
				}
			}
			if found == nil || found.Damage != h.damage || found.Range != h.lost {
				t.Fatalf("findings %+v, want %s (damage: %t) of %v", report.Findings, h.kind, h.damage, h.lost)
			}
			if damaged := report.Damage() != nil; damaged != h.damage {
				t.Fatalf("findings %+v: damaged: %t, want %t", report.Findings, damaged, h.damage)
			}
			sameTree(t, "inspect", tree(t, dir), before)

			_, err = engine.ImportCubeFS(at(dir))
			if h.damage {
				if !errors.Is(err, bulkhead.ErrDamaged) {
					t.Fatalf("import: %v, want ErrDamaged", err)
				}
				sameTree(t, "a refused import", tree(t, dir), before)
			} else {
				must(t, err)
				if got := readBulkhead(t, engine, dir); got.Last != report.LastIndex {
					t.Errorf("imported up to %d, inspected up to %d", got.Last, report.LastIndex)
				}
				must(t, engine.UndoCubeFSImport(at(dir)))
				sameTree(t, "undone", tree(t, dir), before)
			}
			if h.cubefs != nil {
				h.cubefs(t, dir)
			}
		})
	}
}

// TestDamageBehindNotes: notes, however many, leave room for damage.
func TestDamageBehindNotes(t *testing.T) {
	engine := newEngine(t)
	dir := harmed(t)
	for i := 0; i < 150; i++ {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%016x-%016x.log.bak", i, i)), nil, 0o600))
	}
	config := at(dir)
	config.KnownIndex = harmLast + 3
	report, err := engine.InspectCubeFS(config)
	must(t, err)
	if found := report.Damage(); found == nil || found.Kind != bulkhead.CubeFSBelowKnown {
		t.Fatalf("damage %+v, of %d findings", found, len(report.Findings))
	}
}

// TestKnownIndex: a log that ends below what was applied is damage.
func TestKnownIndex(t *testing.T) {
	engine := newEngine(t)
	dir := harmed(t)
	config := at(dir)
	config.KnownIndex = harmLast + 3
	_, err := engine.ImportCubeFS(config)
	var e *bulkhead.Error
	if !errors.As(err, &e) || e.Code != bulkhead.ErrDamaged || e.First != 61 || e.Last != 63 {
		t.Fatalf("import: %v, want ErrDamaged of 61 to 63", err)
	}
	config.KnownIndex = harmLast
	_, err = engine.ImportCubeFS(config)
	must(t, err)
}

// TestOpenWantsImport: an open never makes a second log beside CubeFS's.
func TestOpenWantsImport(t *testing.T) {
	engine := newEngine(t)
	dir := harmed(t)
	before := tree(t, dir)
	p, err := engine.OpenPartition(bulkhead.PartitionConfig{Path: dir, ID: partitionID})
	if !errors.Is(err, bulkhead.ErrNeedsImport) {
		t.Fatalf("open: %v, %v; want ErrNeedsImport", p, err)
	}
	sameTree(t, "a refused open", tree(t, dir), before)
}

// TestProgress: a long call says how far it is.
func TestProgress(t *testing.T) {
	engine := newEngine(t)
	dir := harmed(t)
	var calls int
	var last [2]uint64
	config := at(dir)
	config.Progress = func(done, total uint64) {
		if done < last[0] || done > total {
			t.Errorf("progress goes from %v to %d of %d", last, done, total)
		}
		calls, last = calls+1, [2]uint64{done, total}
	}
	_, err := engine.ImportCubeFS(config)
	must(t, err)
	if calls == 0 || last[0] != last[1] {
		t.Errorf("%d calls, the last with %v", calls, last)
	}
}
