package shadow

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/logger"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage/wal"
)

var engine *bulkhead.Engine

type silent struct{}

func (silent) IsEnableDebug() bool          { return false }
func (silent) IsEnableInfo() bool           { return false }
func (silent) IsEnableWarn() bool           { return false }
func (silent) Debug(string, ...interface{}) {}
func (silent) Info(string, ...interface{})  {}
func (silent) Warn(string, ...interface{})  {}
func (silent) Error(string, ...interface{}) {}

func TestMain(m *testing.M) {
	logger.SetLogger(silent{})
	var err error
	// Faults are to be seen, not healed.
	engine, err = bulkhead.Open(bulkhead.EngineConfig{HealLimit: bulkhead.Never, IdleCheck: bulkhead.Never, SpaceWait: bulkhead.Never, Probe: bulkhead.Never})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	code := m.Run()
	if _, partitions := bulkhead.LiveHandles(); partitions != 0 {
		fmt.Printf("FAIL: %d partitions were left open\n", partitions)
		code = 1
	}
	if err := engine.Close(); err != nil {
		fmt.Println("FAIL:", err)
		code = 1
	}
	os.Exit(code)
}

const id = 7

// pair opens CubeFS's log with a shadow.
func pair(t *testing.T, open opener) (s *Storage, root string) {
	t.Helper()
	dir := t.TempDir()
	native, err := wal.NewStorage(filepath.Join(dir, "wal_7"), &wal.Config{FileSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	root = filepath.Join(dir, "shadows")
	s = newStorage(native, Config{Root: root, ID: id, Log: cubefs.Config{Engine: engine, Mode: bulkhead.ModeNone}}, open)
	t.Cleanup(func() { closed(t, s) })
	return s, root
}

// closed closes the log and waits until the shadow is gone.
func closed(t *testing.T, s *Storage) {
	t.Helper()
	s.Close()
	eventually(t, "the shadow is gone", func() bool {
		living.mu.Lock()
		defer living.mu.Unlock()
		return !living.workers[s.work]
	})
	if left, _ := filepath.Glob(filepath.Join(s.work.config.Root, prefix+"*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in 20 s: " + what)
		}
	}
}

// settled waits until nothing waits for the shadow.
func settled(t *testing.T, s *Storage) Report {
	t.Helper()
	eventually(t, "the shadow keeps up", func() bool { return s.Report().WaitingBytes == 0 && s.Report().LagSeconds == 0 })
	return s.Report()
}

func batch(lo, hi, term uint64, size int) (entries []*proto.Entry) {
	for i := lo; i < hi; i++ {
		data := []byte(strings.Repeat(fmt.Sprintf("%d of %d ", i, term), size/7+1))[:size]
		entries = append(entries, &proto.Entry{Index: i, Term: term, Type: proto.EntryType(i % 2), Data: data})
	}
	return entries
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func clean(t *testing.T, s *Storage, root string) Report {
	t.Helper()
	r := settled(t, s)
	if r.Differences != 0 || r.Dropped != 0 || r.Faults != 0 || r.Blemish != "" || Blemish(root, id) != "" {
		t.Fatalf("%+v, marked: %q", r, Blemish(root, id))
	}
	return r
}

// read reads everything there is, in one piece and one by one.
func read(t *testing.T, s *Storage) {
	t.Helper()
	first, _ := s.FirstIndex()
	last, _ := s.LastIndex()
	if last < first {
		return
	}
	for _, limit := range []uint64{0, 100, 1 << 40} {
		_, _, err := s.Entries(first, last+1, limit)
		must(t, err)
	}
	for i := first - 1; i <= last; i++ {
		_, _, err := s.Term(i)
		must(t, err)
	}
}
