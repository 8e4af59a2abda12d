package bulkhead

import (
	"context"
	"fmt"
	"time"
)

// LogLevel is how much a line of the log matters.
type LogLevel int

const (
	LogInfo  LogLevel = iota // something is over: healed, released
	LogWarn                  // met, and nobody is kept from working
	LogError                 // a partition refuses calls
)

const (
	logBurst  = 3                // lines of one kind and partition in a window
	logWindow = 10 * time.Second // after which there may be as many again
	logKinds  = 4096             // kinds remembered at a time
)

// LogTo writes a line for each event of the engine until it is closed or stop is
// called, which waits for a line that is being written. write is called from one
// goroutine. Of lines that repeat, same partition, cause and operation, there are
// at most three in ten seconds; the next one says how many were left out.
func (e *Engine) LogTo(write func(level LogLevel, line string)) (stop func()) {
	sub := e.Subscribe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		limit := logLimit{kinds: make(map[logKind]*logCount)}
		for {
			event, err := sub.Next(context.Background())
			if err != nil {
				return // no more events
			}
			if leftOut, ok := limit.admit(event, time.Now()); ok {
				level, line := logLine(event)
				if leftOut > 0 {
					line += fmt.Sprintf(" (%d like it left out)", leftOut)
				}
				write(level, line)
			}
		}
	}()
	return func() {
		sub.Close()
		<-done
	}
}

func logLine(e Event) (LogLevel, string) {
	level, text := LogWarn, "went on after "+e.Cause.String()
	switch {
	case e.Op == OpSetLimits && e.PartitionID == 0 && e.Partition == nil:
		return LogInfo, "bulkhead: limits of the engine or of a disk were set"
	case e.Op == OpSetLimits:
		level, text = LogInfo, "has new limits"
	case e.Cause == CauseFenced && e.From == e.To:
		text = "fenced by hand, beside its fault"
	case e.To == StateReadWrite && e.Cause == CauseNone:
		level, text = LogInfo, "is healed"
		if e.From != e.To {
			text = fmt.Sprintf("is ReadWrite again, after %v", e.From)
		}
	case e.To == StateUnavailable || e.To == StateReadOnly:
		level, text = LogError, fmt.Sprintf("is %v: %v", e.To, e.Cause)
	case e.From != e.To:
		text = fmt.Sprintf("is %v, after %v: %v", e.To, e.From, e.Cause)
	}
	line := fmt.Sprintf("bulkhead: partition %d %s, in %v", e.PartitionID, text, e.Op)
	if e.Errno != 0 {
		line += ": " + e.Errno.Error()
	}
	if e.Range != (Range{}) {
		line += fmt.Sprintf(", entries %d to %d", e.Range.First, e.Range.Last)
	}
	if e.Partition != nil {
		line += ", " + e.Partition.Path()
	}
	return level, line
}

// logKind is what lines that repeat have in common.
type logKind struct {
	partition uint64
	to        State
	cause     Cause
	op        Op
}

type logCount struct {
	since   time.Time
	written int
	leftOut int
}

type logLimit struct{ kinds map[logKind]*logCount }

// admit tells whether an event may have a line, and how many of its kind had none
// since the last one.
func (l *logLimit) admit(e Event, now time.Time) (leftOut int, ok bool) {
	kind := logKind{e.PartitionID, e.To, e.Cause, e.Op}
	c := l.kinds[kind]
	if c == nil {
		if len(l.kinds) >= logKinds {
			l.forget(now)
		}
		c = &logCount{since: now}
		l.kinds[kind] = c
	}
	if now.Sub(c.since) >= logWindow {
		c.since, c.written = now, 0
	}
	if c.written >= logBurst {
		c.leftOut++
		return 0, false
	}
	c.written++
	leftOut, c.leftOut = c.leftOut, 0
	return leftOut, true
}

// forget drops the kinds of windows that are over; all of them if that is none.
func (l *logLimit) forget(now time.Time) {
	for kind, c := range l.kinds {
		if now.Sub(c.since) >= logWindow {
			delete(l.kinds, kind)
		}
	}
	if len(l.kinds) >= logKinds {
		l.kinds = make(map[logKind]*logCount)
	}
}
