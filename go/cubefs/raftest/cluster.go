// Package raftest runs CubeFS's own raft server on loopback, several nodes in one
// process with many groups, over a storage of choice.
package raftest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/cubefs/cubefs/depends/tiglabs/raft"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
)

// OpenStorage opens the log of one group on one node; applied is what its state
// machine has made durable.
type OpenStorage func(node, group uint64, dir string, applied uint64) (storage.Storage, error)

// Config describes a cluster.
type Config struct {
	Dir        string // holds node_<n>/wal_<group>
	Nodes      int
	Groups     int
	RetainLogs uint64        // entries raft keeps behind the truncation index
	Tick       time.Duration // default: tick
	Open       OpenStorage
	// OpenOn is called instead of Open if it is set: for a storage whose owner
	// needs the node.
	OpenOn func(node *Node, group uint64, dir string, applied uint64) (storage.Storage, error)
}

// Cluster is a set of raft servers that all keep the same groups.
type Cluster struct {
	config Config
	nodes  []*Node
}

// Node is one raft server.
type Node struct {
	ID       uint64
	cluster  *Cluster
	machines map[uint64]*Machine

	mu       sync.Mutex
	heart    string // where it listens; others than before if those were taken meanwhile
	repl     string
	server   *raft.RaftServer // nil while the node is down
	storages map[uint64]storage.Storage
}

// Ticks are short so that elections take tenths of a second; their ratios are
// raftstore's.
const (
	tick         = 60 * time.Millisecond
	electionTick = 5
)

const listenTries = 10

// Start starts all nodes with all groups.
func Start(config Config) (*Cluster, error) {
	c := &Cluster{config: config}
	for id := uint64(1); id <= uint64(config.Nodes); id++ {
		n := &Node{ID: id, cluster: c, machines: make(map[uint64]*Machine)}
		for g := uint64(1); g <= uint64(config.Groups); g++ {
			n.machines[g] = new(Machine)
		}
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		if err := n.Start(); err != nil {
			c.Stop()
			return nil, err
		}
	}
	return c, nil
}

// freeAddresses picks two ports that were free a moment ago.
func freeAddresses() (string, string, error) {
	a, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer a.Close()
	b, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer b.Close()
	return a.Addr().String(), b.Addr().String(), nil
}

// NodeAddress resolves nodes for raft's transport.
func (c *Cluster) NodeAddress(id uint64, kind raft.SocketType) (string, error) {
	if id == 0 || id > uint64(len(c.nodes)) {
		return "", fmt.Errorf("no node %d", id)
	}
	n := c.nodes[id-1]
	n.mu.Lock()
	defer n.mu.Unlock()
	if kind == raft.HeartBeat {
		return n.heart, nil
	}
	return n.repl, nil
}

// Node returns the node with an id from 1.
func (c *Cluster) Node(id uint64) *Node { return c.nodes[id-1] }

// Nodes returns all nodes.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// Stop stops all nodes.
func (c *Cluster) Stop() {
	for _, n := range c.nodes {
		n.Stop()
	}
}

// Start starts the node; its groups continue where their logs end.
func (n *Node) Start() error {
	config := raft.DefaultConfig()
	config.NodeID = n.ID
	config.TickInterval = tick
	if n.cluster.config.Tick > 0 {
		config.TickInterval = n.cluster.config.Tick
	}
	config.ElectionTick = electionTick
	config.LeaseCheck = true
	config.PreVote = true
	config.RetainLogs = n.cluster.config.RetainLogs
	config.Resolver = n.cluster
	server, err := n.listen(config)
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.server, n.storages = server, make(map[uint64]storage.Storage)
	n.mu.Unlock()
	for g := range n.machines {
		if err := n.StartGroup(g); err != nil {
			return err
		}
	}
	return nil
}

