// Package wire holds what the driver of the demo and its node processes say to
// each other: one JSON value per line, commands on a node's standard input,
// reports on its standard output.
package wire

// Names of commands.
const (
	CmdLead     = "lead"      // take the leadership of Groups
	CmdLoad     = "load"      // start the writers
	CmdStopLoad = "stop_load" // stop the writers, answer what is in flight
	CmdInject   = "inject"    // fail the fault partition's files from now on
	CmdDiskBack = "disk_back" // the cause is gone: the owner may act, if it knows of anything
	CmdPing     = "ping"
	CmdDump     = "dump"
)

// Command is what the driver sends.
type Command struct {
	Name   string   `json:"name"`
	Groups []uint64 `json:"groups,omitempty"`
}

// Kinds of reports.
const (
	KindReady = "ready"
	KindStats = "stats"
	KindEvent = "event"
	KindPong  = "pong"
	KindDump  = "dump"
	KindFatal = "fatal" // the node cannot go on; Text says why
)

// Report is what a node sends.
type Report struct {
	Kind   string       `json:"kind"`
	Node   uint64       `json:"node"`
	TimeNS int64        `json:"time_ns"` // wall clock; all processes are on one machine
	Text   string       `json:"text,omitempty"`
	Groups []GroupStats `json:"groups,omitempty"`
	Event  *Event       `json:"event,omitempty"`
	Dump   *Dump        `json:"dump,omitempty"`
}

// GroupStats is one replica as its node sees it. Counters grow from the start.
type GroupStats struct {
	Group      uint64  `json:"group"`
	Applied    uint64  `json:"applied"`     // raft index the state machine has reached
	Acked      uint64  `json:"acked"`       // writes proposed here and answered with success
	Unanswered uint64  `json:"unanswered"`  // writes proposed here that got no answer in time
	Leader     uint64  `json:"leader"`      // as raft on this node believes; 0 = none
	State      string  `json:"state"`       // what the partition's owner would report
	Cause      string  `json:"cause"`       // why it is not ReadWrite, as the owner was told
	GapMS      float64 `json:"gap_ms"`      // longest pause between two acknowledgements since the last stats
	LastAckNS  int64   `json:"last_ack_ns"` // when the last one was
	// Down lists the replicas which the leader's raft calls down; sent by the
	// fault group's leader only.
	Down    []uint64 `json:"down,omitempty"`
	DownSet bool     `json:"down_set,omitempty"`
}

// Names of events.
const (
	EvFirstError      = "first_error"      // a storage call gave raft its first error
	EvTold            = "told"             // the owner was told of a fault
	EvStopped         = "stopped"          // the owner stopped the raft group
	EvReopened        = "reopened"         // the owner opened the WAL again
	EvRecovered       = "recovered"        // the replica has caught up
	EvRecoverFailed   = "recover_failed"   // an attempt of the owner failed; it tries again
	EvNothingToDo     = "nothing_to_do"    // the disk is back, the owner knows of no fault
	EvInjected        = "injected"         // the injected error is in place
	EvInjectionFailed = "injection_failed" //
)

// Event is something that happened to one group on one node.
type Event struct {
	Name      string `json:"name"`
	Group     uint64 `json:"group"`
	Text      string `json:"text"`
	State     string `json:"state,omitempty"`
	Cause     string `json:"cause,omitempty"`
	Errno     int    `json:"errno,omitempty"`
	LastIndex uint64 `json:"last_index,omitempty"` // EvReopened: the log's last index
}

// Dump is everything a node acknowledged and applied, per group, in order.
type Dump struct {
	Acked   map[uint64][]uint64 `json:"acked"`
	Applied map[uint64][]uint64 `json:"applied"`
	Corrupt uint64              `json:"corrupt"` // commands whose checksum did not match
}
