package convert

import (
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
)

const (
	roomEntries = 24 << 10 // of 4 KiB: 96 MiB
	roomBytes   = 4 << 10
)

// taken is what a directory takes on its disk, as du says. A file that moves while
// it looks counts once.
func taken(dir string) (bytes int64) {
	seen := make(map[uint64]bool)
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error { // files move and go meanwhile
		var st syscall.Stat_t
		if err == nil && syscall.Lstat(path, &st) == nil && !seen[st.Ino] {
			seen[st.Ino] = true
			bytes += st.Blocks * 512
		}
		return nil
	})
	return bytes
}

// peak is the most that a directory takes while work runs.
func peak(dir string, work func()) (most int64) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	for {
		if now := taken(dir); now > most {
			most = now
		}
		select {
		case <-done:
			return most
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// TestRoomOfAConversion: a log needs its room once more while it is converted, and
// once more for each original that is kept beside it.
func TestRoomOfAConversion(t *testing.T) {
	engine := newEngine(t)
	dir := walDir(t)
	s := openCubeFS(t, dir, nil)
	for i := uint64(1); i <= roomEntries; i += 256 {
		must(t, s.StoreEntries(entries(i, i+256, 1, roomBytes)))
	}
	must(t, s.StoreHardState(proto.HardState{Term: 1, Vote: 1, Commit: roomEntries}))
	s.Close()
	size := taken(dir)
	step := func(name string, most float64, work func() error) {
		t.Helper()
		var err error
		room := float64(peak(dir, func() { err = work() })) / float64(size)
		must(t, err)
		t.Logf("%s: %.2f of the log at the most, %.2f afterwards", name, room, float64(taken(dir))/float64(size))
		if room > most {
			t.Errorf("%s takes %.2f of the log, not %.2f at the most", name, room, most)
		}
	}
	imported := func() error { _, err := engine.ImportCubeFS(at(dir)); return err }
	exported := func() error { _, err := engine.ExportCubeFS(at(dir), ""); return err }
	discarded := func() error { return engine.DiscardCubeFSOriginal(at(dir)) }
	step("import", 2.1, imported)
	step("discard", 2.1, discarded)
	step("export", 2.1, exported)
	step("discard", 2.1, discarded)
	step("import", 2.1, imported)
	step("export beside the original", 3.1, exported)
}
