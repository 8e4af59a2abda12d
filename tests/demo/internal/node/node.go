// Package node is one storage node of the demo: a process of its own with CubeFS's
// raft server, a replica of every group, their owners, and writers.
package node

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cubefs/cubefs/depends/tiglabs/raft"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/logger"

	"github.com/bulkhead-wal/bulkhead/tests/demo/internal/fault"
	"github.com/bulkhead-wal/bulkhead/tests/demo/internal/wire"
)

// Config is what the driver passes to a node as its only argument, in JSON.
type Config struct {
	Engine     string               `json:"engine"`
	ID         uint64               `json:"id"`
	Groups     uint64               `json:"groups"`
	FaultGroup uint64               `json:"fault_group"`
	Dir        string               `json:"dir"`
	Peers      map[uint64][2]string `json:"peers"`   // heartbeat and replication address of each node
	Writers    int                  `json:"writers"` // per group, on its leader
	PeriodMS   int                  `json:"period_ms"`
	Inject     bool                 `json:"inject"`            // this node's fault group gets an injected error
	Metrics    string               `json:"metrics,omitempty"` // the address of its page of metrics; empty: none
}

const (
	// StatsInterval is the time between two stats reports.
	StatsInterval = 200 * time.Millisecond
	// raftstore's own figures: 300 ms ticks, three of them to an election.
	tickInterval  = 300 * time.Millisecond
	electionTicks = 3
	retainLogs    = 1 << 30 // nothing is truncated, so that a whole log can be checked
)

// Node is one running storage node.
type Node struct {
	config   Config
	open     openFunc
	server   *raft.RaftServer
	reserve  *fault.Reserve // for an injected error
	replicas map[uint64]*replica
	loads    map[uint64]*load

	outMu sync.Mutex
	out   *bufio.Writer

	stopLoad chan struct{}
	writers  sync.WaitGroup
	down     atomic.Value // []uint64: replicas the fault group's leader calls down
}

// Run is the whole life of a node process. It ends when standard input ends, which
// it does at the latest when the driver dies: no node outlives its driver.
func Run(argument string) int {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	n := &Node{out: bufio.NewWriter(os.Stdout), replicas: map[uint64]*replica{}, loads: map[uint64]*load{}}
	if err := json.Unmarshal([]byte(argument), &n.config); err != nil {
		return n.fatal(err)
	}
	open, known := engines[n.config.Engine]
	if !known {
		return n.fatal(fmt.Errorf("no engine %q", n.config.Engine))
	}
	n.open = open
	logger.SetLogger(raftLog{})
	if err := n.startGroups(); err != nil {
		return n.fatal(err)
	}
	if n.config.Metrics != "" {
		if err := serveMetrics(n.config.Metrics); err != nil {
			return n.fatal(err)
		}
	}
	n.send(wire.Report{Kind: wire.KindReady})
	go n.reportStats()
	go n.watchDown()
	return n.serve(os.Stdin)
}

func (n *Node) startGroups() (err error) {
	if n.config.Inject {
		if n.reserve, err = fault.NewReserve(); err != nil {
			return err
		}
	}
	rc := raft.DefaultConfig()
	rc.NodeID = n.config.ID
	rc.LeaseCheck = true
	rc.PreVote = true
	rc.TickInterval = tickInterval
	rc.ElectionTick = electionTicks
	rc.RetainLogs = retainLogs
	rc.HeartbeatAddr, rc.ReplicateAddr = n.config.Peers[n.config.ID][0], n.config.Peers[n.config.ID][1]
	rc.Resolver = resolver(n.config.Peers)
	server, err := raft.NewRaftServer(rc)
	if err != nil {
		return err
	}
	n.server = server
	for g := uint64(1); g <= n.config.Groups; g++ {
		n.replicas[g] = &replica{node: n, group: g, state: stateReadWrite}
		n.loads[g] = &load{node: n, group: g}
	}
	for g := uint64(1); g <= n.config.Groups; g++ {
		if _, err := n.replicas[g].start(0); err != nil {
			return fmt.Errorf("group %d: %w", g, err)
		}
	}
	return nil
}

func (n *Node) serve(in io.Reader) int {
	lines := json.NewDecoder(in)
	for {
		var c wire.Command
		if err := lines.Decode(&c); err != nil {
			return 0
		}
		n.handle(c)
	}
}

func (n *Node) handle(c wire.Command) {
	switch c.Name {
	case wire.CmdLead:
		for _, g := range c.Groups {
			if !n.server.IsLeader(g) {
				n.server.TryToLeader(g)
			}
		}
	case wire.CmdLoad:
		n.startLoad()
	case wire.CmdStopLoad:
		close(n.stopLoad)
		n.writers.Wait()
		n.send(wire.Report{Kind: wire.KindPong})
	case wire.CmdInject:
		n.inject()
	case wire.CmdDiskBack:
		go n.replicas[n.config.FaultGroup].diskBack()
	case wire.CmdPing:
		n.send(wire.Report{Kind: wire.KindPong})
	case wire.CmdDump:
		n.send(wire.Report{Kind: wire.KindDump, Dump: n.dump()})
	}
}

func (n *Node) startLoad() {
	n.stopLoad = make(chan struct{})
	period := time.Duration(n.config.PeriodMS) * time.Millisecond
	for _, l := range n.loads {
		for w := 0; w < n.config.Writers; w++ {
			n.writers.Add(1)
			go func(l *load, w int) {
				defer n.writers.Done()
				l.run(w, n.config.Writers, period, n.stopLoad)
			}(l, w)
		}
	}
}

func (n *Node) inject() {
	event := wire.Event{Name: wire.EvInjected, Text: "the kernel answers EIO for this partition's files (seccomp filter)"}
	dir, err := walDir(n.config.Dir, n.config.FaultGroup)
	if err == nil {
		err = n.reserve.FailFilesBelow(dir)
	}
	if err != nil {
		event = wire.Event{Name: wire.EvInjectionFailed, Text: err.Error()}
	}
	n.event(n.config.FaultGroup, event)
}

func (n *Node) dump() *wire.Dump {
	d := &wire.Dump{Acked: map[uint64][]uint64{}, Applied: map[uint64][]uint64{}}
	for g, r := range n.replicas {
		m, _, _ := r.current()
		ids, corrupt := m.snapshotIDs()
		d.Applied[g] = ids
		d.Corrupt += corrupt
		d.Acked[g] = n.loads[g].ackedIDs()
	}
	return d
}
