// Package waldisk puts the log of one partition on a disk of its own that can be made to fail: a small ext4 on a loop device, bound
// over the log's directory.
package waldisk

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/badblocks"
	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
	"golang.org/x/sys/unix"
)

const (
	kind       = "ext4"
	imageBytes = 512 << 20 // sparse
	// logName is the directory in the filesystem that is bound over the log's directory.
	logName = "log"
	// fsckCorrected is e2fsck's highest code for a sound filesystem: errors were corrected, which replaying a journal counts as.
	fsckCorrected = 2
	toolLimit     = 30 * time.Second
)

// Disk is the disk of one log.
type Disk struct {
	Log     string // the log's directory
	base    string // where image and mount point are
	image   string
	mounted *disk.Mounted
	bad     *badblocks.Process
	serial  int
	shell   *shell
}

// New moves a log that nobody has open onto a disk of its own. base must not exist. If badblocks names that program, blocks of the
// disk can be made to fail.
func New(base, log, badblocksProgram string) (*Disk, error) {
	d := &Disk{Log: log, base: base, image: filepath.Join(base, "image")}
	if err := os.MkdirAll(base, 0o755); err != nil {
		return nil, err
	}
	var err error
	if d.shell, err = newShell(); err != nil {
		return nil, err
	}
	if err := disk.Make(kind, d.image, imageBytes); err != nil {
		return nil, err
	}
	image := d.image
	if badblocksProgram != "" {
		if d.bad, err = badblocks.Start(badblocksProgram, d.image, filepath.Join(base, "bad")); err != nil {
			return nil, err
		}
		image = d.bad.Image
	}
	if err := d.mount(image); err != nil {
		return nil, err
	}
	inside := filepath.Join(d.mounted.Dir, logName)
	if err := d.shell.run(0, "cp", "-a", "--sparse=always", log, inside); err != nil {
		return nil, err
	}
	// What the log had made durable where it was, must be so here.
	if err := syncfs(d.mounted.Dir); err != nil {
		return nil, err
	}
	return d, d.bind()
}

func (d *Disk) mount(image string) (err error) {
	d.serial++
	dir := filepath.Join(d.base, fmt.Sprintf("mount%d", d.serial))
	d.mounted, err = disk.Mount(kind, image, dir, disk.Options{DirectIO: d.bad != nil})
	return err
}

// bind puts the log's directory over the one in the datanode's. Over an earlier one: there is no moment without a log.
func (d *Disk) bind() error {
	inside := filepath.Join(d.mounted.Dir, logName)
	if err := unix.Mount(inside, d.Log, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("cannot bind %s over %s: %w", inside, d.Log, err)
	}
	return nil
}

// Die makes every call on the disk fail with EIO from now on. What was not synced is lost.
func (d *Disk) Die() error { return d.mounted.Shutdown() }

// Return brings a dead disk back. A filesystem that was shut down stays dead while anyone holds one of its files: its image is
// copied, checked, and mounted anew over the dead one.
func (d *Disk) Return() error {
	fresh := fmt.Sprintf("%s%d", d.image, d.serial)
	if err := d.shell.run(0, "cp", "--sparse=always", d.image, fresh); err != nil {
		return err
	}
	if err := d.shell.run(fsckCorrected, "e2fsck", "-f", "-y", fresh); err != nil {
		return err
	}
	d.image = fresh
	if err := d.mount(fresh); err != nil {
		return err
	}
	return d.bind()
}

// Fill fills the filesystem to the last byte.
func (d *Disk) Fill() error {
	_, err := d.mounted.Fill()
	return err
}

// Drain gives the space back.
func (d *Disk) Drain() error { return d.mounted.Drain() }
