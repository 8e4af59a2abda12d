// Package disk makes small real filesystems on loop devices, fills them, shuts them down, and finds where a file lies on them.
package disk

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const loopAttempts = 50

// attachLoop puts a loop device over a file. The device goes by itself when its last user does: the caller closes the file it
// gets once the device is mounted.
func attachLoop(image string, directIO bool) (*os.File, error) {
	backing, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer backing.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("no loop devices: %w", err)
	}
	defer control.Close()
	config := unix.LoopConfig{Fd: uint32(backing.Fd()), Size: 512}
	config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
	if directIO {
		config.Info.Flags |= unix.LO_FLAGS_DIRECT_IO
	}
	for i := 0; ; i++ {
		device, err := tryLoop(control, &config)
		if err == nil || i == loopAttempts {
			return device, err
		}
		time.Sleep(time.Duration(i) * time.Millisecond) // somebody else took the free one
	}
}

func tryLoop(control *os.File, config *unix.LoopConfig) (*os.File, error) {
	number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return nil, fmt.Errorf("no free loop device: %w", err)
	}
	device, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", number), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.IoctlLoopConfigure(int(device.Fd()), config); err != nil {
		device.Close()
		return nil, fmt.Errorf("cannot configure %s: %w", device.Name(), err)
	}
	return device, nil
}

// directIO tells whether a loop device really passes its requests by direct I/O.
func directIO(device *os.File) bool {
	info, err := unix.IoctlLoopGetStatus64(int(device.Fd()))
	return err == nil && info.Flags&unix.LO_FLAGS_DIRECT_IO != 0
}
