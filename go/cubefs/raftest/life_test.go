package raftest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/supervisor"
	"github.com/cubefs/cubefs/depends/tiglabs/raft"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
)

// loader opens a group's log on a node and makes its group in two steps, as
// raftstore.CreatePartition does. Like that it does not close a log of which no
// group was made.
type loader struct {
	n      *Node
	sup    *supervisor.Supervisor
	engine *bulkhead.Engine
	mu     sync.Mutex
	events []supervisor.Event
	ending int32 // set: raft gives up at the next write, and the log knows nothing of it
	// restart is what the owner does: load, if no test says otherwise
	restart func() error
}

// endable is a log in front of which an error can arise.
type endable struct {
	storage.Storage
	ending *int32
}

func (e endable) StoreEntries(entries []*proto.Entry) error {
	if atomic.CompareAndSwapInt32(e.ending, 1, 0) {
		return errors.New("raft ends for itself")
	}
	return e.Storage.StoreEntries(entries)
}

// unload stops group 1 of a node, for a loader to load it.
func unload(t *testing.T, c *Cluster, engine *bulkhead.Engine) *loader {
	t.Helper()
	l := &loader{n: c.Node(1), engine: engine}
	l.restart = l.load
	l.sup = supervisor.New(supervisor.Options{FirstDelay: 50 * time.Millisecond, OnEvent: l.add})
	if err := l.n.StopGroup(1); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *loader) add(e supervisor.Event) {
	l.mu.Lock()
	l.events = append(l.events, e)
	l.mu.Unlock()
}

func (l *loader) group() supervisor.Group {
	return supervisor.Group{ID: 1, Server: l.n.Server(), StateMachine: l.n.Machine(1),
		Owner: &supervisor.Direct{Server: l.n.Server(), ID: 1, Dir: l.n.Dir(1), Restart: func() error { return l.restart() }}}
}

func (l *loader) open() (storage.Storage, error) {
	return l.sup.Open(l.n.Dir(1), cubefs.Config{Engine: l.engine, PartitionID: 1}, l.group())
}

func (l *loader) create(s storage.Storage) error {
	applied := l.n.Machine(1).restart()
	return l.n.Server().CreateRaft(&raft.RaftConfig{ID: 1, Applied: applied, Peers: []proto.Peer{{ID: 1, PeerID: 1}, {ID: 2, PeerID: 2}, {ID: 3, PeerID: 3}}, Storage: endable{s, &l.ending}, StateMachine: l.n.Machine(1)})
}

func (l *loader) load() error {
	s, err := l.open()
	if err != nil {
		return err
	}
	return l.create(s)
}

func (l *loader) find(kind supervisor.Kind) *supervisor.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.events {
		if l.events[i].Kind == kind {
			return &l.events[i]
		}
	}
	return nil
}

// startPlain is a cluster without a supervisor, with some commands applied.
func startPlain(t *testing.T, engine *bulkhead.Engine) *Cluster {
	t.Helper()
	c := start(t, Config{Groups: 1, Open: storageIn(engine, bulkhead.ModeSync, func(uint64, cubefs.Fault) {})})
	proposeAll(t, c, numbers(1), 30)
	agree(t, c, numbers(1), 30)
	return c
}

// partitionIn finds the open log of a directory.
func partitionIn(t *testing.T, engine *bulkhead.Engine, dir string) *bulkhead.Partition {
	t.Helper()
	for _, p := range engine.Partitions() {
		if p.Path() == dir {
			return p
		}
	}
	t.Fatalf("%s is not open", dir)
	return nil
}

