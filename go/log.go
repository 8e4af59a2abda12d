package bulkhead

// #include "shim.h"
import "C"

import (
	"runtime/cgo"
	"sync"
	"sync/atomic"
	"syscall"
)

// LogLevel is how much a line of the log matters.
type LogLevel int

const (
	LogInfo  LogLevel = iota // something is over, or was done by hand: healed, released, limits that were set
	LogWarn                  // met, and nobody is kept from working
	LogError                 // a partition refuses calls, or has lost entries
)

// engineLog hands the lines of the library's log hook to those that LogTo was
// given. The hook is set as long as there are any.
type engineLog struct {
	setting sync.Mutex // held while the hook is set or taken away, which waits for write
	hook    cgo.Handle // 0 if it is not set

	thread int64 // that calls write at the moment, 0 if none does

	mu      sync.Mutex
	writers []*logWriter // replaced, never changed: write looks at it without mu
}

type logWriter struct {
	write func(level LogLevel, line string)

	mu      sync.Mutex // held while it writes
	stopped int32
}

// LogTo writes a line for each event of the engine until it is closed or stop is
// called; both return when write has had its last line. write is called by one
// thread of the library's at a time, which nothing waits for but those two: it
// must not wait for a lock that is held where they are called. A panic of it is
// its own, and ends with the line. If write calls stop it has had its last line;
// Close and LogTo called by it are ErrBusy, and do nothing. Of lines that repeat,
// same partition, state, cause and operation, there are at most three in ten
// seconds; when these are over, or at the end, a line says what the partition came
// to last. At most 1,024 wait for write, and behind them the last changes of
// 16,384 partitions. The next line says how many were left out. The error is
// ErrClosed, or ErrResourceExhausted if no thread can be had.
func (e *Engine) LogTo(write func(level LogLevel, line string)) (stop func(), err error) {
	w := &logWriter{write: write}
	if err := e.log.add(e.handle, w); err != nil {
		return nil, err
	}
	return func() { e.log.remove(e.handle, w) }, nil
}

func (l *engineLog) add(engine C.bulkhead_engine, w *logWriter) error {
	if l.isCalling() {
		return &Error{Op: OpStatus, Code: ErrBusy, Message: "called by what LogTo was given; return from it first"}
	}
	l.setting.Lock()
	defer l.setting.Unlock()
	l.put(append(l.without(w), w))
	if l.hook != 0 {
		return nil
	}
	hook := cgo.NewHandle(l)
	if err := takeError(C.bh_engine_set_log_hook(engine, C.uintptr_t(hook))); err != nil {
		hook.Delete()
		l.put(nil)
		return err
	}
	l.hook = hook
	return nil
}

func (l *engineLog) remove(engine C.bulkhead_engine, w *logWriter) {
	if l.isCalling() {
		atomic.StoreInt32(&w.stopped, 1)
		return
	}
	l.setting.Lock()
	defer l.setting.Unlock()
	rest := l.without(w)
	if len(rest) == 0 && l.hook != 0 {
		// The lines that wait are written first. An engine that is being closed may be
		// at that yet, and calls the hook: end comes after it.
		if err := takeError(C.bh_engine_set_log_hook(engine, 0)); err == nil {
			l.hook.Delete()
			l.hook = 0
		}
	}
	l.put(rest)
	w.mu.Lock()
	atomic.StoreInt32(&w.stopped, 1)
	w.mu.Unlock()
}

// end is called when the library has closed the engine.
func (l *engineLog) end() {
	l.setting.Lock()
	defer l.setting.Unlock()
	l.put(nil)
	if l.hook != 0 {
		l.hook.Delete()
		l.hook = 0
	}
}

// isCalling tells whether this is a call of write: a goroutine that C has called
// stays on its thread.
func (l *engineLog) isCalling() bool {
	return atomic.LoadInt64(&l.thread) == int64(syscall.Gettid())
}

func (l *engineLog) all() []*logWriter {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writers
}

func (l *engineLog) put(writers []*logWriter) {
	l.mu.Lock()
	l.writers = writers
	l.mu.Unlock()
}

// without returns a copy of the writers, all but w and those that have stopped
// themselves.
func (l *engineLog) without(w *logWriter) []*logWriter {
	var rest []*logWriter
	for _, other := range l.all() {
		if other != w && atomic.LoadInt32(&other.stopped) == 0 {
			rest = append(rest, other)
		}
	}
	return rest
}

func (w *logWriter) line(level LogLevel, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { _ = recover() }() // as the library does with a panic of a hook
	if atomic.LoadInt32(&w.stopped) == 0 {
		w.write(level, text)
	}
}

//export bhLogLine
func bhLogLine(user C.uintptr_t, line *C.bulkhead_log_line) {
	level := LogLevel(line.level) - C.BULKHEAD_LOG_INFO
	text := C.GoStringN(line.message, C.int(line.message_length))
	l := cgo.Handle(user).Value().(*engineLog)
	atomic.StoreInt64(&l.thread, int64(syscall.Gettid()))
	defer atomic.StoreInt64(&l.thread, 0)
	for _, w := range l.all() {
		w.line(level, text)
	}
}
