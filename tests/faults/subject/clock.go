package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// monotonicNs is CLOCK_MONOTONIC, which the runner reads as well: time since boot is the same in all processes.
func monotonicNs() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err) // cannot happen on Linux
	}
	return now.Nano()
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
