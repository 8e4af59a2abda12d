package supervisor

import (
	"context"
	"sort"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/cubefs/cubefs/depends/tiglabs/raft"
)

// Report is what there is to know of one group.
type Report struct {
	ID    uint64 `json:"id"`
	Dir   string `json:"dir"`
	State string `json:"state"` // of the log, in CubeFS's words; "Stopped" of a group that is down
	// Of a group whose log has failed: why, for how long, what the last try to bring
	// it back said.
	Fault       string  `json:"fault,omitempty"`
	DownSeconds float64 `json:"down_seconds,omitempty"`
	LastTry     string  `json:"last_try,omitempty"`

	// The log, and what it takes on disk.
	First    uint64 `json:"first_index"`
	Last     uint64 `json:"last_index"`
	LogBytes uint64 `json:"log_bytes"`
	// A snapshot was begun and has not arrived: raft sees no entries. If that lasts,
	// the leader has to compact its log, or the replica to be made anew.
	SnapshotPending bool `json:"snapshot_pending,omitempty"`

	// Pins are the replicas that this leader waits for, the worst first.
	Pins []Pin `json:"pins,omitempty"`
}

// Pin is a replica that lags: the log is kept for it, here and on the others.
type Pin struct {
	Node          uint64  `json:"node"`
	Match         uint64  `json:"match"`          // the last entry that it has
	Entries       uint64  `json:"entries"`        // kept for it
	Bytes         uint64  `json:"bytes"`          // about
	SilentSeconds float64 `json:"silent_seconds"` // since it was heard of
	Active        bool    `json:"active"`         // as its leader sees it
}

// Totals returns what has been counted.
func (s *Supervisor) Totals() Totals {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.totals
}

// Report describes all groups, ordered by id. It asks leaders for their replicas,
// which waits for their raft loops, but never for longer than a second in all.
func (s *Supervisor) Report() []Report {
	s.mu.Lock()
	var reports []Report
	var groups []Group
	var logs []*cubefs.Storage
	for _, m := range s.members {
		o := m.latest
		if o == nil {
			continue
		}
		r := Report{ID: o.group.ID, Dir: o.dir}
		if o.isFault {
			r.Fault = o.fault.Err.Error()
			r.DownSeconds = time.Since(m.since).Seconds()
		}
		if m.lastErr != nil {
			r.LastTry = m.lastErr.Error()
		}
		if o.down {
			r.State = "Stopped"
		}
		reports, groups, logs = append(reports, r), append(groups, o.group), append(logs, o.storage)
	}
	s.mu.Unlock()
	limit, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for i, group := range groups {
		if logs[i] != nil {
			reports[i].fill(limit, group, logs[i])
		}
	}
	sort.Slice(reports, func(i, j int) bool { return reports[i].ID < reports[j].ID })
	return reports
}

func (r *Report) fill(limit context.Context, group Group, log *cubefs.Storage) {
	r.First, _ = log.FirstIndex() // neither ever fails
	r.Last, _ = log.LastIndex()
	r.SnapshotPending = log.SnapshotPending()
	status, err := log.Partition().Status()
	switch {
	case err == nil:
		r.State, r.LogBytes = status.State.String(), status.SegmentBytes
	case r.State == "":
		r.State = bulkhead.StateClosed.String()
	}
	if err == nil && group.Server != nil && group.Server.IsLeader(group.ID) {
		r.pins(statusOf(limit, group))
	}
}

// statusOf asks a raft loop. That of a dead group never answers, and its
// goroutine stays: only groups are asked that lead, which a dead one does not for
// long.
func statusOf(limit context.Context, group Group) *raft.Status {
	if limit.Err() != nil {
		return nil // no more goroutines for loops that do not answer
	}
	answer := make(chan *raft.Status, 1)
	go func() { answer <- group.Server.Status(group.ID) }()
	select {
	case status := <-answer:
		return status
	case <-limit.Done():
		return nil
	}
}

func (r *Report) pins(status *raft.Status) {
	if status == nil {
		return
	}
	for node, replica := range status.Replicas {
		if node == status.NodeID || replica.Match >= r.Last {
			continue
		}
		p := Pin{Node: node, Match: replica.Match, Entries: r.Last - replica.Match, Active: replica.Active,
			SilentSeconds: time.Since(replica.LastActive).Seconds()}
		if have := r.Last + 1 - r.First; p.Entries > have {
			p.Entries = have // it needs more than there is: a snapshot
		}
		if have := r.Last + 1 - r.First; have > 0 {
			p.Bytes = uint64(float64(r.LogBytes) * float64(p.Entries) / float64(have))
		}
		r.Pins = append(r.Pins, p)
	}
	sort.Slice(r.Pins, func(i, j int) bool { return r.Pins[i].Entries > r.Pins[j].Entries })
}
