package scenario

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/bulkhead-wal/bulkhead/tests/faults/badblocks"
	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
)

// Disk is a filesystem for a scenario, on an image of its own.
type Disk struct {
	*disk.Mounted
	Image    string
	Bad      *badblocks.Process // serves the image, if it is a disk with bad blocks
	env      *Env
	options  disk.Options
	up       bool
	released bool
}

// Disk makes and mounts a disk.
func (e *Env) Disk() *Disk { return e.disk(false, disk.Options{}, 0) }

// BadDisk makes and mounts a disk whose blocks can be made to fail.
func (e *Env) BadDisk() *Disk { return e.disk(true, disk.Options{DirectIO: true}, 0) }

// DiskWith makes and mounts a disk with mount options, of a size (0 is a small default).
func (e *Env) DiskWith(options disk.Options, bytes int64) *Disk { return e.disk(false, options, bytes) }

func (e *Env) disk(bad bool, options disk.Options, bytes int64) *Disk {
	d := &Disk{Image: e.name("image"), env: e, options: options}
	e.must(disk.Make(e.FS, d.Image, bytes))
	if bad {
		d.serve()
	}
	e.after(d.release)
	d.Mount()
	return d
}

// serve puts the image behind a badblocks process.
func (d *Disk) serve() {
	var err error
	d.Bad, err = badblocks.Start(filepath.Join(d.env.programs, "badblocks"), d.Image, d.env.name("bad"))
	d.env.must(err)
	d.env.first = append(d.env.first, func() { _, _ = d.Bad.Do(badblocks.Command{Do: "remove"}) })
}

// Mount mounts the disk, at a fresh mount point: nothing cached for the last one is seen.
func (d *Disk) Mount() {
	image := d.Image
	if d.Bad != nil {
		image = d.Bad.Image
	}
	var err error
	d.Mounted, err = disk.Mount(d.env.FS, image, d.env.name("mount"), d.options)
	d.env.must(err)
	d.up = true
}

// Unmount takes it down.
func (d *Disk) Unmount() {
	d.up = false
	d.taken(d.Mounted.Unmount())
}

// taken ends the run if a disk cannot be taken down. Its partitions are closed then: whatever is open is the system's.
func (d *Disk) taken(err error) {
	if errors.Is(err, disk.ErrBusy) {
		d.env.End(Failed, "seconds after the last log on it was closed, the disk cannot be unmounted: the process keeps something open")
	}
	d.env.must(err)
}

// Remount takes it down and up again: nothing is left in any cache. Ledgers get their new directories.
func (d *Disk) Remount(ledgers ...*Ledger) { d.remount(func() {}, ledgers...) }

// remount does something to the disk between.
func (d *Disk) remount(between func(), ledgers ...*Ledger) {
	old := d.Dir
	d.Unmount()
	between()
	d.Mount()
	for _, l := range ledgers {
		if rel, err := filepath.Rel(old, l.Dir); err == nil {
			l.Dir = filepath.Join(d.Dir, rel)
		}
	}
}

// Discard gives back the disk and its space before the run ends.
func (d *Disk) Discard() {
	d.taken(d.release())
	d.env.must(os.Remove(d.Image))
}

// release is done once.
func (d *Disk) release() error {
	if d.released {
		return nil
	}
	d.released = true
	var err error
	if d.up {
		err = d.Mounted.Unmount()
	}
	if d.Bad != nil {
		if e := d.Bad.Close(); err == nil {
			err = e
		}
	}
	return err
}

// Rule puts a rule in force.
func (d *Disk) Rule(r badblocks.Rule) {
	_, err := d.Bad.Do(badblocks.Command{Do: "add", Rule: &r})
	d.env.must(err)
}

// Lift takes a rule away; all of them without a name.
func (d *Disk) Lift(name string) {
	_, err := d.Bad.Do(badblocks.Command{Do: "remove", Name: name})
	d.env.must(err)
}

// takesWrites tells whether the filesystem still works.
func (d *Disk) takesWrites() bool {
	f, err := os.CreateTemp(d.Dir, "probe")
	if err != nil {
		return false
	}
	_, err = f.Write(make([]byte, blockBytes))
	if e := f.Sync(); err == nil {
		err = e
	}
	f.Close()
	return err == nil && os.Remove(f.Name()) == nil
}

// Hits is how often a rule applied.
func (d *Disk) Hits(name string) int {
	r, err := d.Bad.Do(badblocks.Command{Do: "hits"})
	d.env.must(err)
	return r.Hits[name]
}

// Ledger opens the books for a partition on this disk. Its directory's parent exists.
func (d *Disk) Ledger(partition uint64) *Ledger {
	return d.env.Ledger(partition, filepath.Join(d.Dir, "p"+itoa(partition)))
}

// files lists the regular files below a directory, with their sizes, but for those nobody appends to.
func files(dir string) (map[string]int64, error) {
	found := make(map[string]int64)
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			found[path] = info.Size()
		}
		return err
	})
	return found, err
}

func paths(files map[string]int64) []string {
	var list []string
	for path := range files {
		list = append(list, path)
	}
	return list
}
