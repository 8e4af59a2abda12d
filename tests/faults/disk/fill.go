package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Fill writes a file until nothing more fits, not even a byte, and returns its path.
func (m *Mounted) Fill() (string, error) {
	path := filepath.Join(m.Dir, "filler")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var off int64
	for size := int64(64 * mib); size >= 4096; {
		// Allocated, not written: as full, and no time is spent on it.
		if err := unix.Fallocate(int(f.Fd()), 0, off, size); err == nil {
			off += size
		} else if err == unix.ENOSPC {
			size /= 2
		} else {
			return "", fmt.Errorf("fill: %w", err)
		}
	}
	_ = f.Sync()
	return path, m.fillRest()
}

// fillRest takes what an allocation in one piece did not get: small files until even those fail. Those of an earlier call are full already.
func (m *Mounted) fillRest() error {
	block := make([]byte, 4096)
	for i, made := 0, 0; made < 4096; i++ {
		f, err := os.OpenFile(filepath.Join(m.Dir, fmt.Sprintf("filler-%d", i)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		made++
		if errors.Is(err, unix.ENOSPC) {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = f.Write(block)
		if e := f.Sync(); err == nil {
			err = e
		}
		f.Close()
		if errors.Is(err, unix.ENOSPC) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("%s does not get full", m.Dir)
}

// FillMetadata takes btrfs's room for metadata as well, which is apart from that for data: a link's target lies in it.
func (m *Mounted) FillMetadata() error {
	if _, err := m.Fill(); err != nil {
		return err
	}
	target := strings.Repeat("x", 3000)
	for i := 0; ; i++ {
		err := os.Symlink(target, filepath.Join(m.Dir, fmt.Sprintf("filler-link-%d", i)))
		if err == nil && i%512 == 511 {
			err = m.syncFS()
		}
		if errors.Is(err, unix.ENOSPC) {
			return nil
		}
		if err != nil {
			return err
		}
		if i > 1<<20 {
			return fmt.Errorf("%s: its metadata does not get full", m.Dir)
		}
	}
}

func (m *Mounted) syncFS() error {
	dir, err := os.Open(m.Dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	return unix.Syncfs(int(dir.Fd()))
}

// Drain removes what Fill and FillMetadata made, and waits until the space can be had: some filesystems free it with a later commit.
func (m *Mounted) Drain() error {
	names, err := filepath.Glob(filepath.Join(m.Dir, "filler*"))
	for _, name := range names {
		// btrfs leaves a removed file's space to a thread that runs twice a minute, a truncated one's not.
		_ = os.Truncate(name, 0)
		if e := os.Remove(name); err == nil {
			err = e
		}
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(m.Dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	probe := filepath.Join(m.Dir, "filler")
	for deadline := time.Now().Add(toolLimit); ; time.Sleep(5 * time.Millisecond) {
		_ = unix.Syncfs(int(dir.Fd()))
		f, err := os.Create(probe)
		if err == nil {
			err = unix.Fallocate(int(f.Fd()), 0, 0, 8*mib)
			f.Close()
		}
		_ = os.Remove(probe)
		if err == nil {
			return unix.Syncfs(int(dir.Fd())) // the probe's own space
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: the space does not come back: %w", m.Dir, err)
		}
	}
}
