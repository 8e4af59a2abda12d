package raftest

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/logger"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
)

// limit is how long anything may take before a test gives up.
const limit = 20 * time.Second

// silent keeps raft's debug lines out of the test output.
type silent struct{}

func (silent) IsEnableDebug() bool          { return false }
func (silent) IsEnableInfo() bool           { return false }
func (silent) IsEnableWarn() bool           { return false }
func (silent) Debug(string, ...interface{}) {}
func (silent) Info(string, ...interface{})  {}
func (silent) Warn(string, ...interface{})  {}
func (silent) Error(string, ...interface{}) {}

// TestMain fails the run when raft or the adapter left a log open.
func TestMain(m *testing.M) {
	logger.SetLogger(silent{})
	code := m.Run()
	if _, partitions := bulkhead.LiveHandles(); partitions != 0 {
		fmt.Printf("FAIL: %d partitions were left open\n", partitions)
		code = 1
	}
	if err := cubefs.CloseSharedEngine(); err != nil {
		fmt.Printf("FAIL: closing the engine: %v\n", err)
		code = 1
	}
	os.Exit(code)
}

// bulkheadStorage opens logs in the shared engine. All nodes of a cluster use it,
// so that it holds several partitions of the same id.
func bulkheadStorage(mode bulkhead.Mode, onFault func(node uint64, f cubefs.Fault)) OpenStorage {
	return storageIn(nil, mode, onFault)
}

// storageIn opens logs in an engine; nil is the shared one.
func storageIn(engine *bulkhead.Engine, mode bulkhead.Mode, onFault func(node uint64, f cubefs.Fault)) OpenStorage {
	return func(node, group uint64, dir string, applied uint64) (storage.Storage, error) {
		s, err := cubefs.NewStorage(dir, &cubefs.Config{
			Engine: engine, Mode: mode, AppliedIndex: applied, PartitionID: group,
			OnFault: func(f cubefs.Fault) { onFault(node, f) },
		})
		if err != nil {
			return nil, err // not s: a nil *Storage in an interface is not nil
		}
		return s, nil
	}
}

// noFault fails the test when any log meets a fault.
func noFault(t *testing.T) func(node uint64, f cubefs.Fault) {
	return func(node uint64, f cubefs.Fault) { t.Errorf("node %d: %+v", node, f) }
}

func start(t *testing.T, config Config) *Cluster {
	t.Helper()
	config.Dir = t.TempDir()
	config.Nodes = 3
	config.RetainLogs = 10
	c, err := Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c
}

// proposeAll proposes count commands to each group of a list, groups in parallel.
func proposeAll(t *testing.T, c *Cluster, groups []uint64, count int) {
	t.Helper()
	var wg sync.WaitGroup
	for _, g := range groups {
		wg.Add(1)
		go func(g uint64) {
			defer wg.Done()
			for i := 0; i < count; i++ {
				if err := c.Propose(g, []byte(fmt.Sprintf("command %d of group %d", i, g)), limit); err != nil {
					t.Errorf("group %d, command %d: %v", g, i, err)
					return
				}
			}
		}(g)
	}
	wg.Wait()
}

func numbers(n uint64) []uint64 {
	var out []uint64
	for i := uint64(1); i <= n; i++ {
		out = append(out, i)
	}
	return out
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in %v: %s", limit, what)
		}
	}
}

// agree waits until all nodes have applied the same, at least count commands.
func agree(t *testing.T, c *Cluster, groups []uint64, count uint64) {
	t.Helper()
	for _, g := range groups {
		eventually(t, fmt.Sprintf("the nodes agree on group %d", g), func() bool {
			first := c.Node(1).Machine(g).Digest()
			for _, n := range c.Nodes() {
				if d := n.Machine(g).Digest(); d != first || d.Commands < count {
					return false
				}
			}
			return true
		})
	}
}
