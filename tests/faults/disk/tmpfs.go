package disk

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Tmpfs is a small tmpfs for an image that is larger than it.
type Tmpfs struct{ Dir string }

// NewTmpfs mounts one; the mount point is made.
func NewTmpfs(dir string, bytes int64) (*Tmpfs, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		return nil, fmt.Errorf("cannot mount a tmpfs at %s: %w", dir, err)
	}
	return &Tmpfs{dir}, nil
}

// Unmount takes it down.
func (t *Tmpfs) Unmount() error { return (&Mounted{Dir: t.Dir}).Unmount() }

// Fill takes all of its space: blocks of the image that were never written can no longer be.
func (t *Tmpfs) Fill() error {
	f, err := os.Create(filepath.Join(t.Dir, "filler"))
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for size := len(block); size >= 4096; {
		n, err := f.Write(block[:size])
		if err != nil && n == 0 {
			size /= 2
		}
	}
	return nil
}

// Drain gives the space back.
func (t *Tmpfs) Drain() error { return os.Remove(filepath.Join(t.Dir, "filler")) }

const ext4Block = 4096

// WriteJournal writes zeros over the journal of a fresh ext4 image, so that its blocks exist: it is not the filesystem's own
// journal that must fail when there is no room for more of the image.
func WriteJournal(image string) error {
	const journalInode = "blocks <8>"
	list, err := exec.Command("/sbin/debugfs", "-R", journalInode, image).Output()
	if err != nil {
		return fmt.Errorf("debugfs: %w", err)
	}
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	buffer := make([]byte, ext4Block)
	for _, word := range bytes.Fields(list) {
		block, err := strconv.ParseInt(string(word), 10, 64)
		if err != nil {
			return fmt.Errorf("debugfs: %w", err)
		}
		if _, err := f.ReadAt(buffer, block*ext4Block); err != nil {
			return err
		}
		if _, err := f.WriteAt(buffer, block*ext4Block); err != nil { // what it reads as, but there
			return err
		}
	}
	return nil
}
