package conformance

import (
	"testing"

	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage/wal"
)

// cubefsDefects is what CubeFS's own WAL does not hold, in release v3.4.0.
var cubefsDefects = map[string]string{
	"a gap inside a batch changes nothing":           "entries are written one by one: those before the gap stay when the call fails",
	"a gap at the start of an empty log is refused":  "an empty log accepts any first index",
	"a gap after a snapshot is refused":              "an empty log accepts any first index, also 900 after a snapshot at 500; the entries between are read as damage or not at all",
	"the stored commit reaches the compaction point": "truncation leaves the stored commit alone; raft refuses to start with a commit below the compaction point",
	"writes after close are refused":                 "a write after Close panics on a nil pointer",
	"only the last path component is made":           "MkdirAll makes the directory of a removed partition again",
	"a directory is open once":                       "there is no lock: two storages write the same files",
	"a flipped bit in an entry is noticed":           "a flipped bit in the last segment opens as if nothing were wrong and silently drops everything after it",
	"a flipped bit in the last entry is noticed":     "a last entry that was synced is dropped silently when a bit of it has flipped",
	"flipped bits in small files are noticed":        "META has one copy and no checksum: another vote, term, commit or compaction point is believed",
	"an emptied state file is noticed":               "an empty META opens with vote and term 0, an emptied segment as an empty log",
	"a missing file is noticed":                      "a missing META opens with vote and term 0, a missing segment as an empty log",
}

// TestCubeFS runs the suite against CubeFS's own WAL, with segments small enough
// that the cases cross them.
func TestCubeFS(t *testing.T) {
	open := func(dummy bool) func(dir string) (storage.Storage, error) {
		return func(dir string) (storage.Storage, error) {
			s, err := wal.NewStorage(dir, &wal.Config{FileSize: 1 << 20, Sync: true, TruncateFirstDummy: dummy})
			if err != nil {
				return nil, err
			}
			return s, nil
		}
	}
	Run(t, Implementation{Open: open(false), OpenDummy: open(true), Defects: cubefsDefects})
}
