package node

import (
	"encoding/json"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/cubefs/cubefs/depends/tiglabs/raft"

	"github.com/bulkhead-wal/bulkhead/tests/demo/internal/wire"
)

// send writes one report. The driver reads all the time; if it is gone, the node's
// standard input has ended as well and the process is about to go.
func (n *Node) send(r wire.Report) {
	r.Node, r.TimeNS = n.config.ID, time.Now().UnixNano()
	b, err := json.Marshal(r)
	if err != nil {
		return
	}
	n.outMu.Lock()
	defer n.outMu.Unlock()
	_, _ = n.out.Write(append(b, '\n'))
	_ = n.out.Flush()
}

func (n *Node) event(group uint64, e wire.Event) {
	e.Group = group
	n.send(wire.Report{Kind: wire.KindEvent, Event: &e})
}

func (n *Node) fatal(err error) int {
	n.send(wire.Report{Kind: wire.KindFatal, Text: err.Error()})
	return 1
}

func (n *Node) reportStats() {
	for range time.Tick(StatsInterval) {
		r := wire.Report{Kind: wire.KindStats}
		for g := uint64(1); g <= n.config.Groups; g++ {
			r.Groups = append(r.Groups, n.groupStats(g))
		}
		n.send(r)
	}
}

func (n *Node) groupStats(g uint64) wire.GroupStats {
	m, state, cause := n.replicas[g].current()
	l := n.loads[g]
	leader, _ := n.server.LeaderTerm(g)
	gap, lastAck := l.takeGap()
	s := wire.GroupStats{
		Group:      g,
		Applied:    m.applied(),
		Acked:      atomic.LoadUint64(&l.ackedN),
		Unanswered: atomic.LoadUint64(&l.unanswered),
		Leader:     leader,
		State:      state,
		Cause:      cause,
		GapMS:      float64(gap) / float64(time.Millisecond),
		LastAckNS:  lastAck,
	}
	if down, ok := n.down.Load().([]uint64); ok && g == n.config.FaultGroup && leader == n.config.ID {
		s.Down, s.DownSet = down, true
	}
	return s
}

// watchDown asks raft on the fault group's leader which replicas it calls down:
// CubeFS reports a partition's missing replicas from that call. It may hang on a
// dead group, so it has a goroutine of its own.
func (n *Node) watchDown() {
	for range time.Tick(2 * StatsInterval) {
		if n.server.IsLeader(n.config.FaultGroup) {
			down := []uint64{}
			for _, d := range n.server.GetDownReplicas(n.config.FaultGroup) {
				down = append(down, d.NodeID)
			}
			n.down.Store(down)
		}
	}
}

// resolver gives raft the addresses of the nodes.
type resolver map[uint64][2]string

func (r resolver) NodeAddress(node uint64, kind raft.SocketType) (string, error) {
	addresses, ok := r[node]
	if !ok {
		return "", fmt.Errorf("no node %d", node)
	}
	if kind == raft.HeartBeat {
		return addresses[0], nil
	}
	return addresses[1], nil
}

// raftLog sends raft's warnings to standard error, which the driver keeps in a file.
type raftLog struct{}

func (raftLog) IsEnableDebug() bool { return false }
func (raftLog) IsEnableInfo() bool  { return false }
func (raftLog) IsEnableWarn() bool  { return true }

func (raftLog) Debug(string, ...interface{}) {}
func (raftLog) Info(string, ...interface{})  {}

func (raftLog) Warn(format string, v ...interface{})  { logLine("WARN ", format, v) }
func (raftLog) Error(format string, v ...interface{}) { logLine("ERROR ", format, v) }

func logLine(level, format string, v []interface{}) {
	fmt.Fprintln(os.Stderr, time.Now().UTC().Format("15:04:05.000 ")+level+fmt.Sprintf(format, v...))
}
