package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The ioctl is X_IOC_GOINGDOWN of xfs and EXT4_IOC_SHUTDOWN of ext4: the same number. btrfs has none.
const ioctlShutdown = 0x8004587D

// shutdownNoLogFlush stops without flushing the filesystem's journal: what was not synced is gone, as when the power goes.
const shutdownNoLogFlush = 2

// CanShutdown tells whether a filesystem has a shutdown.
func CanShutdown(kind string) bool { return kind == "ext4" || kind == "xfs" }

// Shutdown stops the filesystem: every later call on it answers EIO, and nothing that is not on the disk gets there.
func (m *Mounted) Shutdown() error {
	dir, err := os.Open(m.Dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	flag := uint32(shutdownNoLogFlush)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), ioctlShutdown, uintptr(unsafe.Pointer(&flag)))
	if errno != 0 {
		return fmt.Errorf("shutdown of %s: %w", m.Dir, errno)
	}
	return nil
}

// RemountReadOnly makes ext4 meet an error of its own, on which it was told to go read-only (mount option errors=remount-ro):
// the way a filesystem becomes read-only under open files.
func (m *Mounted) RemountReadOnly() error {
	if m.Kind != "ext4" {
		return fmt.Errorf("%s cannot be made to go read-only under open files", m.Kind)
	}
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(m.Device), "trigger_fs_error")
	return os.WriteFile(trigger, []byte("bulkhead test\n"), 0)
}
