package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Kinds are the filesystems that are supported by name.
var Kinds = []string{"ext4", "xfs", "btrfs"}

const (
	mib = 1 << 20
	// toolLimit bounds mkfs, mount and umount: one that hangs in the kernel is left behind.
	toolLimit = 30 * time.Second
)

// Smallest images in bytes that the mkfs tools accept, or a little more. All are sparse.
var imageBytes = map[string]int64{"ext4": 96 * mib, "xfs": 300 * mib, "btrfs": 1024 * mib}

var mkfs = map[string][]string{
	// No background initialisation: it would write to the disk during the test.
	"ext4":  {"mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-J", "size=8"},
	"xfs":   {"mkfs.xfs", "-q", "-f"},
	"btrfs": {"mkfs.btrfs", "-q", "-f", "-m", "dup", "-d", "single"},
}

// Make makes an image file with an empty filesystem in it. bytes 0 is a small default.
func Make(kind, image string, bytes int64) error {
	command, ok := mkfs[kind]
	if !ok {
		return fmt.Errorf("filesystem %q is none of %s", kind, strings.Join(Kinds, ", "))
	}
	if bytes == 0 {
		bytes = imageBytes[kind]
	}
	f, err := os.OpenFile(image, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = f.Truncate(bytes)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	// mkfs.btrfs asks all loop devices for their images, and fails if one is let go of meanwhile.
	for attempt := 1; attempt < 3; attempt++ {
		if err = run(command[0], append(command[1:], image)...); err == nil || !strings.Contains(err.Error(), "cannot check mount status") {
			return err
		}
	}
	return run(command[0], append(command[1:], image)...)
}

// Mounted is a filesystem on a loop device.
type Mounted struct {
	Kind   string
	Dir    string // the mount point
	Device string // /dev/loopN
}

// Options of a mount.
type Options struct {
	DirectIO bool   // the loop device passes requests by direct I/O; refused if it cannot
	Data     string // the filesystem's own mount options
}

// Mount mounts the image; the mount point is made.
func Mount(kind, image, dir string, options Options) (*Mounted, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	device, err := attachLoop(image, options.DirectIO)
	if err != nil {
		return nil, err
	}
	defer device.Close()
	if options.DirectIO && !directIO(device) {
		return nil, fmt.Errorf("%s: the loop device does not take direct I/O", image)
	}
	m := &Mounted{Kind: kind, Dir: dir, Device: device.Name()}
	if err := unix.Mount(m.Device, dir, kind, 0, options.Data); err != nil {
		return nil, fmt.Errorf("mount %s (%s) at %s: %w", image, kind, dir, err)
	}
	return m, nil
}

// ErrBusy means that something on a filesystem is still open.
var ErrBusy = errors.New("still in use")

// Unmount takes it down, and the loop device with it. ErrBusy: for new calls now, and for good when nobody uses it any more.
func (m *Mounted) Unmount() error {
	deadline := time.Now().Add(3 * time.Second)
	for {
		err := within(toolLimit, func() error { return unix.Unmount(m.Dir, 0) })
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			if errors.Is(err, unix.EBUSY) {
				err = errors.Join(fmt.Errorf("%s is %w", m.Dir, ErrBusy), unix.Unmount(m.Dir, unix.MNT_DETACH))
			}
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Free is how many bytes can still be allocated.
func (m *Mounted) Free() (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(m.Dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil
}

// within gives up waiting after a limit; the call is left behind.
func within(limit time.Duration, call func() error) error {
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return fmt.Errorf("hangs in the kernel for %v", limit)
	}
}

func run(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), toolLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "PATH=/usr/sbin:/sbin:"+os.Getenv("PATH"))
	output, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(output)))
	}
	return nil
}
