package waldisk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/badblocks"
	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
	"golang.org/x/sys/unix"
)

const (
	ruleName = "bad"
	// badBytes is the size of the bad block.
	badBytes = 4096
	// ahead is how far behind the last write the bad block lies, in bytes: further than the log gets until it is bad.
	ahead = 128 * badBytes
	// beyond is how far behind the end of a file's blocks, in bytes.
	beyond = 16 * badBytes
	// recordFor is how long writes are recorded to see where the log is.
	recordFor = 300 * time.Millisecond
)

// ErrQuiet means that the log wrote nothing while it was looked at.
var ErrQuiet = errors.New("the log writes nothing")

// SpoilAhead makes one block fail that the log is about to write to: in the file it writes its entries to, a little behind the last
// of them. mark is what every entry contains.
func (d *Disk) SpoilAhead(mark []byte) error {
	path, offset, err := d.tail(mark)
	if err != nil {
		return err
	}
	extents, err := disk.Extents(path, kind)
	if err != nil {
		return err
	}
	place := placeAt(extents, (offset+ahead)/badBytes*badBytes)
	rule := badblocks.Rule{Name: ruleName, Op: badblocks.OpWrite, First: place, Length: badBytes, Action: badblocks.ActionFail, Errno: int(unix.EIO)}
	_, err = d.bad.Do(badblocks.Command{Do: "add", Rule: &rule})
	return err
}

// placeAt is where a byte of a file lies on the disk. One behind all that is allocated is looked for behind the last extent: a file
// that grows gets the blocks next to it.
func placeAt(extents []disk.Extent, offset int64) (place int64) {
	for _, x := range extents {
		place = x.Image + x.Length + beyond
		if offset >= x.File && offset < x.File+x.Length {
			return x.Image + offset - x.File
		}
	}
	return place
}

// tail finds where the log writes: it records what reaches the disk, and asks the filesystem whose blocks those are. A log is not
// told from what an earlier one left in a file that is used again by looking at the file.
func (d *Disk) tail(mark []byte) (path string, offset int64, err error) {
	record := filepath.Join(d.base, "record")
	if _, err := d.bad.Do(badblocks.Command{Do: "record", Path: record}); err != nil {
		return "", 0, err
	}
	time.Sleep(recordFor)
	if err := syncfs(d.mounted.Dir); err != nil {
		return "", 0, err
	}
	if _, err := d.bad.Do(badblocks.Command{Do: "stop"}); err != nil {
		return "", 0, err
	}
	requests, err := badblocks.ReadRecord(record)
	if err != nil {
		return "", 0, err
	}
	files, err := filepath.Glob(filepath.Join(d.Log, "*"))
	if err != nil {
		return "", 0, err
	}
	for i := len(requests) - 1; i >= 0; i-- {
		r := requests[i]
		if r.Flush || !bytes.Contains(r.Data, mark) {
			continue
		}
		for _, file := range files {
			if offset, ok := inFile(file, r.Off); ok {
				return file, offset + int64(len(r.Data)), nil
			}
		}
	}
	return "", 0, ErrQuiet
}

// inFile tells which byte of a file lies at a place of the disk.
func inFile(path string, place int64) (offset int64, ok bool) {
	extents, err := disk.Extents(path, kind)
	if err != nil {
		return 0, false // a directory, or a file that has gone meanwhile
	}
	for _, x := range extents {
		if place >= x.Image && place < x.Image+x.Length {
			return x.File + place - x.Image, true
		}
	}
	return 0, false
}

// WriteBack has everything written that is still in the page cache. That it fails is the bad block.
func (d *Disk) WriteBack() { _ = syncfs(d.mounted.Dir) }

func syncfs(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// Hits is how many writes met the bad block.
func (d *Disk) Hits() int {
	reply, err := d.bad.Do(badblocks.Command{Do: "hits"})
	if err != nil {
		return 0
	}
	return reply.Hits[ruleName]
}
