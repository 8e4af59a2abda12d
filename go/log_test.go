package bulkhead

import (
	"strings"
	"testing"
	"time"
)

func TestLogLines(t *testing.T) {
	e := openEngine(t, EngineConfig{})
	type line struct {
		level LogLevel
		text  string
	}
	lines := make(chan line, 100)
	stop := e.LogTo(func(level LogLevel, text string) { lines <- line{level, text} })
	p := openPartition(t, e, ModeSync)
	for _, do := range []func() error{func() error { return p.Fence(StateReadOnly, "x") }, p.Release} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []line{{LogError, "partition 7 is ReadOnly: fenced, in fence"}, {LogInfo, "partition 7 is ReadWrite again, after "}} {
		for got := (line{}); !strings.Contains(got.text, want.text); { // a filesystem may be warned of first
			select {
			case got = <-lines:
				if strings.Contains(got.text, want.text) && got.level != want.level {
					t.Errorf("%q has level %d", got.text, got.level)
				}
			case <-time.After(5 * time.Second):
				t.Fatalf("no line %q", want.text)
			}
		}
	}
	stop()
}

// A partition that flaps must not fill the log, and what is left out is counted.
func TestRepeatedLinesAreBounded(t *testing.T) {
	limit := logLimit{kinds: make(map[logKind]*logCount)}
	now := time.Now()
	written := 0
	for i := 0; i < 1000; i++ {
		if _, ok := limit.admit(Event{PartitionID: 1, Cause: CauseIOError}, now); ok {
			written++
		}
	}
	if written != logBurst {
		t.Errorf("%d lines", written)
	}
	if _, ok := limit.admit(Event{PartitionID: 2, Cause: CauseIOError}, now); !ok {
		t.Error("another partition is no repetition")
	}
	if leftOut, ok := limit.admit(Event{PartitionID: 1, Cause: CauseIOError}, now.Add(logWindow)); !ok || leftOut != 1000-logBurst {
		t.Errorf("%d left out, %v", leftOut, ok)
	}
	for id := uint64(0); id < 3*logKinds; id++ {
		limit.admit(Event{PartitionID: id, Cause: CauseIOError}, now)
	}
	if len(limit.kinds) > logKinds {
		t.Errorf("%d kinds in memory", len(limit.kinds))
	}
}
