package main

import (
	"fmt"
	"os"
	"time"
)

// progress shows one line that is written over and over on a terminal, and a line every few
// seconds elsewhere.
type progress struct {
	start    time.Time
	shown    time.Time
	terminal bool
}

func newProgress() *progress {
	info, err := os.Stderr.Stat()
	return &progress{start: time.Now(), terminal: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

func (p *progress) step(what string) {
	if p.terminal {
		fmt.Fprintf(os.Stderr, "\r\033[K%3.0f s  %s", time.Since(p.start).Seconds(), what)
		return
	}
	if time.Since(p.shown) >= 5*time.Second {
		p.shown = time.Now()
		fmt.Fprintf(os.Stderr, "%3.0f s  %s\n", time.Since(p.start).Seconds(), what)
	}
}

func (p *progress) end() {
	if p.terminal {
		fmt.Fprint(os.Stderr, "\r\033[K")
	}
}
