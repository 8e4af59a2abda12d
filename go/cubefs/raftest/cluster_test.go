package raftest

import (
	"fmt"
	"net"
	"testing"

	"github.com/cubefs/cubefs/depends/tiglabs/raft"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
)

const manyGroups = 32

// TestElectionsAndProposals: without a log that raft can use nobody is elected,
// or replicas diverge.
func TestElectionsAndProposals(t *testing.T) {
	for _, mode := range []bulkhead.Mode{bulkhead.ModeNone, bulkhead.ModeSync, bulkhead.ModeInterval} {
		t.Run(mode.String(), func(t *testing.T) {
			c := start(t, Config{Groups: manyGroups, Open: bulkheadStorage(mode, noFault(t))})
			groups := numbers(manyGroups)
			for _, g := range groups {
				eventually(t, "an election", func() bool { return c.Leader(g) != nil })
			}
			proposeAll(t, c, groups, 30)
			agree(t, c, groups, 30)
		})
	}
}

// TestFollowerRestart: what a node applied after its state machine's last
// durable point must come back from its log, in the same order.
func TestFollowerRestart(t *testing.T) {
	c := start(t, Config{Groups: manyGroups, Open: bulkheadStorage(bulkhead.ModeSync, noFault(t))})
	groups := numbers(manyGroups)
	proposeAll(t, c, groups, 10)
	agree(t, c, groups, 10)
	node := c.Node(3)
	for _, g := range groups {
		node.Machine(g).Persist()
	}
	proposeAll(t, c, groups, 10)
	agree(t, c, groups, 20)
	node.Stop()
	proposeAll(t, c, groups, 5)
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	agree(t, c, groups, 25)
	proposeAll(t, c, groups, 5)
	agree(t, c, groups, 30)
}

// TestPortsAreTaken: a node whose port somebody else has by now listens on
// another one, and the others find it there.
func TestPortsAreTaken(t *testing.T) {
	c := start(t, Config{Groups: 1, Open: bulkheadStorage(bulkhead.ModeNone, noFault(t))})
	proposeAll(t, c, numbers(1), 5)
	node := c.Node(3)
	for _, kind := range []raft.SocketType{raft.HeartBeat, raft.Replicate} {
		node.Stop()
		address, err := c.NodeAddress(node.ID, kind)
		if err != nil {
			t.Fatal(err)
		}
		other, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if err := node.Start(); err != nil {
			t.Fatal(err)
		}
		proposeAll(t, c, numbers(1), 5)
	}
	agree(t, c, numbers(1), 15)
}

// TestRestartOfAllNodes: with nobody left to ask, only the logs have what was
// acknowledged.
func TestRestartOfAllNodes(t *testing.T) {
	c := start(t, Config{Groups: manyGroups, Open: bulkheadStorage(bulkhead.ModeSync, noFault(t))})
	groups := numbers(manyGroups)
	proposeAll(t, c, groups, 15)
	for _, n := range c.Nodes() {
		n.Stop()
	}
	for _, n := range c.Nodes() {
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
	}
	proposeAll(t, c, groups, 5)
	agree(t, c, groups, 20)
}

// TestCompactionAndSnapshot: a follower that was away while the others compacted
// can only continue from a snapshot, after which its log starts anew.
func TestCompactionAndSnapshot(t *testing.T) {
	const few = 8
	c := start(t, Config{Groups: few, Open: bulkheadStorage(bulkhead.ModeSync, noFault(t))})
	groups := numbers(few)
	proposeAll(t, c, groups, 5)
	agree(t, c, groups, 5)
	away := c.Node(3)
	for _, g := range groups {
		away.Machine(g).Persist()
	}
	away.Stop()
	proposeAll(t, c, groups, 100)
	for _, g := range groups {
		behind := away.Machine(g).Digest().Applied
		for _, n := range []*Node{c.Node(1), c.Node(2)} {
			eventually(t, fmt.Sprintf("node %d compacts group %d", n.ID, g), func() bool {
				n.Server().Truncate(g, n.Machine(g).Digest().Applied)
				first, err := n.Storage(g).FirstIndex()
				if err != nil {
					t.Fatal(err)
				}
				return first > behind+50
			})
		}
	}
	if err := away.Start(); err != nil {
		t.Fatal(err)
	}
	agree(t, c, groups, 105)
	for _, g := range groups {
		if away.Machine(g).Snapshots() == 0 {
			t.Errorf("group %d caught up without a snapshot from a log that was compacted", g)
		}
	}
	proposeAll(t, c, groups, 5)
	agree(t, c, groups, 110)

	away.Stop()
	if err := away.Start(); err != nil {
		t.Fatal(err)
	}
	agree(t, c, groups, 110)
}
