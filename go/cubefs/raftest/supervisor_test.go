package raftest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/supervisor"
	"github.com/bulkhead-wal/bulkhead/go/internal/baddisk"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage/wal"
)

// history collects the events of one supervisor per node.
type history struct {
	mu     sync.Mutex
	events map[uint64][]supervisor.Event // by node
}

func (h *history) add(node uint64, e supervisor.Event) {
	h.mu.Lock()
	h.events[node] = append(h.events[node], e)
	h.mu.Unlock()
}

func (h *history) find(node uint64, kind supervisor.Kind) (supervisor.Event, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events[node] {
		if e.Kind == kind {
			return e, true
		}
	}
	return supervisor.Event{}, false
}

// supervised is a cluster whose nodes have a supervisor each, over an engine that
// does not heal: a fault stays until the log is opened again.
type supervised struct {
	*Cluster
	history *history
	by      map[uint64]*supervisor.Supervisor
	sick    *int32 // set: the disks are slow
}

func startSupervised(t *testing.T, groups int, options supervisor.Options) *supervised {
	t.Helper()
	return startSupervisedOn(t, deafEngine(t), groups, options)
}

func startSupervisedOn(t *testing.T, engine *bulkhead.Engine, groups int, options supervisor.Options) *supervised {
	t.Helper()
	s := &supervised{history: &history{events: make(map[uint64][]supervisor.Event)}, by: make(map[uint64]*supervisor.Supervisor), sick: new(int32)}
	for id := uint64(1); id <= 3; id++ {
		id := id
		o := options
		o.OnEvent = func(e supervisor.Event) { s.history.add(id, e) }
		s.by[id] = supervisor.New(o)
	}
	s.Cluster = start(t, Config{Groups: groups, OpenOn: func(n *Node, group uint64, dir string, applied uint64) (storage.Storage, error) {
		config := cubefs.Config{Engine: engine, AppliedIndex: applied, PartitionID: group}
		opened, err := s.by[n.ID].Open(dir, config, supervisor.Group{ID: group, Server: n.Server(), StateMachine: n.Machine(group),
			Owner: &supervisor.Direct{Server: n.Server(), ID: group, Dir: dir, Restart: func() error { return n.StartGroup(group) }}})
		if err != nil {
			return nil, err
		}
		return slow{opened, s.sick}, nil
	}})
	return s
}

// slow is a log whose disk takes its time with every write once it is told to, as
// one that is about to fail does: proposals queue up meanwhile.
type slow struct {
	storage.Storage
	sick *int32
}

func (s slow) StoreEntries(entries []*proto.Entry) error {
	if atomic.LoadInt32(s.sick) != 0 {
		time.Sleep(200 * time.Millisecond)
	}
	return s.Storage.StoreEntries(entries)
}

