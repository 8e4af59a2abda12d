package node

import (
	"fmt"
	"sync"
	"time"

	"github.com/cubefs/cubefs/depends/tiglabs/raft"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"

	"github.com/bulkhead-wal/bulkhead/tests/demo/internal/wire"
)

// States an owner reports, in CubeFS's own words.
const (
	stateReadWrite   = "ReadWrite"
	stateUnavailable = "Unavailable"
	stateRecovering  = "Recovering"
)

const (
	recoverAttempts = 5
	recoverPause    = 500 * time.Millisecond
)

// replica is one group on this node together with its owner, which does what the
// owner of a partition does on a datanode: it knows what it has been told, stops
// the group when told of a fault, and brings it back when the disk is back. The
// owner never looks at the log or at raft's state to find a fault by itself: what
// is measured is whether it is told.
type replica struct {
	node  *Node
	group uint64

	mu      sync.Mutex
	machine *machine
	state   string
	cause   string
	opening int           // counts start: a late word about an earlier WAL is not for this one
	stopped chan struct{} // closed when the group of the fault is really gone
}

// start opens the WAL and creates the raft group. known is an index the log must
// reach; the state machine starts empty, so that the log's content is replayed.
func (r *replica) start(known uint64) (lastIndex uint64, err error) {
	dir, err := walDir(r.node.config.Dir, r.group)
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	r.opening++
	opening := r.opening
	r.mu.Unlock()
	store, err := r.node.open(dir, r.group, known, func(n notice) { r.onFault(opening, n) })
	if err != nil {
		return 0, err
	}
	lastIndex, err = store.LastIndex()
	if err != nil {
		store.Close()
		return 0, err
	}
	m := &machine{onFatal: func(err error) { r.onFatal(opening, err) }}
	r.mu.Lock()
	r.machine = m
	r.mu.Unlock()
	peers := make([]proto.Peer, 0, len(r.node.config.Peers))
	for id := range r.node.config.Peers {
		peers = append(peers, proto.Peer{ID: id, PeerID: id})
	}
	err = r.node.server.CreateRaft(&raft.RaftConfig{
		ID:           r.group,
		Peers:        peers,
		Storage:      &observed{Storage: store, onError: r.onFirstError},
		StateMachine: m,
	})
	if err != nil {
		store.Close()
	}
	return lastIndex, err
}

func (r *replica) onFirstError(call string, err error) {
	r.node.event(r.group, wire.Event{Name: wire.EvFirstError, Text: call + ": " + err.Error()})
}

// onFault is the engine's own push.
func (r *replica) onFault(opening int, n notice) {
	r.told(opening, "pushed by the WAL: "+n.text, n.cause, n.errno)
}

// onFatal is raft's HandleFatalEvent. Whether it is ever called is measured.
func (r *replica) onFatal(opening int, err error) {
	r.told(opening, "HandleFatalEvent: "+err.Error(), "raft: "+err.Error(), 0)
}

// told may be called more than once for one fault; the first call counts.
func (r *replica) told(opening int, text, cause string, errno int) {
	r.mu.Lock()
	if opening != r.opening || r.state == stateUnavailable {
		r.mu.Unlock()
		return
	}
	r.state, r.cause = stateUnavailable, cause
	stopped := make(chan struct{})
	r.stopped = stopped
	r.mu.Unlock()
	r.node.event(r.group, wire.Event{Name: wire.EvTold, Text: text, State: stateUnavailable, Cause: cause, Errno: errno})
	go func() {
		// Waits for the raft loop, which may be the caller of this function.
		_ = r.node.server.RemoveRaft(r.group)
		close(stopped)
		r.node.event(r.group, wire.Event{Name: wire.EvStopped, Text: "the owner removed the raft group on this node"})
	}()
}

// diskBack is the operator's word that the cause is gone. It reaches the owner
// with every engine; only one who knows of a fault has anything to bring back.
//
// A log that heals by itself does so as long as it is open. Raft has closed this
// one at its first error, and its file system is another one now: opening it again
// is the owner's to do with every engine.
func (r *replica) diskBack() {
	r.mu.Lock()
	state, stopped := r.state, r.stopped
	r.mu.Unlock()
	if state != stateUnavailable {
		r.node.event(r.group, wire.Event{Name: wire.EvNothingToDo, State: state,
			Text: "the owner knows of no fault, so there is nothing it would bring back"})
		return
	}
	<-stopped
	r.mu.Lock()
	known := r.machine.applied()
	r.state = stateRecovering
	r.mu.Unlock()
	for attempt := 1; ; attempt++ {
		last, err := r.start(known)
		if err == nil {
			r.node.event(r.group, wire.Event{Name: wire.EvReopened, State: stateRecovering, LastIndex: last,
				Text: fmt.Sprintf("WAL opened again, its last index is %d; it had applied %d when the error came", last, known)})
			break
		}
		r.node.event(r.group, wire.Event{Name: wire.EvRecoverFailed, Text: err.Error()})
		if attempt == recoverAttempts {
			r.mu.Lock()
			r.state = stateUnavailable
			r.mu.Unlock()
			return
		}
		time.Sleep(recoverPause)
	}
	r.waitCaughtUp(known)
}

// waitCaughtUp ends when the replica follows a leader, has applied more than before
// the fault and all that it knows to be committed.
func (r *replica) waitCaughtUp(known uint64) {
	server := r.node.server
	for {
		leader, _ := server.LeaderTerm(r.group)
		applied, committed := server.AppliedIndex(r.group), server.CommittedIndex(r.group)
		if leader != 0 && applied > known && applied >= committed {
			break
		}
		r.mu.Lock()
		state := r.state
		r.mu.Unlock()
		if state != stateRecovering {
			return // another fault came in between
		}
		time.Sleep(5 * time.Millisecond)
	}
	r.mu.Lock()
	r.state, r.cause = stateReadWrite, ""
	r.mu.Unlock()
	r.node.event(r.group, wire.Event{Name: wire.EvRecovered, State: stateReadWrite, Text: "caught up with its leader"})
}

func (r *replica) current() (m *machine, state, cause string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine, r.state, r.cause
}
