// Package fault makes the I/O error of the demo and takes it away again: a file
// system on a loop device that is shut down under one partition, or, where that is
// not allowed, an error injected into the system calls for that partition's files.
package fault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	diskBytes = 128 << 20 // sparse
	// toolLimit bounds every tool that touches the mount: one that hangs in the
	// kernel is left behind and reported, it never stops the demo.
	toolLimit = 10 * time.Second

	ioctlExt4Shutdown = 0x8004587D
	// Without flushing the journal: what was not synced is gone, as with a disk that
	// dies, and every later call answers EIO.
	shutdownNoFlush = 2
)

// Disk is a small ext4 on a loop device, mounted over a directory. It belongs to
// the process's own mount namespace: when the last process in there ends, however
// it ends, the kernel takes down the mount and, with it, the loop device.
type Disk struct {
	image string
	mount string
	up    bool
}

// CanMount says why a disk cannot be made on this machine; nil if it can.
func CanMount(dir string) error {
	if os.Geteuid() != 0 {
		return errors.New("not root")
	}
	for _, tool := range []string{"mkfs.ext4", "e2fsck", "mount", "umount", "cp"} {
		if _, err := lookTool(tool); err != nil {
			return err
		}
	}
	probe := filepath.Join(dir, "probe")
	if err := os.MkdirAll(probe, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(probe)
	disk, err := NewDisk(filepath.Join(probe, "image"), filepath.Join(probe, "mount"))
	if err != nil {
		return err
	}
	defer disk.Close()
	// Whether it can be shut down is part of the question.
	return disk.Shutdown()
}

// NewDisk makes the image and mounts it.
func NewDisk(image, mount string) (*Disk, error) {
	f, err := os.OpenFile(image, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	err = f.Truncate(diskBytes)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(mount, 0o755); err != nil {
		return nil, err
	}
	// No background initialisation: it would write to the disk during the demo.
	if err := run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", image); err != nil {
		return nil, err
	}
	d := &Disk{image: image, mount: mount}
	return d, d.attach()
}

func (d *Disk) attach() error {
	err := run("mount", "-t", "ext4", "-o", "loop", d.image, d.mount)
	d.up = err == nil
	return err
}

// Shutdown makes every call on the file system fail with EIO from now on.
func (d *Disk) Shutdown() error {
	dir, err := os.Open(d.mount)
	if err != nil {
		return err
	}
	defer dir.Close()
	flag := uint32(shutdownNoFlush)
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, dir.Fd(), ioctlExt4Shutdown, uintptr(unsafe.Pointer(&flag)))
	if errno != 0 {
		return fmt.Errorf("EXT4_IOC_SHUTDOWN: %w", errno)
	}
	return nil
}

// Replace brings the disk back. A file system that was shut down stays dead while
// anyone holds one of its files; so its image is copied, checked and mounted anew.
func (d *Disk) Replace() error {
	if err := d.detach(); err != nil {
		return err
	}
	fresh := d.image + ".new"
	if err := run("cp", "--sparse=always", d.image, fresh); err != nil {
		return err
	}
	var exit *exec.ExitError
	// 1 and 2: errors were found and corrected, which replaying a journal counts as.
	if err := run("e2fsck", "-f", "-y", fresh); err != nil && !(errors.As(err, &exit) && exit.ExitCode() <= 2) {
		return err
	}
	d.image = fresh
	return d.attach()
}

func (d *Disk) detach() error {
	if !d.up {
		return nil
	}
	d.up = false
	return run("umount", "--lazy", d.mount)
}

// Close unmounts; the loop device goes with the mount.
func (d *Disk) Close() error { return d.detach() }

// lookTool also searches where Debian keeps the tools of root.
func lookTool(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", name)
}

func run(name string, args ...string) error {
	path, err := lookTool(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), toolLimit)
	defer cancel()
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = &output, &output
	done := make(chan error, 1)
	go func() { done <- cmd.Run() }()
	select {
	case err = <-done:
	case <-time.After(toolLimit + time.Second): // not even SIGKILL helps: it hangs in the kernel
		return fmt.Errorf("%s hangs", name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(output.String()))
	}
	return nil
}
