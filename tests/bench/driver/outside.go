package main

import (
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-wal/bulkhead/tests/faults/badblocks"
	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
)

const (
	outsideBytes = 4096
	outsidePause = time.Millisecond // after a write that failed, as the owner of the first partition does
)

// outsider writes one block of a file of its own, again and again, as a flush does: by O_DIRECT and O_DSYNC, in the page cache and with
// fdatasync if it is buffered. Bulkhead knows nothing of it: what it takes from the partitions when its block is bad is what the kernel takes.
type outsider struct {
	stop chan struct{}
	done chan struct{}
}

// startOutsider puts the rule on the file's block and begins to write.
func (k *stack) startOutsider(rule badblocks.Rule, buffered bool) error {
	path := filepath.Join(k.disk.Dir, "outside")
	flags := unix.O_RDWR | unix.O_CREAT | unix.O_CLOEXEC
	if !buffered {
		flags |= unix.O_DIRECT | unix.O_DSYNC
	}
	fd, err := unix.Open(path, flags, 0o600)
	if err != nil {
		return err
	}
	block := alignedBlock()
	write := func() error {
		_, err := unix.Pwrite(fd, block, 0)
		if err == nil && buffered {
			err = unix.Fdatasync(fd)
		}
		return err
	}
	err = write()
	var extents []disk.Extent
	if err == nil {
		extents, err = disk.Extents(path, k.disk.Kind)
	}
	for _, x := range extents {
		rule.First, rule.Length = x.Image, x.Length
		if err == nil {
			err = k.rule(rule)
		}
	}
	if err != nil {
		_ = unix.Close(fd)
		return err
	}
	o := &outsider{stop: make(chan struct{}), done: make(chan struct{})}
	k.outsider = o
	go func() {
		defer close(o.done)
		defer unix.Close(fd)
		for {
			if write() != nil {
				time.Sleep(outsidePause)
			}
			select {
			case <-o.stop:
				return
			default:
			}
		}
	}()
	return nil
}

// end returns when the last write has come back: after its rule was removed.
func (o *outsider) end() {
	close(o.stop)
	<-o.done
}

// alignedBlock is a block in memory that O_DIRECT takes.
func alignedBlock() []byte {
	memory := make([]byte, 2*outsideBytes)
	skip := outsideBytes - int(uintptr(unsafe.Pointer(&memory[0]))%outsideBytes)
	return memory[skip : skip+outsideBytes]
}
