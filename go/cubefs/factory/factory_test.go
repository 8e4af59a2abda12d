package factory

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/registry"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/shadow"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/logger"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage/wal"
)

type silent struct{}

func (silent) IsEnableDebug() bool          { return false }
func (silent) IsEnableInfo() bool           { return false }
func (silent) IsEnableWarn() bool           { return false }
func (silent) Debug(string, ...interface{}) {}
func (silent) Info(string, ...interface{})  {}
func (silent) Warn(string, ...interface{})  {}
func (silent) Error(string, ...interface{}) {}

// TestMain fails the run when a test left a log open.
func TestMain(m *testing.M) {
	logger.SetLogger(silent{})
	code := m.Run()
	if _, partitions := bulkhead.LiveHandles(); partitions != 0 {
		fmt.Printf("FAIL: %d partitions were left open\n", partitions)
		code = 1
	}
	if err := cubefs.CloseSharedEngine(); err != nil {
		fmt.Println("FAIL:", err)
		code = 1
	}
	os.Exit(code)
}

// reset forgets the policy, and collects warnings.
func reset(t *testing.T) *warnings {
	t.Helper()
	current.mu.Lock()
	current.policy, current.set, current.name, current.err = Policy{}, false, "", nil
	current.mu.Unlock()
	w := &warnings{}
	OnWarning(w.add)
	t.Cleanup(func() { OnWarning(nil) })
	return w
}

type warnings struct {
	mu   sync.Mutex
	list []string
}

func (w *warnings) add(text string) {
	w.mu.Lock()
	w.list = append(w.list, text)
	w.mu.Unlock()
}

func (w *warnings) all() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.list, "\n")
}

func set(t *testing.T, p Policy) {
	t.Helper()
	if err := SetPolicy(p); err != nil {
		t.Fatal(err)
	}
}