// TestFaultToldLate: an owner's alarm may take its time with a fault. Meanwhile the
// group is stopped by its owner and started again on a good log: that group must not
// be stopped for the fault of the one before.
func TestFaultToldLate(t *testing.T) {
	engine := deafEngine(t)
	c := startPlain(t, engine)
	l := unload(t, c, engine)
	release, once := make(chan struct{}), int32(1)
	l.sup.SetOptions(supervisor.Options{FirstDelay: 50 * time.Millisecond, OnEvent: func(e supervisor.Event) {
		if e.Kind == supervisor.Faulted && atomic.CompareAndSwapInt32(&once, 1, 0) {
			<-release
		}
		l.add(e)
	}})
	if err := l.load(); err != nil {
		t.Fatal(err)
	}
	if err := partitionIn(t, engine, l.n.Dir(1)).Fence(bulkhead.StateUnavailable, "stands for a fault that housekeeping meets"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the fault is on its way to the owner", func() bool { return atomic.LoadInt32(&once) == 0 })
	if err := l.n.StopGroup(1); err != nil {
		t.Fatal(err)
	}
	if err := l.load(); err != nil {
		t.Fatal(err)
	}
	close(release)
	eventually(t, "the fault is told", func() bool { return l.find(supervisor.Faulted) != nil })
	time.Sleep(3 * time.Second) // longer than an owner takes
	if e := l.find(supervisor.Stopped); e != nil {
		t.Errorf("the sound group was stopped: %v", e)
	}
	proposeAll(t, c, numbers(1), 5)
	agree(t, c, numbers(1), 35)
}

// TestTwoLoads: of two loads of a group at the same time the second takes the log away
// from the first, which may have its group made all the same. That group is dead with
// its first write; the owner must hear of it, and it must come back.
func TestTwoLoads(t *testing.T) {
	engine := deafEngine(t)
	c := startPlain(t, engine)
	c.Node(1).Machine(1).Persist() // else the first would read the log while its group is made, and fail
	l := unload(t, c, engine)
	var logs []storage.Storage
	for i := 0; i < 2; i++ {
		s, err := l.open()
		if err != nil {
			t.Fatal(err)
		}
		logs = append(logs, s)
	}
	if err := l.create(logs[0]); err != nil {
		t.Fatal(err)
	}
	if err := l.create(logs[1]); err == nil {
		t.Fatal("the group exists twice")
	}
	proposeAll(t, c, numbers(1), 5)
	eventually(t, "the group is back", func() bool { return l.find(supervisor.Returned) != nil })
	if e := l.find(supervisor.Faulted); e == nil || !errors.Is(e.Fault.Err, bulkhead.ErrClosed) {
		t.Errorf("told: %v", e)
	}
	proposeAll(t, c, numbers(1), 5)
	agree(t, c, numbers(1), 40)
}

// loaded is the owner of one load of a group. Like a data partition it stops nothing if
// its group was not made.
type loaded struct {
	supervisor.Direct
	made int32
}

func (o *loaded) Stop(fault cubefs.Fault, attempt int) {
	if atomic.LoadInt32(&o.made) != 0 {
		o.Direct.Stop(fault, attempt)
	}
}

// openTwice opens a group's log for two loads, each with an owner.
func openTwice(t *testing.T, l *loader) (logs []storage.Storage, owners []*loaded) {
	t.Helper()
	for i := 0; i < 2; i++ {
		owner := &loaded{Direct: supervisor.Direct{Server: l.n.Server(), ID: 1, Dir: l.n.Dir(1), Restart: l.load}}
		s, err := l.sup.Open(l.n.Dir(1), cubefs.Config{Engine: l.engine, PartitionID: 1},
			supervisor.Group{ID: 1, Server: l.n.Server(), StateMachine: l.n.Machine(1), Owner: owner})
		if err != nil {
			t.Fatal(err)
		}
		logs, owners = append(logs, s), append(owners, owner)
	}
	return logs, owners
}

// idleOnNode1 has another node lead, and waits until group 1 has nothing to write on this one:
// loaded again, it would not write at once. 31 commands are applied then.
func idleOnNode1(t *testing.T, c *Cluster) {
	t.Helper()
	eventually(t, "another leads", func() bool { // or the end of this one has the others vote, and this one with them
		leader := c.Leader(1)
		if leader == c.Node(1) {
			if err := leader.StopGroup(1); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * tick)
			if err := leader.StartGroup(1); err != nil {
				t.Fatal(err)
			}
		}
		return leader != nil && leader != c.Node(1)
	})
	proposeAll(t, c, numbers(1), 1)
	agree(t, c, numbers(1), 31)
	time.Sleep(5 * tick) // for the last commit
	c.Node(1).Machine(1).Persist()
}