// deafEngine opens an engine that lets every fault through.
func deafEngine(t *testing.T) *bulkhead.Engine {
	t.Helper()
	engine, err := bulkhead.Open(bulkhead.EngineConfig{HealLimit: bulkhead.Never, IdleCheck: bulkhead.Never, SpaceWait: bulkhead.Never, Probe: bulkhead.Never})
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

// startNative is a cluster over CubeFS's own WAL.
func startNative(t *testing.T, groups int) (c *Cluster, sick *int32) {
	t.Helper()
	sick = new(int32)
	return start(t, Config{Groups: groups, Open: func(_, _ uint64, dir string, _ uint64) (storage.Storage, error) {
		opened, err := wal.NewStorage(dir, &wal.Config{})
		if err != nil {
			return nil, err
		}
		return slow{opened, sick}, nil
	}}), sick
}

// breakLog makes the open files of a group's log fail.
func breakLog(t *testing.T, n *Node, group uint64) {
	t.Helper()
	n.Machine(group).Persist()
	disk, err := baddisk.Break(n.Dir(group))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(disk.End)
}

// burst proposes count commands at once to one node, and counts what comes of
// them within a time.
func burst(n *Node, group uint64, count int, limit time.Duration) (applied, failed, unanswered int) {
	type outcome struct{ ok, failed bool }
	outcomes := make(chan outcome, count)
	deadline := time.Now().Add(limit)
	for i := 0; i < count; i++ {
		go func(i int) {
			answers, errs := n.Server().Submit(group, []byte(fmt.Sprintf("burst %d", i))).AsyncResponse()
			timer := time.NewTimer(time.Until(deadline))
			defer timer.Stop()
			select {
			case <-answers:
				outcomes <- outcome{ok: true}
			case <-errs:
				outcomes <- outcome{failed: true}
			case <-timer.C:
				outcomes <- outcome{}
			}
		}(i)
	}
	for i := 0; i < count; i++ {
		switch o := <-outcomes; {
		case o.ok:
			applied++
		case o.failed:
			failed++
		default:
			unanswered++
		}
	}
	return applied, failed, unanswered
}

// TestSupervisorOfALeader: a leader whose log fails must stop acknowledging, be
// followed by another, answer what it had pending, say how many proposals raft
// never answers, and come back by itself.
func TestSupervisorOfALeader(t *testing.T) {
	const few, hit = 4, uint64(2)
	c := startSupervised(t, few, supervisor.Options{FirstDelay: 2 * time.Second})
	groups := numbers(few)
	proposeAll(t, c.Cluster, groups, 10)
	agree(t, c.Cluster, groups, 10)
	leader := c.Leader(hit)
	if leader == nil {
		t.Fatal("no leader")
	}
	atomic.StoreInt32(c.sick, 1)
	breakLog(t, leader, hit)

	applied, failed, unanswered := burst(leader, hit, 400, time.Second)
	atomic.StoreInt32(c.sick, 0)
	stopped, ok := c.history.find(leader.ID, supervisor.Stopped)
	if !ok {
		t.Fatalf("the group was not stopped: %d applied, %d failed, %d unanswered", applied, failed, unanswered)
	}
	if unanswered == 0 || stopped.Unanswered != unanswered || applied != 0 || failed+unanswered != 400 {
		t.Errorf("%d proposals are said to be unanswered: %d are, %d failed, %d were applied", stopped.Unanswered, unanswered, failed, applied)
	}
	t.Logf("of 400 proposals %d were answered, %d are left in propc", failed, unanswered)
	if fault, ok := c.history.find(leader.ID, supervisor.Faulted); !ok || fault.Fault.Cause != bulkhead.CauseIOError {
		t.Errorf("the fault was not told: %+v", fault)
	}
	eventually(t, "another leads", func() bool { now := c.Leader(hit); return now != nil && now != leader })
	proposeAll(t, c.Cluster, groups, 5) // before the replica is back
	eventually(t, "the group is back", func() bool { _, ok := c.history.find(leader.ID, supervisor.Returned); return ok })
	proposeAll(t, c.Cluster, groups, 5)
	agree(t, c.Cluster, groups, 20)
	if leader.Machine(hit).Fatal() != 0 {
		t.Error("HandleFatalEvent was called: only a datanode survives it")
	}
}

// TestLeaderOnCubeFSsWAL is what the same fault does without: the dead group
// stays registered, nobody is called, and proposals are left without an answer.
func TestLeaderOnCubeFSsWAL(t *testing.T) {
	const hit = uint64(1)
	c, sick := startNative(t, 1)
	proposeAll(t, c, numbers(1), 10)
	agree(t, c, numbers(1), 10)
	leader := c.Leader(hit)
	if leader == nil {
		t.Fatal("no leader")
	}
	atomic.StoreInt32(sick, 1)
	breakLog(t, leader, hit)
	applied, failed, unanswered := burst(leader, hit, 400, 2*time.Second)
	t.Logf("of 400 proposals %d were answered, %d applied, %d are left in propc", failed, applied, unanswered)
	if unanswered == 0 || leader.Server().FirstCommittedIndex(hit) == 0 || leader.Machine(hit).Fatal() != 0 {
		t.Error("CubeFS's raft does something about a dead group by now: see what, and use it")
	}
}

// TestTwoOfThree: without a majority the survivor must say so, not leave its
// callers waiting, and the group must go on by itself once one replica is back.
func TestTwoOfThree(t *testing.T) {
	const hit = uint64(1)
	c := startSupervised(t, 1, supervisor.Options{ByCall: true})
	proposeAll(t, c.Cluster, numbers(1), 10)
	agree(t, c.Cluster, numbers(1), 10)
	survivor := c.Leader(hit)
	if survivor == nil {
		t.Fatal("no leader")
	}
	var down []*Node
	for _, n := range c.Nodes() {
		if n != survivor {
			breakLog(t, n, hit)
			down = append(down, n)
		}
	}
	_, failed, unanswered := burst(survivor, hit, 50, 5*time.Second)
	if unanswered != 0 || failed != 50 {
		t.Errorf("of 50 proposals without a majority %d failed and %d were left without an answer", failed, unanswered)
	}
	for _, n := range down {
		n := n
		eventually(t, "the group is stopped", func() bool { _, ok := c.history.find(n.ID, supervisor.Stopped); return ok })
	}
	if survivor.Server().IsLeader(hit) {
		t.Error("the survivor still calls itself the leader")
	}
	if err := c.Propose(hit, []byte("x"), time.Second); err == nil {
		t.Error("a proposal went through without a majority")
	}
	if err := c.by[down[0].ID].BringBack(hit); err != nil {
		t.Fatal(err)
	}
	proposeAll(t, c.Cluster, numbers(1), 10)
	if err := c.by[down[1].ID].BringBack(hit); err != nil {
		t.Fatal(err)
	}
	proposeAll(t, c.Cluster, numbers(1), 5)
	agree(t, c.Cluster, numbers(1), 25)
}

// TestDeadLogOfAnIdleFollower: nobody writes, so raft does not notice that a follower's log
// is dead, and acknowledges heartbeats for it. The group must be stopped all the same,
// within a second; the others, and the same node's other group, are not concerned.
func TestDeadLogOfAnIdleFollower(t *testing.T) {
	const hit, other = uint64(1), uint64(2)
	engine, err := bulkhead.Open(bulkhead.EngineConfig{HealLimit: bulkhead.Never, Probe: bulkhead.Never})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	c := startSupervisedOn(t, engine, 2, supervisor.Options{ByCall: true})
	proposeAll(t, c.Cluster, numbers(2), 10)
	agree(t, c.Cluster, numbers(2), 10)
	leader := c.Leader(hit)
	if leader == nil {
		t.Fatal("no leader")
	}
	follower := c.Node(leader.ID%3 + 1)
	time.Sleep(3 * time.Second) // the last mark of an idle log would find it, too
	breakLog(t, follower, hit)
	began := time.Now()
	eventually(t, "the group is stopped", func() bool { _, ok := c.history.find(follower.ID, supervisor.Stopped); return ok })
	if took := time.Since(began); took > 2*time.Second { // a second is asked of a machine that is not busy
		t.Errorf("it was stopped after %v", took)
	}
	if e, _ := c.history.find(follower.ID, supervisor.Faulted); e.Fault.Cause != bulkhead.CauseIOError {
		t.Errorf("told: %v", e)
	}
	if follower.Server().FirstCommittedIndex(hit) != 0 {
		t.Error("the group is registered")
	}
	proposeAll(t, c.Cluster, numbers(2), 10)
	if err := c.by[follower.ID].BringBack(hit); err != nil {
		t.Fatal(err)
	}
	agree(t, c.Cluster, numbers(2), 20)
	for _, n := range c.Nodes() {
		if e, ok := c.history.find(n.ID, supervisor.Stopped); ok && (n != follower || e.ID == other) {
			t.Errorf("node %d: %v", n.ID, e)
		}
	}
}

// TestTwoOfThreeOnCubeFSsWAL is what it does without: the dead replicas go on
// acknowledging heartbeats, the leader keeps its callers waiting.
func TestTwoOfThreeOnCubeFSsWAL(t *testing.T) {
	const hit = uint64(1)
	c, _ := startNative(t, 1)
	proposeAll(t, c, numbers(1), 10)
	agree(t, c, numbers(1), 10)
	survivor := c.Leader(hit)
	if survivor == nil {
		t.Fatal("no leader")
	}
	for _, n := range c.Nodes() {
		if n != survivor {
			breakLog(t, n, hit)
		}
	}
	_, failed, unanswered := burst(survivor, hit, 50, 3*time.Second)
	t.Logf("of 50 proposals without a majority %d failed, %d have no answer after 3 s; it leads: %v", failed, unanswered, survivor.Server().IsLeader(hit))
	if unanswered == 0 {
		t.Error("CubeFS's raft notices the loss of the majority by now: see how, and use it")
	}
}

// TestPinnedLog: a replica that is down makes the others keep their logs; how much
// must be seen on its leader.
func TestPinnedLog(t *testing.T) {
	const hit = uint64(1)
	c := startSupervised(t, 1, supervisor.Options{ByCall: true})
	proposeAll(t, c.Cluster, numbers(1), 10)
	agree(t, c.Cluster, numbers(1), 10)
	leader := c.Leader(hit)
	if leader == nil {
		t.Fatal("no leader")
	}
	sick := c.Node(leader.ID%3 + 1)
	breakLog(t, sick, hit)
	proposeAll(t, c.Cluster, numbers(1), 50)
	eventually(t, "the group is stopped", func() bool { _, ok := c.history.find(sick.ID, supervisor.Stopped); return ok })
	if leader = c.Leader(hit); leader == nil {
		t.Fatal("no leader")
	}
	report := c.by[leader.ID].Report()
	if len(report) != 1 || len(report[0].Pins) == 0 {
		t.Fatalf("nothing is pinned: %+v", report)
	}
	pin := report[0].Pins[0]
	if pin.Node != sick.ID || pin.Entries < 50 || pin.Entries > 60 || pin.Bytes == 0 || report[0].LogBytes < pin.Bytes {
		t.Errorf("pinned: %+v of %+v", pin, report[0])
	}
	time.Sleep(10 * tick)
	if pins := c.by[leader.ID].Report()[0].Pins; len(pins) == 0 || pins[0].Active || pins[0].SilentSeconds < (5*tick).Seconds() {
		t.Errorf("the replica counts as alive: %+v", pins)
	}
	own := c.by[sick.ID].Report()
	if len(own) != 1 || own[0].State != "Stopped" || own[0].Fault == "" || own[0].DownSeconds <= 0 {
		t.Errorf("the sick one's own report: %+v", own)
	}
	if err := c.by[sick.ID].BringBack(hit); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing is pinned", func() bool {
		now := c.Leader(hit)
		return now != nil && len(c.by[now.ID].Report()[0].Pins) == 0
	})
}

// TestOrderlyStopIsNoFault: a group that its owner stops is not brought back.
func TestOrderlyStopIsNoFault(t *testing.T) {
	c := startSupervised(t, 1, supervisor.Options{FirstDelay: 50 * time.Millisecond})
	proposeAll(t, c.Cluster, numbers(1), 5)
	if err := c.Node(1).StopGroup(1); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if c.Node(1).Server().FirstCommittedIndex(1) != 0 || len(c.history.events[1]) != 0 {
		t.Errorf("the group came back: %v", c.history.events[1])
	}
	if err := c.by[1].BringBack(1); err == nil {
		t.Error("a group that its owner stopped can be brought back")
	}
}
