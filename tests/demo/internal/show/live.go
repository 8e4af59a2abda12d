package show

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/bulkhead-wal/bulkhead/tests/demo/internal/driver"
)

const (
	redrawEvery = 250 * time.Millisecond
	plainEvery  = 2 * time.Second
	eventLines  = 6
	barColumns  = 8
)

// Live is the display of a running arm.
type Live struct {
	out      *os.File
	terminal bool
	o        driver.Options

	mu      sync.Mutex
	engine  string
	tracker *driver.Tracker
	began   time.Time
	phase   string
	events  []string
	drawn   int // lines on the screen that the next drawing goes over
	stop    chan struct{}
	done    chan struct{}
}

// NewLive draws in place if out is a terminal and this is not a CI run.
func NewLive(out *os.File, o driver.Options) *Live {
	_, _, isTerminal := size(out)
	return &Live{out: out, terminal: isTerminal && os.Getenv("CI") == "" && os.Getenv("TERM") != "dumb", o: o}
}

// Begin starts the display of one engine.
func (l *Live) Begin(engine string, t *driver.Tracker) {
	l.mu.Lock()
	l.engine, l.tracker, l.began = engine, t, time.Now()
	l.phase, l.events, l.drawn = "", nil, 0
	l.stop, l.done = make(chan struct{}), make(chan struct{})
	l.mu.Unlock()
	fmt.Fprintln(l.out)
	if !l.terminal {
		fmt.Fprintf(l.out, "== %s ==\n", EngineName(engine))
	}
	go l.loop(l.stop, l.done)
}

func (l *Live) loop(stop, done chan struct{}) {
	defer close(done)
	every := plainEvery
	if l.terminal {
		every = redrawEvery
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			l.mu.Lock()
			l.draw()
			l.mu.Unlock()
		}
	}
}

// End leaves the last picture on the screen.
func (l *Live) End() {
	close(l.stop)
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.terminal {
		l.draw()
	}
}

// Phase says what is going on now.
func (l *Live) Phase(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.phase = text
	if !l.terminal {
		fmt.Fprintf(l.out, "[%s] -- %s\n", clock(l.began), text)
	}
}

// Event shows something that happened.
func (l *Live) Event(s driver.Seen) {
	text := eventText(s)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.terminal {
		fmt.Fprintf(l.out, "[%s] %s\n", clock(l.began), text)
		return
	}
	l.events = append(l.events, clock(l.began)+"  "+text)
	if len(l.events) > eventLines {
		l.events = l.events[len(l.events)-eventLines:]
	}
}

func (l *Live) draw() {
	rows := l.tracker.Rows(l.o.FaultNode, l.o.Groups)
	if !l.terminal {
		l.plain(l.out, rows)
		return
	}
	height, width, _ := size(l.out)
	lines := l.picture(rows)
	if height > 2 && len(lines) > height-1 {
		lines = lines[:height-1] // the events go first; what scrolled away cannot be redrawn
	}
	var b strings.Builder
	if l.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", l.drawn)
	}
	for _, line := range lines {
		b.WriteString("\r" + line.colour + line.fit(line.text, width) + "\x1b[0m\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	l.drawn = len(lines)
	_, _ = io.WriteString(l.out, b.String())
}

type line struct {
	text, colour string
	fit          func(text string, columns int) string
}

const (
	bold  = "\x1b[1m"
	dim   = "\x1b[2m"
	red   = "\x1b[31m"
	green = "\x1b[32m"
)

func (l *Live) picture(rows []driver.Row) []line {
	kind := "real I/O error"
	if l.o.Injected {
		kind = "injected I/O error"
	}
	lines := []line{
		{fmt.Sprintf("%s   %s   %s   (%s)", EngineName(l.engine), clock(l.began), l.phase, kind), bold, cutMiddle},
		{fmt.Sprintf("%-4s %-7s %8s  %-*s %-11s %-10s %s", "part", "leader", "writes/s", barColumns, "",
			fmt.Sprintf("state on n%d", l.o.FaultNode), "cause", "behind"), dim, cut},
	}
	full := float64(l.o.Rate) * 1.25
	for _, r := range rows {
		lines = append(lines, l.row(r, full))
	}
	lines = append(lines, line{fit: cut})
	for _, e := range l.events {
		lines = append(lines, line{e, "", cutMiddle})
	}
	return lines
}

func (l *Live) row(r driver.Row, full float64) line {
	leader, cause, state, colour := "-", r.Cause, r.State, ""
	if r.Leader != 0 {
		leader = fmt.Sprintf("node %d", r.Leader)
	}
	if cause == "" {
		cause = "-"
	}
	behind := fmt.Sprint(r.Behind)
	if r.Behind < uint64(l.o.Rate)/2 {
		behind = "0" // what is on its way at any moment
	}
	if r.Group == l.o.FaultGroup {
		switch {
		case behind == "0" && state == "ReadWrite":
			behind, colour = behind+"  <- this disk fails", green
		case state == "ReadWrite":
			behind, colour = behind+"  <- frozen, unreported", red
		default:
			behind, colour = behind+"  <- reported, isolated", red
		}
	}
	if !r.NodeAlive {
		state, colour = "process dead", red
	}
	return line{fmt.Sprintf("%-4d %-7s %8.0f  %s %s %s %s", r.Group, leader, r.Rate, pad(bar(r.Rate, full, barColumns), barColumns),
		pad(state, 11), pad(cut(cause, 10), 10), behind), colour, cut}
}

// plain is one line for the whole table.
func (l *Live) plain(out io.Writer, rows []driver.Row) {
	var others, low float64
	low = -1
	text := ""
	for _, r := range rows {
		if r.Group == l.o.FaultGroup {
			cause := r.Cause
			if cause == "" {
				cause = "-"
			}
			text = fmt.Sprintf("partition %d: %.0f writes/s, node %d says %s, cause %s, %d entries behind",
				r.Group, r.Rate, l.o.FaultNode, r.State, cause, r.Behind)
			continue
		}
		others += r.Rate
		if low < 0 || r.Rate < low {
			low = r.Rate
		}
	}
	fmt.Fprintf(out, "[%s] %s | %d others: %.0f writes/s, the slowest %.0f\n", clock(l.began), text, len(rows)-1, others, low)
}

// size asks the terminal for its lines and columns; ok is false if it is none.
func size(f *os.File) (lines, columns int, ok bool) {
	var w struct{ rows, columns, x, y uint16 }
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&w)))
	if errno != 0 {
		return 0, 0, false
	}
	if w.rows == 0 || w.columns == 0 {
		return 24, 80, true
	}
	return int(w.rows), int(w.columns), true
}
