package raftest

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/supervisor"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage/wal"
)

// cutShort keeps a log from learning of the snapshot that its state machine has
// taken, as long as on is set.
type cutShort struct {
	storage.Storage
	on *int32
}

func (c cutShort) ApplySnapshot(meta proto.SnapshotMeta) error {
	if meta.Index != 0 && atomic.LoadInt32(c.on) != 0 {
		return errors.New("the log is not told")
	}
	return c.Storage.ApplySnapshot(meta)
}

// TestSnapshotCutShort: a node whose state machine has taken a snapshot, and whose
// log was not replaced, must not apply again what is in it. The node stops in
// between, or goes on and another leader takes over whose log reaches back to where
// this one's ended.
func TestSnapshotCutShort(t *testing.T) {
	for name, open := range map[string]OpenStorage{
		"CubeFS's WAL": func(_, _ uint64, dir string, _ uint64) (storage.Storage, error) {
			return wal.NewStorage(dir, &wal.Config{})
		},
		"Bulkhead": func(_, group uint64, dir string, _ uint64) (storage.Storage, error) {
			return cubefs.NewStorage(dir, &cubefs.Config{PartitionID: group}) // no applied index: as on a metanode
		},
	} {
		for _, test := range []struct {
			name                string
			restarts, otherTerm bool
		}{{"restarts", true, false}, {"restarts in another term", true, true}, {"goes on", false, false}, {"goes on in another term", false, true}} {
			t.Run(name+" "+test.name, func(t *testing.T) {
				for tries := 1; !snapshotCutShort(t, open, test.restarts, test.otherTerm); tries++ {
					if t.Log("the node was sent entries, by a leader that had not compacted"); tries == 5 {
						t.Fatal("five times in a row")
					}
				}
			})
		}
	}
}

// snapshotCutShort returns false if the node needed no snapshot: the other node, whose
// log reaches back, led when it came.
func snapshotCutShort(t *testing.T, open OpenStorage, restarts, otherTerm bool) bool {
	on := new(int32)
	c := start(t, Config{Groups: 1, Open: func(node, group uint64, dir string, applied uint64) (storage.Storage, error) {
		s, err := open(node, group, dir, applied)
		if err != nil || node != 3 {
			return s, err
		}
		return cutShort{s, on}, nil
	}})
	g := numbers(1)
	proposeAll(t, c, g, 40)
	agree(t, c, g, 40)
	for _, n := range c.Nodes() {
		compactBeyond(t, n, 15, 20)
	}
	away := c.Node(3)
	away.Machine(1).Persist()
	away.Stop()
	if otherTerm {
		changeLeader(t, c)
	}
	proposeAll(t, c, g, 100)
	var leader *Node
	eventually(t, "a leader", func() bool { leader = c.Leader(1); return leader != nil })
	other := c.Node(3 - leader.ID)
	compactBeyond(t, leader, 100, 120)
	atomic.StoreInt32(on, 1)
	if err := away.Start(); err != nil {
		t.Fatal(err)
	}
	needless := false
	eventually(t, "the state machine has the snapshot", func() bool {
		if now := c.Leader(1); now != nil && now != leader { // its log reaches back
			leader.Server().TryToLeader(1)
			time.Sleep(200 * time.Millisecond)
		}
		has := away.Machine(1).Digest() == other.Machine(1).Digest()
		needless = has && away.Machine(1).Snapshots() == 0
		return has
	})
	if needless {
		c.Stop()
		return false
	}
	if restarts {
		time.Sleep(50 * time.Millisecond)
		away.Stop()
	}
	leader.Machine(1).Persist()
	leader.Stop()
	if restarts {
		if err := away.Start(); err != nil {
			t.Fatal(err)
		}
	}
	// Until a while after: raft must not go on with the old log meanwhile.
	time.Sleep(500 * time.Millisecond)
	atomic.StoreInt32(on, 0)
	proposeAll(t, c, g, 5)
	eventually(t, "the snapshot was taken again and the replicas agree", func() bool { return other.Machine(1).Digest() == away.Machine(1).Digest() })
	if err := leader.Start(); err != nil {
		t.Fatal(err)
	}
	proposeAll(t, c, g, 5)
	agree(t, c, g, 150)
	return true
}

// TestLeaderThatDoesNotCompact: a replica whose snapshot was cut short, under a leader
// whose log reaches back to the first entry, is down and says why, and comes back once
// that leader has compacted its log.
func TestLeaderThatDoesNotCompact(t *testing.T) {
	on := new(int32)
	var sup *supervisor.Supervisor // of node 3, as it runs now
	c := start(t, Config{Groups: 1, OpenOn: func(n *Node, group uint64, dir string, _ uint64) (storage.Storage, error) {
		config := cubefs.Config{PartitionID: group} // no applied index: as on a metanode
		if n.ID != 3 {
			return cubefs.NewStorage(dir, &config)
		}
		sup = supervisor.New(supervisor.Options{})
		s, err := sup.Open(dir, config, supervisor.Group{ID: group, Server: n.Server(), StateMachine: n.Machine(group)})
		if err != nil {
			return nil, err
		}
		return cutShort{s, on}, nil
	}})
	g := numbers(1)
	proposeAll(t, c, g, 40)
	agree(t, c, g, 40)
	away := c.Node(3)
	away.Machine(1).Persist()
	away.Stop()
	proposeAll(t, c, g, 100)
	var sender *Node
	eventually(t, "a leader", func() bool { sender = c.Leader(1); return sender != nil })
	keeps := c.Node(3 - sender.ID) // its log, from the first entry on
	compactBeyond(t, sender, 100, 120)
	keeps.Machine(1).Persist()
	keeps.Stop() // or it may lead, and send entries
	atomic.StoreInt32(on, 1)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(away.Start())
	eventually(t, "the state machine has the snapshot", func() bool { return away.Machine(1).Snapshots() > 0 })
	away.Stop()
	sender.Machine(1).Persist()
	sender.Stop()
	atomic.StoreInt32(on, 0)
	must(keeps.Start())
	must(away.Start())
	eventually(t, "it is down, and says why", func() bool {
		reports := sup.Report()
		return len(reports) == 1 && reports[0].SnapshotPending && reports[0].State == "Closed" &&
			strings.Contains(reports[0].Fault, "a snapshot was begun, and must arrive before entries do")
	})
	must(sender.Start())
	proposeAll(t, c, g, 5)
	compactBeyond(t, keeps, 100, 120)
	away.Stop()
	must(away.Start())
	proposeAll(t, c, g, 5)
	agree(t, c, g, 150)
	eventually(t, "nothing waits any more", func() bool {
		reports := sup.Report()
		return len(reports) == 1 && !reports[0].SnapshotPending && reports[0].Fault == "" && reports[0].State == "ReadWrite"
	})
}

// compactBeyond truncates a log until it begins behind an index.
func compactBeyond(t *testing.T, n *Node, index, truncate uint64) {
	t.Helper()
	eventually(t, "the log is compacted", func() bool {
		n.Server().Truncate(1, truncate)
		first, err := n.Storage(1).FirstIndex()
		return err == nil && first > index
	})
}

// changeLeader has another node than before lead.
func changeLeader(t *testing.T, c *Cluster) {
	t.Helper()
	var before *Node
	eventually(t, "a leader", func() bool { before = c.Leader(1); return before != nil })
	eventually(t, "another leader", func() bool {
		if now := c.Leader(1); now != nil && now != before {
			return true
		}
		c.Node(3 - before.ID).Server().TryToLeader(1)
		time.Sleep(200 * time.Millisecond)
		return false
	})
}
