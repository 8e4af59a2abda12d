// Package convert holds the proof that logs go from CubeFS's own WAL to Bulkhead
// and back unchanged: CubeFS's code writes and reads one side, Bulkhead's the
// other.
package convert

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/logger"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage/wal"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/util/log"
)

// silent keeps CubeFS's lines out of the test output.
type silent struct{}

func (silent) IsEnableDebug() bool          { return false }
func (silent) IsEnableInfo() bool           { return false }
func (silent) IsEnableWarn() bool           { return false }
func (silent) Debug(string, ...interface{}) {}
func (silent) Info(string, ...interface{})  {}
func (silent) Warn(string, ...interface{})  {}
func (silent) Error(string, ...interface{}) {}

// TestMain fails the run when a handle was left open.
func TestMain(m *testing.M) {
	logger.SetLogger(silent{})
	log.GetFileLogger().SetLevel("fatal")
	code := m.Run()
	if engines, partitions := bulkhead.LiveHandles(); engines != 0 || partitions != 0 {
		fmt.Printf("FAIL: %d engines and %d partitions were left open\n", engines, partitions)
		code = 1
	}
	os.Exit(code)
}

const partitionID = 7

func walDir(t testing.TB) string { return filepath.Join(t.TempDir(), "wal_7") }

func newEngine(t testing.TB) *bulkhead.Engine {
	t.Helper()
	engine, err := bulkhead.Open(bulkhead.EngineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return engine
}

func at(dir string) bulkhead.CubeFSConfig {
	return bulkhead.CubeFSConfig{Path: dir, ID: partitionID}
}

// smallFiles makes CubeFS rotate early.
var smallFiles = &wal.Config{FileSize: 1 << 20}

func openCubeFS(t testing.TB, dir string, config *wal.Config) *wal.Storage {
	t.Helper()
	s, err := wal.NewStorage(dir, config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openBulkhead(t testing.TB, engine *bulkhead.Engine, dir string) *cubefs.Storage {
	t.Helper()
	s, err := cubefs.NewStorage(dir, &cubefs.Config{Engine: engine})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// contents is what raft reads out of a log.
type contents struct {
	Hard        proto.HardState
	First, Last uint64
	FirstTerm   uint64 // of the compaction point
	Entries     []proto.Entry
}

func read(t testing.TB, s storage.Storage) contents {
	t.Helper()
	var c contents
	var err error
	check := func(what string) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	c.Hard, err = s.InitialState()
	check("InitialState")
	c.First, err = s.FirstIndex()
	check("FirstIndex")
	c.Last, err = s.LastIndex()
	check("LastIndex")
	c.FirstTerm, _, err = s.Term(c.First - 1)
	if c.First > 1 {
		check("Term of the compaction point")
	} else {
		c.FirstTerm = 0 // there is none; CubeFS looks for entry 0
	}
	for next := c.First; next <= c.Last; {
		entries, _, err := s.Entries(next, c.Last+1, 8<<20)
		if err != nil || len(entries) == 0 {
			t.Fatalf("Entries(%d, %d): %d entries, %v", next, c.Last+1, len(entries), err)
		}
		for _, e := range entries {
			if e.Index != next {
				t.Fatalf("entry %d in place of %d", e.Index, next)
			}
			next++
			copied := *e
			copied.Data = append([]byte{}, e.Data...)
			c.Entries = append(c.Entries, copied)
		}
	}
	return c
}

func same(t testing.TB, what string, got, want contents) {
	t.Helper()
	if reflect.DeepEqual(got, want) {
		return
	}
	if got.Hard != want.Hard || got.First != want.First || got.Last != want.Last || got.FirstTerm != want.FirstTerm {
		t.Fatalf("%s: %+v [%d, %d] behind term %d, want %+v [%d, %d] behind term %d", what, got.Hard, got.First, got.Last,
			got.FirstTerm, want.Hard, want.First, want.Last, want.FirstTerm)
	}
	for i := range want.Entries {
		if !reflect.DeepEqual(got.Entries[i], want.Entries[i]) {
			g, w := got.Entries[i], want.Entries[i]
			t.Fatalf("%s: entry %d is term %d type %d with %d bytes, want entry %d term %d type %d with %d bytes", what, g.Index, g.Term,
				g.Type, len(g.Data), w.Index, w.Term, w.Type, len(w.Data))
		}
	}
}

// readCubeFS reads a directory with CubeFS's WAL, which writes to what it opens:
// it gets a copy.
func readCubeFS(t testing.TB, dir string, config *wal.Config) contents {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy")
	copyTree(t, dir, copied)
	s := openCubeFS(t, copied, config)
	defer s.Close()
	return read(t, s)
}

func readBulkhead(t testing.TB, engine *bulkhead.Engine, dir string) contents {
	t.Helper()
	s := openBulkhead(t, engine, dir)
	defer s.Close()
	return read(t, s)
}

// tree is all files of a directory.
func tree(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			files[name+"/"] = nil
			return nil
		}
		files[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func sameTree(t testing.TB, what string, got, want map[string][]byte) {
	t.Helper()
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s is new", what, name)
		}
	}
	for name, data := range want {
		if now, ok := got[name]; !ok || !bytes.Equal(now, data) {
			t.Errorf("%s: %s is gone or has changed (%d bytes, now %d)", what, name, len(data), len(now))
		}
	}
}

func copyTree(t testing.TB, from, to string) {
	t.Helper()
	for name, data := range tree(t, from) {
		path := filepath.Join(to, name)
		var err error
		if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(path, 0o700)
		} else if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func logs(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// ageFile makes CubeFS believe that its last file is two days old, so that the
// next append rotates it.
func ageFile(s *wal.Storage) {
	field := func(v reflect.Value, name string) reflect.Value {
		f := v.Elem().FieldByName(name)
		return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
	}
	ls := field(reflect.ValueOf(s), "ls")
	rotated := field(ls, "rotateTime")
	rotated.SetInt(rotated.Int() - 2*wal.MaxRotateInterval)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// entries makes [lo, hi) of one term, every fifth a change of configuration.
func entries(lo, hi, term uint64, size int) []*proto.Entry {
	var list []*proto.Entry
	for i := lo; i < hi; i++ {
		e := &proto.Entry{Index: i, Term: term, Data: bytes.Repeat([]byte{byte(i), byte(term)}, size/2)}
		if i%5 == 0 {
			e.Type = proto.EntryConfChange
		}
		list = append(list, e)
	}
	return list
}