// openGroup opens as raftstore does.
func openGroup(t *testing.T, dir string, id uint64) storage.Storage {
	t.Helper()
	s, err := registry.NewStorage(dir, &wal.Config{}, registry.Group{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// engineOf tells who keeps a log.
func engineOf(s storage.Storage) string {
	switch s.(type) {
	case *nativeLog:
		return "cubefs"
	case *shadow.Storage:
		return "cubefs with a shadow"
	default:
		return "bulkhead"
	}
}

func fill(t *testing.T, s storage.Storage) {
	t.Helper()
	if err := s.StoreEntries([]*proto.Entry{{Index: 1, Term: 1, Data: []byte("x")}}); err != nil {
		t.Fatal(err)
	}
}

// TestChoice: without a policy nothing changes; with one only empty directories
// do, and a directory that is somebody's stays his, whatever the policy says.
func TestChoice(t *testing.T) {
	reset(t)
	parent := t.TempDir()
	dir := func(id uint64) string { return filepath.Join(parent, fmt.Sprintf("wal_%d", id)) }
	expect := func(id uint64, want string) {
		t.Helper()
		s := openGroup(t, dir(id), id)
		if got := engineOf(s); got != want {
			t.Errorf("group %d is kept by %s, want %s", id, got, want)
		}
		fillOnce(t, s)
		s.Close()
	}
	expect(1, "cubefs")
	set(t, Policy{Enabled: true, Share: Share{Partitions: []uint64{1, 2}}})
	expect(1, "cubefs") // it has a log
	expect(2, "bulkhead")
	expect(3, "cubefs")
	set(t, Policy{Enabled: false, Share: Share{Partitions: []uint64{2, 4}}})
	expect(2, "bulkhead") // it has a log
	expect(4, "cubefs")
	set(t, Policy{Enabled: true, Share: Share{Percent: 100}})
	expect(4, "cubefs")
	expect(5, "bulkhead")
	set(t, Policy{Enabled: true, Shadow: Share{Percent: 100}})
	expect(1, "cubefs with a shadow")
	expect(5, "bulkhead")
	expect(6, "cubefs with a shadow")
	set(t, Policy{Shadow: Share{Percent: 100}})
	expect(6, "cubefs")
	shadowsGone(t)
}

// shadowsGone waits for the shadows of logs that are closed.
func shadowsGone(t *testing.T) {
	t.Helper()
	eventually(t, func() bool { reports, _ := shadow.Reports(); return len(reports) == 0 })
}

func fillOnce(t *testing.T, s storage.Storage) {
	t.Helper()
	if last, err := s.LastIndex(); err != nil {
		t.Fatal(err)
	} else if last == 0 {
		fill(t, s)
	}
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in 20 s")
		}
	}
}

// TestShare: a rollout in steps must never take a group back, and must spread
// evenly; and no release may choose others.
func TestShare(t *testing.T) {
	chosen := make(map[uint64]bool)
	for _, percent := range []float64{0, 0.5, 1, 10, 50, 99, 100} {
		count := 0
		p := Policy{Enabled: true, Share: Share{Percent: percent}}
		for id := uint64(1); id <= 20000; id++ {
			selected := p.Selects(id)
			if chosen[id] && !selected {
				t.Fatalf("group %d is taken back at %v %%", id, percent)
			}
			if selected {
				chosen[id] = true
				count++
			}
		}
		if want := percent * 200; float64(count) < want*0.85-5 || float64(count) > want*1.15+5 {
			t.Errorf("%v %% are %d of 20000", percent, count)
		}
	}
	for id, want := range map[uint64]float64{1: 4.8, 2: 51.13, 1000: 65.76} {
		if got := place(id); got != want {
			t.Errorf("group %d is at %v, it was at %v", id, got, want)
		}
	}
}

// TestPolicyFile: an operator changes the file while the server runs; a mistake in
// it changes nothing, and is said.
func TestPolicyFile(t *testing.T) {
	warned := reset(t)
	file := filepath.Join(t.TempDir(), "policy.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := os.Getenv(PolicyVariable)
	t.Cleanup(func() { os.Setenv(PolicyVariable, before) })
	os.Setenv(PolicyVariable, file)
	if _, err := CurrentPolicy(); !os.IsNotExist(err) || !strings.Contains(warned.all(), file) {
		t.Errorf("a missing file: %v, warned: %s", err, warned.all())
	}
	write(`{"enabled": true, "percent": 5, "shadow": {"partitions": [9]}, "bring_back": "by call"}`)
	p, err := CurrentPolicy()
	if err != nil || !p.Enabled || p.Percent != 5 || !p.Shadows(9) || p.BringBack != byCall {
		t.Errorf("%+v, %v", p, err)
	}
	for _, mistake := range []string{`{"enabled": true, "percent": 500}`, `{"enable": true}`, `{"mode": "fast"}`, `{"enabled"`, `{} {}`, ``,
		`{"bring_back": "never"}`, `{"shadow": {"percent": -1}}`} {
		write(mistake)
		if p, err := CurrentPolicy(); err == nil || p.Percent != 5 {
			t.Errorf("%s: %+v, %v", mistake, p, err)
		}
	}
	write(`{"enabled": true, "percent": 50}`)
	if p, err := CurrentPolicy(); err != nil || p.Percent != 50 {
		t.Errorf("%+v, %v", p, err)
	}
	// One that was away for a moment, and comes back as it was, is as good as before.
	away := file + ".away"
	for _, step := range []struct{ from, to string }{{file, away}, {away, file}} {
		if err := os.Rename(step.from, step.to); err != nil {
			t.Fatal(err)
		}
		p, err := CurrentPolicy()
		if (err != nil) != (step.to == away) || p.Percent != 50 {
			t.Errorf("moved to %s: %+v, %v", step.to, p, err)
		}
	}
	os.Setenv(PolicyVariable, ` {"enabled": true, "percent": 70}`)
	if p, err := CurrentPolicy(); err != nil || p.Percent != 70 {
		t.Errorf("from the variable itself: %+v, %v", p, err)
	}
}

// TestOpenWithABadPolicy: a mistake in the policy must not keep a restarting
// server from its logs, whoever keeps them; new ones are CubeFS's then.
func TestOpenWithABadPolicy(t *testing.T) {
	reset(t)
	parent := t.TempDir()
	dir := func(name string) string { return filepath.Join(parent, name+"_1") }
	set(t, Policy{Enabled: true, Share: Share{Percent: 100}})
	s := openGroup(t, dir("bulkhead"), 1)
	fill(t, s)
	s.Close()
	set(t, Policy{})
	s = openGroup(t, dir("cubefs"), 1)
	fill(t, s)
	s.Close()
	warned := reset(t) // a new process
	before := os.Getenv(PolicyVariable)
	t.Cleanup(func() { os.Setenv(PolicyVariable, before) })
	os.Setenv(PolicyVariable, `{"enabled": true, "percnt": 100}`)
	for name, want := range map[string]string{"bulkhead": "bulkhead", "cubefs": "cubefs", "new": "cubefs"} {
		s := openGroup(t, dir(name), 1)
		if got := engineOf(s); got != want {
			t.Errorf("%s is kept by %s", name, got)
		}
		s.Close()
	}
	if n := strings.Count(warned.all(), "percnt"); n != 1 {
		t.Errorf("warned %d times: %s", n, warned.all())
	}
}

// TestBackendErrors: an error is returned, as raftstore expects, and never as a
// storage that is nil in an interface that is not.
func TestBackendErrors(t *testing.T) {
	reset(t)
	set(t, Policy{Enabled: true, Share: Share{Percent: 100}})
	missing := filepath.Join(t.TempDir(), "removed", "wal_1")
	if s, err := registry.NewStorage(missing, &wal.Config{}, registry.Group{ID: 1}); err == nil || s != nil {
		t.Errorf("%v, %v", s, err)
	}
	if _, err := os.Stat(filepath.Dir(missing)); !os.IsNotExist(err) {
		t.Error("the directory above was made")
	}
	file := filepath.Join(t.TempDir(), "wal_2")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := registry.NewStorage(file, &wal.Config{}, registry.Group{ID: 2}); err == nil || s != nil {
		t.Errorf("%v, %v", s, err)
	}
}

// TestAppliedIndex: on a datanode a log that ends before what is applied is
// damage; on a metanode it is legal after a crash in a snapshot.
func TestAppliedIndex(t *testing.T) {
	reset(t)
	set(t, Policy{Enabled: true, Share: Share{Percent: 100}})
	parent := t.TempDir()
	dir := filepath.Join(parent, "wal_1")
	s := openGroup(t, dir, 1)
	fill(t, s)
	s.Close()
	if s, err := registry.NewStorage(dir, &wal.Config{}, registry.Group{ID: 1, Applied: 5, WalPath: parent}); err == nil {
		s.Close()
		t.Error("a datanode's log that ends at 1 was opened with 5 applied")
	}
	s, err := registry.NewStorage(dir, &wal.Config{}, registry.Group{ID: 1, Applied: 5})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

func call(method, path, body string) (int, string) {
	w := httptest.NewRecorder()
	http.DefaultServeMux.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, w.Body.String()
}

// TestPendingSnapshotIsShown: which replica waits for a snapshot.
func TestPendingSnapshotIsShown(t *testing.T) {
	reset(t)
	set(t, Policy{Enabled: true, Share: Share{Percent: 100}})
	dir := filepath.Join(t.TempDir(), "wal_13")
	s := openGroup(t, dir, 13)
	shown := func(want bool) {
		t.Helper()
		if _, text := call("GET", "/bulkhead/groups", ""); strings.Contains(text, `"snapshot_pending": true`) != want {
			t.Errorf("want %v: %s", want, text)
		}
	}
	grow(t, s, 1, 20)
	shown(false)
	if err := s.ApplySnapshot(proto.SnapshotMeta{}); err != nil {
		t.Fatal(err)
	}
	shown(true)
	s.Close()
	s = openGroup(t, dir, 13)
	defer s.Close()
	shown(true)
	if err := s.ApplySnapshot(proto.SnapshotMeta{Index: 50, Term: 3}); err != nil {
		t.Fatal(err)
	}
	shown(false)
}

// TestCalls: what an operator can ask and set through the server's port.
func TestCalls(t *testing.T) {
	reset(t)
	if code, text := call("POST", "/bulkhead/policy", `{"enabled": true, "percent": 101}`); code != http.StatusBadRequest || !strings.Contains(text, "between 0 and 100") {
		t.Errorf("%d: %s", code, text)
	}
	if code, text := call("POST", "/bulkhead/policy", `{"enabled": true, "percent": 100}`); code != http.StatusOK {
		t.Errorf("%d: %s", code, text)
	}
	if code, text := call("GET", "/bulkhead/policy", ""); code != http.StatusOK || !strings.Contains(text, `"percent": 100`) {
		t.Errorf("%d: %s", code, text)
	}
	s := openGroup(t, filepath.Join(t.TempDir(), "wal_12"), 12)
	defer s.Close()
	fill(t, s)
	if code, text := call("GET", "/bulkhead/groups", ""); code != http.StatusOK || !strings.Contains(text, `"id": 12`) || !strings.Contains(text, "ReadWrite") {
		t.Errorf("%d: %s", code, text)
	}
	for path, want := range map[string]int{
		"GET /bulkhead/bringBack?id=12": http.StatusMethodNotAllowed, "POST /bulkhead/bringBack?id=12": http.StatusConflict,
		"POST /bulkhead/bringBack?id=x": http.StatusBadRequest, "POST /bulkhead/clearShadow?id=12": http.StatusConflict,
	} {
		parts := strings.SplitN(path, " ", 2)
		if code, text := call(parts[0], parts[1], ""); code != want {
			t.Errorf("%s: %d: %s", path, code, text)
		}
	}
}
