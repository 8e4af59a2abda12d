package supervisor

import (
	"fmt"
	"time"

	"github.com/bulkhead-wal/bulkhead/go/cubefs"
)

// Kind says what has happened to a group.
type Kind int

const (
	// Faulted: the log refuses writes, or could not be opened. Raft ends the group
	// at its next write if the log has not come back by then; if the medium has failed
	// it is stopped before that.
	Faulted Kind = iota + 1
	// Stopped: the group is unregistered.
	Stopped
	// ReturnFailed: a try to bring it back failed; Err says why. Others follow.
	ReturnFailed
	// Returned: the group runs again.
	Returned
	// Gone: the partition was removed while the group was down, or its creation has failed.
	Gone
)

var kindNames = map[Kind]string{
	Faulted: "faulted", Stopped: "stopped", ReturnFailed: "return failed", Returned: "returned", Gone: "gone",
}

func (k Kind) String() string { return kindNames[k] }

// Event is a step of a group.
type Event struct {
	Kind  Kind
	ID    uint64
	Dir   string
	Time  time.Time
	Fault cubefs.Fault // what it began with
	// Unanswered counts the proposals that raft took in and will never answer
	// (Stopped); -1 if that could not be seen. Their callers wait for ever.
	Unanswered int
	Err        error         // ReturnFailed
	Down       time.Duration // Returned: since the fault
}

// String is a line for a log or an alarm.
func (e Event) String() string {
	switch e.Kind {
	case Faulted:
		return fmt.Sprintf("bulkhead: the log of group %d failed, %v, %v: %v", e.ID, e.Fault.State, e.Fault.Cause, e.Fault.Err)
	case Stopped:
		return fmt.Sprintf("bulkhead: group %d is stopped, %d proposals will not be answered: %v", e.ID, e.Unanswered, e.Fault.Err)
	case ReturnFailed:
		return fmt.Sprintf("bulkhead: group %d is not back yet: %v", e.ID, e.Err)
	case Returned:
		return fmt.Sprintf("bulkhead: group %d runs again after %v", e.ID, e.Down.Round(time.Millisecond))
	default:
		return fmt.Sprintf("bulkhead: group %d: its partition is %v", e.ID, e.Kind)
	}
}

// Totals count what has happened since the supervisor was made.
type Totals struct {
	Faults, Stops, Returns, FailedReturns uint64
	// Unanswered proposals, see Event.
	Unanswered uint64
}

func (t *Totals) add(e Event) {
	switch e.Kind {
	case Faulted:
		t.Faults++
	case Stopped:
		t.Stops++
		if e.Unanswered > 0 {
			t.Unanswered += uint64(e.Unanswered)
		}
	case ReturnFailed:
		t.FailedReturns++
	case Returned:
		t.Returns++
	}
}
