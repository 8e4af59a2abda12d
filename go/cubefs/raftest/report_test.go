package raftest

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/supervisor"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
)

// hanging is a log whose disk hangs on one node: its raft loops answer nobody.
type hanging struct {
	storage.Storage
	node uint64
	sick *uint64 // the node
	free chan struct{}
}

func (h hanging) StoreEntries(entries []*proto.Entry) error {
	if atomic.LoadUint64(h.sick) == h.node {
		<-h.free
	}
	return h.Storage.StoreEntries(entries)
}

// TestReportOfHangingLeaders: a report must come back also if several leaders do not
// answer, which is when it is asked for.
func TestReportOfHangingLeaders(t *testing.T) {
	const few = 7 // on three nodes: one leads three at least
	engine, sick, free := deafEngine(t), new(uint64), make(chan struct{})
	by := make(map[uint64]*supervisor.Supervisor)
	for id := uint64(1); id <= 3; id++ {
		by[id] = supervisor.New(supervisor.Options{})
	}
	c := start(t, Config{Groups: few, OpenOn: func(n *Node, group uint64, dir string, _ uint64) (storage.Storage, error) {
		s, err := by[n.ID].Open(dir, cubefs.Config{Engine: engine, PartitionID: group}, supervisor.Group{ID: group, Server: n.Server(), StateMachine: n.Machine(group)})
		if err != nil {
			return nil, err
		}
		return hanging{s, n.ID, sick, free}, nil
	}})
	proposeAll(t, c, numbers(few), 3)
	agree(t, c, numbers(few), 3)
	leads := make(map[*Node][]uint64)
	var busiest *Node
	for _, g := range numbers(few) {
		n := c.Leader(g)
		if leads[n] = append(leads[n], g); n != nil && len(leads[n]) > len(leads[busiest]) {
			busiest = n
		}
	}
	if len(leads[busiest]) < 2 {
		t.Fatalf("no node leads two groups: %v", leads)
	}
	atomic.StoreUint64(sick, busiest.ID)
	defer close(free)
	defer atomic.StoreUint64(sick, 0)
	for _, g := range leads[busiest] {
		busiest.Server().Submit(g, []byte("x"))
	}
	time.Sleep(tick)
	reported := make(chan int, 1)
	go func() { reported <- len(by[busiest.ID].Report()) }()
	select {
	case groups := <-reported:
		if groups != few {
			t.Errorf("%d groups of %d were reported", groups, few)
		}
	case <-time.After(5 * time.Second):
		t.Error("no report after 5 s")
	}
}