// TestTwoLoadsOfAnIdleGroup: as above, but nothing is written for a while. Only the owner
// of the first load can stop the group, which must come back without a call.
func TestTwoLoadsOfAnIdleGroup(t *testing.T) {
	engine := deafEngine(t)
	c := startPlain(t, engine)
	idleOnNode1(t, c)
	l := unload(t, c, engine)
	logs, owners := openTwice(t, l)
	if err := l.create(logs[0]); err != nil {
		t.Fatal(err)
	}
	atomic.StoreInt32(&owners[0].made, 1)
	if err := l.create(logs[1]); err == nil {
		t.Fatal("the group exists twice")
	}
	eventually(t, "the group is back", func() bool { return l.find(supervisor.Returned) != nil })
	t.Logf("told: %v", l.find(supervisor.Faulted))
	proposeAll(t, c, numbers(1), 5)
	agree(t, c, numbers(1), 36)
}

// TestSecondLoadEndsForItself: the first load made no group, and that of the second ends
// for itself soon. That looks as if the group ran on the first one's log; the owner who can
// stop it must be called all the same.
func TestSecondLoadEndsForItself(t *testing.T) {
	engine := deafEngine(t)
	c := startPlain(t, engine)
	l := unload(t, c, engine)
	logs, owners := openTwice(t, l)
	atomic.StoreInt32(&owners[1].made, 1)
	atomic.StoreInt32(&l.ending, 1)
	if err := l.create(logs[1]); err != nil {
		t.Fatal(err)
	}
	proposeAll(t, c, numbers(1), 5)
	eventually(t, "the group is back", func() bool { return l.find(supervisor.Returned) != nil })
	proposeAll(t, c, numbers(1), 5)
	agree(t, c, numbers(1), 40)
}

