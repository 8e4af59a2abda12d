// Package driver starts a subject process, which drives one log implementation, and talks to it. A command that is not
// answered in time means that the system hangs; a process that is gone, that it died.
package driver

import "strings"

// Span is a range of indexes, both ends included.
type Span [2]uint64

// Reply is a subject's answer to one command; which fields are set depends on the command.
type Reply struct {
	OK          bool    `json:"ok"`
	Command     string  `json:"cmd"`
	Partition   uint64  `json:"p"`
	Status      string  `json:"status"`
	Errno       int     `json:"errno"`
	Text        string  `json:"text"`
	Unsupported bool    `json:"unsupported"`
	MS          float64 `json:"ms"`
	TimeNS      int64   `json:"t_ns"` // CLOCK_MONOTONIC

	// read
	Good       []Span      `json:"good"`
	Bad        []uint64    `json:"bad"` // came back as something else than was appended
	Missing    []Span      `json:"missing"`
	Unreadable []Span      `json:"unreadable"` // the system answered an error for them
	Terms      [][3]uint64 `json:"terms"`

	// open, state
	First      uint64 `json:"first"`
	Last       uint64 `json:"last"`
	State      string `json:"state"`
	Cause      string `json:"cause"`
	CauseErrno int    `json:"cause_errno"`
	Fault      string `json:"fault"`
	Durable    uint64 `json:"durable"`
	Damaged    Span   `json:"damaged"`
	Lost       Span   `json:"lost"`
	MaybeAcked Span   `json:"maybe_acknowledged"`
	Unsynced   Span   `json:"unsynced"`
	KeptBytes  uint64 `json:"kept_bytes"`
	Segments   uint64 `json:"segments"`

	// hardstate
	Term   uint64 `json:"term"`
	Vote   uint64 `json:"vote"`
	Commit uint64 `json:"commit"`

	// shared
	Shared uint64 `json:"shared"`

	// events
	Events []Event `json:"events"`

	// loadstop
	Appends          uint64  `json:"appends"`
	Errors           uint64  `json:"errors"`
	Seconds          float64 `json:"seconds"`
	P50US            float64 `json:"p50_us"`
	P99US            float64 `json:"p99_us"`
	MaxUS            float64 `json:"max_us"`
	FirstError       string  `json:"first_error"`
	FirstErrorStatus string  `json:"first_error_status"`
	FirstErrorErrno  int     `json:"first_error_errno"`
	FirstErrorNS     int64   `json:"first_error_t_ns"`
	LastOkNS         int64   `json:"last_ok_t_ns"`
}

// Event is a change of a partition's state that the system pushed.
type Event struct {
	TimeNS    int64  `json:"t_ns"`
	Partition uint64 `json:"p"`
	From      string `json:"from"`
	To        string `json:"to"`
	Cause     string `json:"cause"`
	Op        string `json:"op"`
	Errno     int    `json:"errno"`
}

// Problem says in short what a reply refuses.
func (r *Reply) Problem() string {
	text := r.Text
	if at := strings.IndexByte(text, '\n'); at >= 0 {
		text = text[:at]
	}
	if len(text) > 160 {
		text = text[:160] + "..."
	}
	if r.Status != "" {
		return r.Status + " (" + text + ")"
	}
	return text
}

// Holds tells whether a range of a list contains an index.
func Holds(spans []Span, index uint64) bool {
	for _, s := range spans {
		if index >= s[0] && index <= s[1] {
			return true
		}
	}
	return false
}
