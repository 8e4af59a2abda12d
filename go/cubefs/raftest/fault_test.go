package raftest

import (
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/bulkhead-wal/bulkhead/go/internal/baddisk"
)

// faults collects what OnFault is told.
type faults struct {
	mu   sync.Mutex
	list []cubefs.Fault
	node []uint64
}

func (f *faults) add(node uint64, fault cubefs.Fault) {
	f.mu.Lock()
	f.list, f.node = append(f.list, fault), append(f.node, node)
	f.mu.Unlock()
}

func (f *faults) all() ([]uint64, []cubefs.Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]uint64(nil), f.node...), append([]cubefs.Fault(nil), f.list...)
}

// TestFaultOfOneGroup: when the disk under one group's log fails on its leader,
// the owner must be told, that group must go on with the other two nodes, and no
// other group may notice. Then the log is opened again and the replica catches up.
func TestFaultOfOneGroup(t *testing.T) {
	var told faults
	// A disk that is really gone is not healed; this one would be.
	engine, err := bulkhead.Open(bulkhead.EngineConfig{HealLimit: bulkhead.Never, IdleCheck: bulkhead.Never, SpaceWait: bulkhead.Never, Probe: bulkhead.Never})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	c := start(t, Config{Groups: manyGroups, Open: storageIn(engine, bulkhead.ModeSync, told.add)})
	groups := numbers(manyGroups)
	proposeAll(t, c, groups, 10)
	agree(t, c, groups, 10)

	const hit = uint64(5)
	leader := c.Leader(hit)
	if leader == nil {
		t.Fatal("no leader")
	}
	leader.Machine(hit).Persist()
	disk, err := baddisk.Break(leader.Dir(hit))
	if err != nil {
		t.Fatal(err)
	}
	defer disk.End()
	t.Logf("EIO injected into %d open files of one log", disk.Files)

	proposeAll(t, c, groups, 10)
	eventually(t, "the owner is told", func() bool { _, list := told.all(); return len(list) > 0 })
	time.Sleep(50 * time.Millisecond) // for others that should not be told
	checkFault(t, &told, leader, hit)
	for _, g := range groups {
		if g == hit {
			continue
		}
		if s, ok := leader.Storage(g).(*cubefs.Storage); ok {
			status, err := s.Partition().Status()
			if err != nil || status.State != bulkhead.StateReadWrite {
				t.Errorf("group %d on the same node: %v, %v", g, status.State, err)
			}
		}
	}

	// What a supervisor does: unregister the dead group, open its log again.
	if err := leader.StopGroup(hit); err != nil {
		t.Fatal(err)
	}
	if err := leader.StartGroup(hit); err != nil {
		t.Fatal(err)
	}
	proposeAll(t, c, groups, 5)
	agree(t, c, groups, 25)
}

// TestTransientFaultOfOneGroup: the files of one leader's log fail, and new ones
// work, as with a bad block. Raft does not notice, and no owner is told.
func TestTransientFaultOfOneGroup(t *testing.T) {
	const few = 8
	c := start(t, Config{Groups: few, Open: bulkheadStorage(bulkhead.ModeSync, noFault(t))})
	groups := numbers(few)
	proposeAll(t, c, groups, 10)
	agree(t, c, groups, 10)
	const hit = uint64(1)
	leader := c.Leader(hit)
	if leader == nil {
		t.Fatal("no leader")
	}
	disk, err := baddisk.Break(leader.Dir(hit))
	if err != nil {
		t.Fatal(err)
	}
	defer disk.End()
	proposeAll(t, c, groups, 10)
	agree(t, c, groups, 20)
	if now := c.Leader(hit); now != leader {
		t.Errorf("the group has another leader: %v", now)
	}
	s, ok := leader.Storage(hit).(*cubefs.Storage)
	if !ok {
		t.Fatal("another storage")
	}
	if status, err := s.Partition().Status(); err != nil || status.State != bulkhead.StateReadWrite || status.Heals == 0 {
		t.Errorf("%v, %v: %d faults healed", status.State, err, status.Heals)
	}
}

func checkFault(t *testing.T, told *faults, leader *Node, hit uint64) {
	t.Helper()
	nodes, list := told.all()
	if len(list) != 1 {
		t.Fatalf("%d faults were told, want 1: %+v", len(list), list)
	}
	f := list[0]
	if nodes[0] != leader.ID || f.Partition != hit || f.Dir != leader.Dir(hit) {
		t.Errorf("the fault is of node %d, group %d in %s", nodes[0], f.Partition, f.Dir)
	}
	if f.State != bulkhead.StateUnavailable || f.Cause != bulkhead.CauseIOError || f.Errno != syscall.EIO {
		t.Errorf("state %v, cause %v, errno %v", f.State, f.Cause, f.Errno)
	}
	if !errors.Is(f.Err, syscall.EIO) || strings.Count(f.Err.Error(), syscall.EIO.Error()) != 1 {
		t.Errorf("CubeFS would not take this for a failed disk: %v", f.Err)
	}
}
