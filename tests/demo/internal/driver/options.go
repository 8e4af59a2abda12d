// Package driver runs the demo: a cluster of three node processes per engine, a
// fault under one partition of one of them, and the measuring of what follows.
package driver

import "time"

// Options of one run. All durations are per engine.
type Options struct {
	Self       string        // this program, started again for each node
	Dir        string        // everything the demo writes is below here
	Engines    []string      // in the order in which they run
	Groups     uint64        // raft groups, each with a replica on every node
	FaultNode  uint64        // the node whose disk fails
	FaultGroup uint64        // the partition that lives on that disk
	HitLeader  bool          // the failing replica leads its group when it fails
	Rate       int           // writes per second and partition
	Injected   bool          // injected error instead of a real one
	Why        string        // why the error is injected
	Rules      string        // directory of the alert rules
	NoMetrics  error         // why no Prometheus looks on; nil: one does
	Warm       time.Duration // writes run, nothing is measured
	Before     time.Duration // measured before the fault
	Fault      time.Duration // the disk is dead
	After      time.Duration // the disk is back
}

const (
	nodes          = 3
	writersPerNode = 4 // per group, on the node that leads it
	// keepShare is the share of its writes per second before the fault that a
	// partition must keep during it to count as healthy.
	keepShare = 0.8

	startLimit  = 30 * time.Second
	leaderLimit = 20 * time.Second
	answerLimit = 5 * time.Second // a command a node has to answer
	settleLimit = 6 * time.Second // replicas reaching the same index after the last write
)

// Result is what was measured with one engine.
type Result struct {
	Engine      string
	ErrorKind   string
	Alive       bool
	DeadNodes   []uint64
	FirstError  string        // what raft got from the storage
	FirstAfter  time.Duration // from the disk's death to that error: what the storage waited and tried by itself is in it
	Told        bool          // the owner was told
	ToldAfter   time.Duration // from the first failing call's return to the owner; may be slightly negative
	ToldText    string
	Waited      time.Duration // how long the demo waited for the owner to be told
	OwnerState  string        // what the owner reported while the disk was dead
	OwnerCause  string
	LeaderSaw   string // yes, no: raft on the leader called the replica down; unknown
	Healthy     int
	Others      int
	RateBefore  float64 // writes per second of all other partitions together
	RateFault   float64
	PauseBefore time.Duration // the longest between two acknowledgements of any other partition
	PauseFault  time.Duration // while the disk was dead
	PauseAfter  time.Duration // from its return on
	Unanswered  uint64        // writes to the faulted partition that got no answer
	Recovered   bool
	RecoverTime time.Duration // from the disk's return to having caught up
	Behind      uint64        // raft entries the replica lacks at the end
	Acked       int           // acknowledged writes that were looked for
	Lost        int           // not found on a replica that is in service
	MissingCopy int           // acknowledged writes that the faulted replica lacks; -1 if its node gave no answer
	Diverged    []uint64      // groups whose replicas applied different sequences
	Corrupt     uint64        // commands whose checksum did not match when applied
	Watched     bool          // by a Prometheus
	AlertAfter  time.Duration // from the disk's death until the alert fired; negative: it did not
	OverAfter   time.Duration // from the disk's return until it was over; negative: it was not
}

// Good is what the project promises of itself.
func (r *Result) Good() bool {
	return r.Alive && r.Told && r.Healthy == r.Others && r.Recovered && r.Lost == 0 &&
		len(r.Diverged) == 0 && r.Corrupt == 0 && (!r.Watched || r.AlertAfter >= 0 && r.OverAfter >= 0)
}
