package node

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// answerLimit is how long a writer waits for the answer to one write.
	answerLimit = 2 * time.Second
	notLeading  = 20 * time.Millisecond
	payloadMin  = 256 // bytes of a command, up to payloadMin+payloadSpan-1
	payloadSpan = 1024
)

// load is what the writers of one group on one node share. Writers are paced, not
// flat out: the question is whether others notice a fault, and a machine that is
// busy to its limit would hide that in its noise.
type load struct {
	node  *Node
	group uint64

	seq        uint64 // atomic
	ackedN     uint64 // atomic
	unanswered uint64 // atomic

	mu     sync.Mutex
	acked  []uint64
	lastAt time.Time // zero while another node leads
	ackAt  time.Time
	gap    time.Duration
}

// run writes while this node leads the group, until stop is closed. An answer
// that does not come in time is counted, and the writer goes on.
func (l *load) run(writer, writers int, period time.Duration, stop <-chan struct{}) {
	next := time.Now().Add(period * time.Duration(writer) / time.Duration(writers))
	for {
		wait := time.Until(next)
		if !l.node.server.IsLeader(l.group) {
			l.pauseClock()
			wait, next = notLeading, time.Now()
		} else if wait < -time.Second {
			next = time.Now() // after a long stall, no burst to make up for it
		}
		if wait > 0 {
			select {
			case <-stop:
				return
			case <-time.After(wait):
			}
			if wait == notLeading {
				continue
			}
		}
		select {
		case <-stop:
			return
		default:
		}
		l.write()
		next = next.Add(period)
	}
}

func (l *load) write() {
	seq := atomic.AddUint64(&l.seq, 1)
	id := l.node.config.ID<<56 | l.group<<40 | seq
	size := payloadMin + int(seq*37%payloadSpan)
	resp, errs := l.node.server.Submit(l.group, encodeCommand(id, size)).AsyncResponse()
	timer := time.NewTimer(answerLimit)
	defer timer.Stop()
	select {
	case <-resp:
		l.ack(id)
	case <-errs:
		time.Sleep(notLeading)
	case <-timer.C:
		atomic.AddUint64(&l.unanswered, 1)
	}
}

func (l *load) ack(id uint64) {
	now := time.Now()
	l.mu.Lock()
	l.acked = append(l.acked, id)
	if !l.lastAt.IsZero() && now.Sub(l.lastAt) > l.gap {
		l.gap = now.Sub(l.lastAt)
	}
	l.lastAt, l.ackAt = now, now
	l.mu.Unlock()
	atomic.AddUint64(&l.ackedN, 1)
}

// pauseClock keeps the time in which another node leads out of the pauses.
func (l *load) pauseClock() {
	l.mu.Lock()
	l.lastAt = time.Time{}
	l.mu.Unlock()
}

// takeGap gives the longest pause between two acknowledgements since it was last
// asked, and when the last one was (0: never).
func (l *load) takeGap() (gap time.Duration, lastAckNS int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	gap, l.gap = l.gap, 0
	if !l.ackAt.IsZero() {
		lastAckNS = l.ackAt.UnixNano()
	}
	return gap, lastAckNS
}

func (l *load) ackedIDs() []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]uint64(nil), l.acked...)
}