// TestGroupThatIsMadeLate: a log that has failed and of which there is no group is closed
// after a while. A group that is made of it all the same is dead with its first write.
func TestGroupThatIsMadeLate(t *testing.T) {
	engine := deafEngine(t)
	c := startPlain(t, engine)
	c.Node(1).Machine(1).Persist()
	l := unload(t, c, engine)
	s, err := l.open()
	if err != nil {
		t.Fatal(err)
	}
	if err := partitionIn(t, engine, l.n.Dir(1)).Fence(bulkhead.StateUnavailable, "stands for a fault; it waits for a call"); err != nil {
		t.Fatal(err)
	}
	stops := func() uint64 { return l.sup.Totals().Stops }
	eventually(t, "the log is closed", func() bool { return stops() == 1 })
	if err := l.create(s); err != nil {
		t.Fatal(err)
	}
	proposeAll(t, c, numbers(1), 5)
	eventually(t, "the group is stopped", func() bool { return stops() == 2 })
	if err := l.sup.BringBack(1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the group is back", func() bool { return l.find(supervisor.Returned) != nil })
	proposeAll(t, c, numbers(1), 5)
	agree(t, c, numbers(1), 40)
}

// TestGroupThatIsNotMade: raft cannot make a group whose log cannot be read, and leaves
// the log open. It must be closed and tried again, and come back when it can be read.
func TestGroupThatIsNotMade(t *testing.T) {
	engine := deafEngine(t)
	c := startPlain(t, engine)
	l := unload(t, c, engine)
	mend := flip(t, l.n.Dir(1), []byte("command 10 of group 1"))
	if err := l.load(); err == nil {
		t.Fatal("a group was made of a log that cannot be read")
	}
	eventually(t, "the group is down", func() bool { return l.find(supervisor.Stopped) != nil })
	if e := l.find(supervisor.Faulted); e == nil || e.Fault.Cause != bulkhead.CauseDamage {
		t.Errorf("told: %v", e)
	}
	eventually(t, "it is tried again", func() bool { return l.find(supervisor.ReturnFailed) != nil })
	mend()
	if err := l.sup.BringBack(1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the group is back", func() bool { return l.find(supervisor.Returned) != nil })
	proposeAll(t, c, numbers(1), 5)
	agree(t, c, numbers(1), 35)
}

// flip changes a bit of a payload on disk. The function that it returns changes it back.
func flip(t *testing.T, dir string, payload []byte) (mend func()) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if at := bytes.Index(content, payload); err == nil && at >= 0 {
			write := func() {
				content[at+2] ^= 4
				if err := os.WriteFile(path, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write()
			return write
		}
	}
	t.Fatal("the payload is in no file")
	return nil
}

// TestHealedFaultIsTakenBack: a log that takes writes again has no fault any more, for
// a report and for what raft ends its group for later.
func TestHealedFaultIsTakenBack(t *testing.T) {
	c := startSupervised(t, 1, supervisor.Options{FirstDelay: 50 * time.Millisecond})
	proposeAll(t, c.Cluster, numbers(1), 5)
	agree(t, c.Cluster, numbers(1), 5)
	node, follower := c.Leader(1), uint64(0)
	if node == nil {
		t.Fatal("no leader")
	}
	follower = node.ID%3 + 1
	p := c.Node(follower).Storage(1).(slow).Storage.(*cubefs.Storage).Partition()
	report := func() supervisor.Report { return c.by[follower].Report()[0] }
	if err := p.Fence(bulkhead.StateUnavailable, "for a moment"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the fault is reported", func() bool { return report().Fault != "" })
	if err := p.Release(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is taken back", func() bool { r := report(); return r.Fault == "" && r.DownSeconds == 0 })
	proposeAll(t, c.Cluster, numbers(1), 5)
	agree(t, c.Cluster, numbers(1), 10)
}

// TestGroupThatEndsForItself: raft ends a group also for what is not its log's fault, a
// read of what the log does not have, say. It stays registered, and acknowledges
// heartbeats: it must be told of and stopped, and its return is its owner's.
func TestGroupThatEndsForItself(t *testing.T) {
	engine := deafEngine(t)
	c := startPlain(t, engine)
	l := unload(t, c, engine)
	if err := l.load(); err != nil {
		t.Fatal(err)
	}
	atomic.StoreInt32(&l.ending, 1)
	proposeAll(t, c, numbers(1), 5)
	eventually(t, "the group is stopped", func() bool { return l.find(supervisor.Stopped) != nil })
	if e := l.find(supervisor.Faulted); e == nil || e.Fault.Cause != bulkhead.CauseNone {
		t.Errorf("told: %v", e)
	}
	if l.n.Server().FirstCommittedIndex(1) != 0 {
		t.Error("the group is registered")
	}
	backByCallOnly(t, c, l)
}

// backByCallOnly: the group is down and stays so until it is brought back.
func backByCallOnly(t *testing.T, c *Cluster, l *loader) {
	t.Helper()
	time.Sleep(time.Second)
	if e := l.find(supervisor.Returned); e != nil {
		t.Errorf("brought back without a call: %v", e)
	}
	if err := l.sup.BringBack(1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the group is back", func() bool { return l.find(supervisor.Returned) != nil })
	proposeAll(t, c, numbers(1), 5)
	agree(t, c, numbers(1), 40)
}

// TestFencedGroupStaysDown: a fence ends when raft closes the log at its first write. The
// group must not come back by that: whoever has fenced it says when.
func TestFencedGroupStaysDown(t *testing.T) {
	engine := deafEngine(t)
	c := startPlain(t, engine)
	l := unload(t, c, engine)
	if err := l.load(); err != nil {
		t.Fatal(err)
	}
	if err := partitionIn(t, engine, l.n.Dir(1)).Fence(bulkhead.StateUnavailable, "the disk is to be replaced"); err != nil {
		t.Fatal(err)
	}
	proposeAll(t, c, numbers(1), 5)
	eventually(t, "the group is stopped", func() bool { return l.find(supervisor.Stopped) != nil })
	backByCallOnly(t, c, l)
}

// TestReturnByAnotherHand: a group that is down may be loaded by somebody else. That is a
// return as well, and the next fault is another.
func TestReturnByAnotherHand(t *testing.T) {
	engine := deafEngine(t)
	c := startPlain(t, engine)
	l := unload(t, c, engine)
	if err := l.load(); err != nil {
		t.Fatal(err)
	}
	if err := partitionIn(t, engine, l.n.Dir(1)).Fence(bulkhead.StateUnavailable, "until somebody loads it"); err != nil {
		t.Fatal(err)
	}
	proposeAll(t, c, numbers(1), 5)
	eventually(t, "the group is stopped", func() bool { return l.find(supervisor.Stopped) != nil })
	if err := l.load(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its return is told", func() bool { e := l.find(supervisor.Returned); return e != nil && e.Down > 0 })
	if r := l.sup.Report(); len(r) != 1 || r[0].State != "ReadWrite" || r[0].Fault != "" || r[0].LastTry != "" {
		t.Errorf("%+v", r)
	}
	proposeAll(t, c, numbers(1), 5)
	agree(t, c, numbers(1), 40)
}