// listen starts the server, which takes addresses and no listeners: the ports
// that the node had before, or that were free a moment ago, may be somebody
// else's by then, an outgoing connection's for one. Then it tries others.
func (n *Node) listen(config *raft.Config) (*raft.RaftServer, error) {
	for try := 1; ; try++ {
		n.mu.Lock()
		if n.heart == "" || try > 1 {
			var err error
			if n.heart, n.repl, err = freeAddresses(); err != nil {
				n.mu.Unlock()
				return nil, err
			}
		}
		config.HeartbeatAddr, config.ReplicateAddr = n.heart, n.repl
		n.mu.Unlock()
		server, err := raft.NewRaftServer(config)
		if err == nil || try == listenTries || !errors.Is(err, syscall.EADDRINUSE) {
			return server, err
		}
	}
}

// Dir returns the directory of a group's log.
func (n *Node) Dir(group uint64) string {
	return filepath.Join(n.cluster.config.Dir, fmt.Sprintf("node_%d", n.ID), fmt.Sprintf("wal_%d", group))
}

// StartGroup opens a group's log and creates its raft.
func (n *Node) StartGroup(group uint64) error {
	dir := n.Dir(group)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	machine := n.machines[group]
	applied := machine.restart()
	s, err := n.open(group, dir, applied)
	if err != nil {
		return fmt.Errorf("node %d, group %d: %w", n.ID, group, err)
	}
	var peers []proto.Peer
	for _, other := range n.cluster.nodes {
		peers = append(peers, proto.Peer{ID: other.ID, PeerID: other.ID})
	}
	err = n.Server().CreateRaft(&raft.RaftConfig{ID: group, Peers: peers, Applied: applied, Storage: s, StateMachine: machine})
	if err != nil {
		s.Close()
		return fmt.Errorf("node %d, group %d: %w", n.ID, group, err)
	}
	n.mu.Lock()
	n.storages[group] = s
	n.mu.Unlock()
	return nil
}

func (n *Node) open(group uint64, dir string, applied uint64) (storage.Storage, error) {
	if on := n.cluster.config.OpenOn; on != nil {
		return on(n, group, dir, applied)
	}
	return n.cluster.config.Open(n.ID, group, dir, applied)
}

// StopGroup unregisters a group, whether it is alive or dead.
func (n *Node) StopGroup(group uint64) error { return n.Server().RemoveRaft(group) }

// Stop stops the node. Raft closes the storages.
func (n *Node) Stop() {
	n.mu.Lock()
	server := n.server
	n.server = nil
	n.mu.Unlock()
	if server != nil {
		server.Stop()
	}
}

// Server returns the raft server; nil while the node is down.
func (n *Node) Server() *raft.RaftServer {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.server
}

// Machine returns a group's state machine.
func (n *Node) Machine(group uint64) *Machine { return n.machines[group] }

// Storage returns a group's log.
func (n *Node) Storage(group uint64) storage.Storage {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.storages[group]
}

// Leader returns the running node that leads a group; nil if none does now.
func (c *Cluster) Leader(group uint64) *Node {
	for _, n := range c.nodes {
		if server := n.Server(); server != nil && server.IsLeader(group) {
			return n
		}
	}
	return nil
}

// ErrTimeout is what a proposal returns that was not answered in time.
var ErrTimeout = errors.New("no answer in time")

// answerWithin is how long one answer is waited for: a leader whose group ends
// never answers what it had taken in and not begun.
const answerWithin = 5 * time.Second

// Propose proposes a command to whoever leads the group, and again if the
// leader changes or does not answer, until it is applied. A command may be
// applied twice then.
func (c *Cluster) Propose(group uint64, command []byte, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	err := ErrTimeout
	for time.Now().Before(deadline) {
		leader := c.Leader(group)
		if leader == nil {
			time.Sleep(tick / 4)
			continue
		}
		server := leader.Server()
		if server == nil {
			continue // stopped meanwhile
		}
		answer, failed := server.Submit(group, command).AsyncResponse()
		wait := time.Until(deadline)
		if wait > answerWithin {
			wait = answerWithin
		}
		timer := time.NewTimer(wait)
		select {
		case <-answer:
			timer.Stop()
			return nil
		case err = <-failed:
			timer.Stop()
			time.Sleep(tick / 4)
		case <-timer.C:
			err = ErrTimeout
		}
	}
	return err
}
