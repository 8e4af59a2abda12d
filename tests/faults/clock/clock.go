// Package clock is the clock that runner, subjects and disks share.
package clock

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// NS is CLOCK_MONOTONIC: time since boot, the same in all processes.
func NS() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(fmt.Sprint("CLOCK_MONOTONIC: ", err)) // cannot happen on Linux
	}
	return now.Nano()
}
