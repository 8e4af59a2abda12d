package bulkhead

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

type logged struct {
	level LogLevel
	text  string
}

// testLog is an owner's log.
type testLog struct {
	mu    sync.Mutex
	lines []logged
}

func (l *testLog) write(level LogLevel, text string) {
	l.mu.Lock()
	l.lines = append(l.lines, logged{level, text})
	l.mu.Unlock()
}

func (l *testLog) with(text string) (found []logged) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line.text, text) {
			found = append(found, line)
		}
	}
	return found
}

func (l *testLog) wait(t *testing.T, level LogLevel, text string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if found := l.with(text); len(found) > 0 {
			if found[0].level != level {
				t.Errorf("%q has level %d, want %d", found[0].text, found[0].level, level)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatalf("no line with %q in %v", text, l.with(""))
		}
	}
}

func logTo(t *testing.T, e *Engine, l *testLog) (stop func()) {
	t.Helper()
	stop, err := e.LogTo(l.write)
	if err != nil {
		t.Fatal(err)
	}
	return stop
}

// A disk that fails, and the end of that, are lines in the owner's log.
func TestLogLines(t *testing.T) {
	e := openEngine(t, EngineConfig{HealLimit: Never, IdleCheck: Never, Probe: Never})
	var log testLog
	logTo(t, e, &log)
	p := openPartition(t, e, ModeSync)
	mustAppend(t, p, makeEntries(1, 4, 1, 10))
	breakDisk(t, p)
	if err := p.Append(makeEntries(4, 5, 1, 10)); err == nil {
		t.Fatal("an append on a failed disk worked")
	}
	log.wait(t, LogError, "partition 7 is Unavailable: I/O error, in append: ")
	if line := log.with("is Unavailable")[0].text; !strings.Contains(line, "EIO, ") || !strings.Contains(line, p.Path()) {
		t.Errorf("%q", line)
	}
	if err := p.Recover(); err != nil {
		t.Fatal(err)
	}
	log.wait(t, LogInfo, "partition 7 is ReadWrite again, after Recovering, in recover")
}

// A partition that flaps must not fill the log. What waits is written before
// stop returns, and nothing after it.
func TestLogStops(t *testing.T) {
	e := openEngine(t, EngineConfig{})
	p := openPartition(t, e, ModeSync)
	var first, second testLog
	stopFirst, stopSecond := logTo(t, e, &first), logTo(t, e, &second)
	flap := func() {
		t.Helper()
		for _, do := range []func() error{func() error { return p.Fence(StateReadOnly, "x\ny") }, p.Release} {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := 0; i < 20; i++ {
		flap()
	}
	stopFirst()
	stopFirst() // again is nothing
	stopSecond()
	const fenced = `is ReadOnly: fenced, in fence: fenced by hand: x\ny`
	for _, log := range []*testLog{&first, &second} {
		if n := len(log.with(fenced)); n < 3 && log == &second || n >= 20 {
			t.Errorf("%d lines of 20: %v", n, log.with(""))
		}
	}
	lines := second.with("")
	if last := lines[len(lines)-1].text; !strings.Contains(last, "ReadWrite again") {
		t.Errorf("the log ends with what is over: %q", last)
	}
	written := len(lines)
	flap()
	time.Sleep(20 * time.Millisecond)
	if n := len(second.with("")); n != written {
		t.Errorf("%d lines after stop", n-written)
	}
}

// Close writes what waits, and a closed engine has no log.
func TestLogEndsWithTheEngine(t *testing.T) {
	e, err := Open(EngineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var log testLog
	stop := logTo(t, e, &log)
	if err := e.SetLimits(LimitChange{Limit: LimitProbeMs, Value: 7}); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if found := log.with("limits set for the engine: probe_ms"); len(found) != 1 {
		t.Errorf("%v", log.with(""))
	}
	stop()
	if _, err := e.LogTo(log.write); !errors.Is(err, ErrClosed) {
		t.Errorf("LogTo of a closed engine: %v", err)
	}
}

// An engine that is being closed still writes what waits, while somebody stops the log:
// what the library calls must be there until the close is through.
func TestLogIsStoppedBesideAClose(t *testing.T) {
	e, err := Open(EngineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	begun, on := make(chan bool, 1), make(chan bool)
	stop, err := e.LogTo(func(LogLevel, string) {
		select {
		case begun <- true:
		default:
		}
		<-on
	})
	if err != nil {
		t.Fatal(err)
	}
	for value := uint64(7); value < 10; value++ { // lines of settings are not held back
		if err := e.SetLimits(LimitChange{Limit: LimitProbeMs, Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	<-begun
	var both sync.WaitGroup
	both.Add(2)
	go func() { defer both.Done(); _ = e.Close() }()
	for {
		if _, err := e.MetricsText(); errors.Is(err, ErrClosed) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	go func() { defer both.Done(); stop() }()
	time.Sleep(50 * time.Millisecond)
	close(on)
	both.Wait()
}

// What write must not wait for is refused, and what it does wrong is its own.
func TestLogIsCalledByItsOwnEngine(t *testing.T) {
	e := openEngine(t, EngineConfig{})
	var stop func()
	var calls int
	heard := make(chan error, 2)
	stop, err := e.LogTo(func(LogLevel, string) {
		if calls++; calls == 1 {
			panic("of the owner's")
		}
		_, err := e.LogTo(func(LogLevel, string) {})
		heard <- err
		heard <- e.Close()
		stop()
	})
	if err != nil {
		t.Fatal(err)
	}
	for value := uint64(7); value < 10; value++ {
		if err := e.SetLimits(LimitChange{Limit: LimitProbeMs, Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < 2; i++ {
		if err := <-heard; !errors.Is(err, ErrBusy) {
			t.Errorf("called by write: %v", err)
		}
	}
	stop()
	if calls != 2 {
		t.Errorf("%d lines, want none after stop", calls)
	}
}

// Whoever waits for one line and then stops must not be kept for as long as the
// engine lives, nor those after it.
func TestLogForgetsThoseThatStopThemselves(t *testing.T) {
	e := openEngine(t, EngineConfig{})
	for value := uint64(100); value < 120; value++ {
		heard, known := make(chan struct{}), make(chan func(), 1)
		stop, err := e.LogTo(func(LogLevel, string) {
			(<-known)()
			close(heard)
		})
		if err != nil {
			t.Fatal(err)
		}
		known <- stop
		if err := e.SetLimits(LimitChange{Limit: LimitProbeMs, Value: value}); err != nil {
			t.Fatal(err)
		}
		<-heard
	}
	if n := len(e.log.all()); n > 1 {
		t.Errorf("%d are kept that have had their last line", n)
	}
}
