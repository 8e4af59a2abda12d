package driver

import (
	"math"
	"sync"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/demo/internal/node"
	"github.com/bulkhead-wal/bulkhead/tests/demo/internal/wire"
)

// Tracker holds what the nodes have reported. Safe for concurrent use.
type Tracker struct {
	mu      sync.Mutex
	stats   map[uint64]map[uint64]wire.GroupStats // node, group
	at      map[uint64]int64                      // node: when it took them
	history []sample                              // the last second or so
	pause   map[uint64]time.Duration              // longest since resetPauses, per group
	lastAck map[uint64]int64                      // newest acknowledgement of a group on any node
	events  []Seen
	exited  map[uint64]error
	onEvent func(Seen)
}

// Seen is an event with its place and time.
type Seen struct {
	Node  uint64
	Time  time.Time
	Event wire.Event
}

// sample is what the nodes had acknowledged, each at a time of its own.
type sample struct {
	taken time.Time
	nodes map[uint64]nodeSample
}

type nodeSample struct {
	atNS  int64
	acked map[uint64]uint64 // per group
}

const rateWindow = time.Second

func newTracker(onEvent func(Seen)) *Tracker {
	return &Tracker{stats: map[uint64]map[uint64]wire.GroupStats{}, at: map[uint64]int64{},
		pause: map[uint64]time.Duration{}, lastAck: map[uint64]int64{}, exited: map[uint64]error{}, onEvent: onEvent}
}

func (t *Tracker) addStats(r wire.Report) {
	t.mu.Lock()
	defer t.mu.Unlock()
	groups := make(map[uint64]wire.GroupStats, len(r.Groups))
	for _, g := range r.Groups {
		groups[g.Group] = g
		t.pauseLocked(g.Group, time.Duration(g.GapMS*float64(time.Millisecond)))
		if g.LastAckNS > t.lastAck[g.Group] {
			t.lastAck[g.Group] = g.LastAckNS
		}
	}
	t.stats[r.Node], t.at[r.Node] = groups, r.TimeNS
	// A pause between two leaders is one that no node sees: it lasts up to the time
	// for which all living nodes have reported.
	upTo := r.TimeNS
	for node, at := range t.at {
		if _, gone := t.exited[node]; !gone && at < upTo {
			upTo = at
		}
	}
	for group, last := range t.lastAck {
		if last > 0 {
			t.pauseLocked(group, time.Duration(upTo-last))
		}
	}
	t.history = append(t.history, t.sampleLocked())
	for len(t.history) > 2 && time.Since(t.history[1].taken) > rateWindow {
		t.history = t.history[1:]
	}
}

func (t *Tracker) pauseLocked(group uint64, d time.Duration) {
	if d > t.pause[group] {
		t.pause[group] = d
	}
}

// addEvent is also used by the driver for what it does itself, as node 0.
func (t *Tracker) addEvent(s Seen) {
	t.mu.Lock()
	t.events = append(t.events, s)
	t.mu.Unlock()
	t.onEvent(s)
}

func (t *Tracker) setExited(node uint64, err error) {
	t.mu.Lock()
	t.exited[node] = err
	t.mu.Unlock()
}

func (t *Tracker) sampleLocked() sample {
	s := sample{taken: time.Now(), nodes: map[uint64]nodeSample{}}
	for node, groups := range t.stats {
		acked := make(map[uint64]uint64, len(groups))
		for id, g := range groups {
			acked[id] = g.Acked
		}
		s.nodes[node] = nodeSample{atNS: t.at[node], acked: acked}
	}
	return s
}

func (t *Tracker) mark() sample {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sampleLocked()
}

// rates gives the acknowledged writes per second and group between two samples.
func rates(from, to sample) map[uint64]float64 {
	r := map[uint64]float64{}
	longest := 0.0
	for id, end := range to.nodes {
		if begin := from.nodes[id]; begin.atNS != 0 {
			longest = math.Max(longest, float64(end.atNS-begin.atNS)/float64(time.Second))
		}
	}
	for id, end := range to.nodes {
		begin := from.nodes[id]
		seconds := float64(end.atNS-begin.atNS) / float64(time.Second)
		if begin.atNS == 0 || longest <= 0 {
			continue
		}
		if seconds < longest-2*node.StatsInterval.Seconds() {
			seconds = longest // it stopped reporting: it acknowledged nothing since
		}
		for group, n := range end.acked {
			r[group] += float64(n-begin.acked[group]) / seconds
		}
	}
	return r
}

func (t *Tracker) resetPauses() {
	t.mu.Lock()
	t.pause = map[uint64]time.Duration{}
	t.mu.Unlock()
}

func (t *Tracker) longestPause(except uint64) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	var longest time.Duration
	for group, pause := range t.pause {
		if group != except && pause > longest {
			longest = pause
		}
	}
	return longest
}

// find gives the first event of a name on a node for a group.
func (t *Tracker) find(name string, node, group uint64) (Seen, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.events {
		if s.Event.Name == name && s.Node == node && s.Event.Group == group {
			return s, true
		}
	}
	return Seen{}, false
}

func (t *Tracker) replica(node, group uint64) wire.GroupStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stats[node][group]
}

func (t *Tracker) dead() []uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ids []uint64
	for id := uint64(1); id <= nodes; id++ {
		if _, gone := t.exited[id]; gone {
			ids = append(ids, id)
		}
	}
	return ids
}

// leader gives the node that leads a group in the view of a majority; 0 if none does.
func (t *Tracker) leader(group uint64) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.leaderLocked(group)
}

func (t *Tracker) leaderLocked(group uint64) uint64 {
	votes := map[uint64]int{}
	for _, groups := range t.stats {
		votes[groups[group].Leader]++
	}
	for node, n := range votes {
		if node != 0 && n > nodes/2 {
			return node
		}
	}
	return 0
}

// Row is one partition in the live table.
type Row struct {
	Group     uint64
	Leader    uint64
	Rate      float64 // acknowledged writes per second over the last second
	State     string  // as its owner on the fault node reports it
	Cause     string
	Behind    uint64 // entries that the fault node's replica is behind the furthest one
	NodeAlive bool
}

// Rows gives the table's content for the replicas on a node.
func (t *Tracker) Rows(node, groups uint64) []Row {
	t.mu.Lock()
	defer t.mu.Unlock()
	var rate map[uint64]float64
	if len(t.history) > 1 {
		rate = rates(t.history[0], t.history[len(t.history)-1])
	}
	_, gone := t.exited[node]
	rows := make([]Row, 0, groups)
	for g := uint64(1); g <= groups; g++ {
		s := t.stats[node][g]
		row := Row{Group: g, Leader: t.leaderLocked(g), Rate: rate[g], State: s.State, Cause: s.Cause, NodeAlive: !gone}
		for _, other := range t.stats {
			if a := other[g].Applied; a > s.Applied && a-s.Applied > row.Behind {
				row.Behind = a - s.Applied
			}
		}
		rows = append(rows, row)
	}
	return rows
}
