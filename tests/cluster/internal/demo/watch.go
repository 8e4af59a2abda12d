package demo

import (
	"fmt"
	"sync"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/cluster"
)

const (
	masterEvery = 250 * time.Millisecond
	nodeEvery   = 100 * time.Millisecond
	raftEvery   = 500 * time.Millisecond
	// raftLag is how far a follower's log may be behind the commit and still count as caught up, in entries.
	raftLag = 500
)

// replicaView is what is known of one replica of the target.
type replicaView struct {
	node     cluster.Node
	own      string // what its datanode says
	raft     cluster.RaftStatus
	raftErr  error
	master   string // what the master says of the replica, its node and its disk
	nodeTold time.Time
	mastTold time.Time
}

const healthy = "ReadWrite"

// watch asks everybody about the target, all the time. A node that does not answer keeps nobody else waiting.
type watch struct {
	target uint64
	stop   chan struct{}
	done   sync.WaitGroup

	mu        sync.Mutex
	replicas  []*replicaView
	partition string // what the master says of the partition
	fault     time.Time
	victims   map[int]bool
}

func startWatch(target uint64) *watch {
	w := &watch{target: target, stop: make(chan struct{})}
	for _, n := range cluster.Servers() {
		if n.Role == cluster.DataNode {
			w.replicas = append(w.replicas, &replicaView{node: n})
		}
	}
	w.every(masterEvery, w.askMaster)
	for _, r := range w.replicas {
		w.every(nodeEvery, func() { w.askNode(r) })
		w.every(raftEvery, func() { w.askRaft(r) })
	}
	return w
}

func (w *watch) every(interval time.Duration, ask func()) {
	w.done.Add(1)
	go func() {
		defer w.done.Done()
		for {
			ask()
			select {
			case <-w.stop:
				return
			case <-time.After(interval):
			}
		}
	}()
}

func (w *watch) close() {
	close(w.stop)
	w.done.Wait()
}

// arm starts the clock for a fault of some replicas.
func (w *watch) arm(victims ...int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault, w.victims = time.Now(), map[int]bool{}
	for _, v := range victims {
		w.victims[v] = true
	}
	for _, r := range w.replicas {
		r.nodeTold, r.mastTold = time.Time{}, time.Time{}
	}
}

func (w *watch) askNode(r *replicaView) {
	own := "silent"
	if partitions, err := cluster.LocalPartitions(r.node); err == nil {
		own = "absent"
		for _, p := range partitions {
			if p.ID == w.target {
				own = cluster.StatusName(p.Status)
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r.own = own
	if w.armed(r) && own != healthy && r.nodeTold.IsZero() {
		r.nodeTold = time.Now()
	}
}

func (w *watch) armed(r *replicaView) bool { return !w.fault.IsZero() && w.victims[r.node.Number] }

func (w *watch) askRaft(r *replicaView) {
	s, err := cluster.Raft(r.node, w.target)
	w.mu.Lock()
	defer w.mu.Unlock()
	r.raft, r.raftErr = s, err
}

func (w *watch) askMaster() {
	partition, err := cluster.PartitionView(w.target)
	if err != nil {
		return
	}
	said := map[string]string{}
	for _, r := range partition.Replicas {
		said[r.Addr] = cluster.StatusName(r.Status)
		if r.TriggerDiskError {
			said[r.Addr] = "disk error"
		}
	}
	for _, r := range w.replicas {
		node, err := cluster.NodeView(r.node)
		switch {
		case err != nil:
		case !node.IsActive:
			said[r.node.Addr()] = "node inactive"
		case len(node.BadDisks) > 0:
			said[r.node.Addr()] = "bad disk"
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.partition = cluster.StatusName(partition.Status)
	for _, r := range w.replicas {
		r.master = said[r.node.Addr()]
		if r.master == "" {
			r.master = "missing"
		}
		if w.armed(r) && r.master != healthy && r.mastTold.IsZero() {
			r.mastTold = time.Now()
		}
	}
}

// told is how long it took until the datanodes, and the master, said something else than ReadWrite of all victims. never:
// they have not, or nobody was hurt.
func (w *watch) told() (node, master time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.victims) == 0 {
		return never, never
	}
	for _, r := range w.replicas {
		if w.victims[r.node.Number] {
			node, master = later(node, w.fault, r.nodeTold), later(master, w.fault, r.mastTold)
		}
	}
	return node, master
}

// reacted is how long it took from the first error that a victim's log met until its datanode said something else than
// ReadWrite, of the slowest one. never: a victim met none, or said nothing.
func (w *watch) reacted() (took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.victims) == 0 {
		return never
	}
	for _, r := range w.replicas {
		if !w.victims[r.node.Number] {
			continue
		}
		first, met := cluster.FirstFault(r.node, w.target, w.fault)
		if !met {
			return never
		}
		took = later(took, first, r.nodeTold)
	}
	return took
}

func later(so time.Duration, fault, told time.Time) time.Duration {
	switch {
	case so < 0 || told.IsZero():
		return never
	case told.Sub(fault) > so:
		return told.Sub(fault)
	}
	return so
}

const never time.Duration = -1

// leader finds the replica that leads and says so itself.
func (w *watch) leader() (number int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.leading()
	if r == nil {
		return 0, false
	}
	return r.node.Number, true
}

func (w *watch) leading() *replicaView {
	var found *replicaView
	for _, r := range w.replicas {
		if r.raftErr == nil && !r.raft.Stopped && r.raft.Leader == r.raft.NodeID && (found == nil || r.raft.Term > found.raft.Term) {
			found = r
		}
	}
	return found
}

// problem says what keeps the partition from being sound everywhere; empty if nothing does.
func (w *watch) problem() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.partition != healthy {
		return "the master says " + w.partition + " of the partition"
	}
	for _, r := range w.replicas {
		if r.master != healthy || r.own != healthy {
			return fmt.Sprintf("%s: the master says %s, the datanode %s", r.node.Name(), r.master, r.own)
		}
		if r.raftErr != nil || r.raft.Stopped || r.raft.Leader == 0 {
			return r.node.Name() + " takes no part in raft"
		}
	}
	leader := w.leading()
	if leader == nil {
		return "no leader"
	}
	for _, r := range w.replicas {
		progress, known := leader.raft.Replicas[fmt.Sprint(r.raft.NodeID)]
		if !known || !progress.Active || progress.Match+raftLag < leader.raft.Commit || r.raft.Term != leader.raft.Term {
			return r.node.Name() + " has not caught up"
		}
	}
	return ""
}

// applied tells whether all replicas that can be asked have applied the same.
func (w *watch) applied() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	var index uint64
	for _, r := range w.replicas {
		if r.raftErr != nil || r.raft.Stopped {
			continue
		}
		if index == 0 {
			index = r.raft.Applied
		}
		if r.raft.Applied != index || r.raft.Applied != r.raft.Commit {
			return false
		}
	}
	return true
}
