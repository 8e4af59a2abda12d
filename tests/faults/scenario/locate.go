package scenario

import (
	"bytes"
	"os"
	"path/filepath"

	"github.com/bulkhead-wal/bulkhead/tests/faults/badblocks"
	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
)

const (
	blockBytes = 4096
	probeBytes = 3000
)

// Tail is where a log writes to: a file, and the first block behind what it has written so far, or the last block if that is
// not full.
type Tail struct {
	Path   string
	Offset int64
	End    int64 // of what it has written
}

// Tail finds out by appending an entry, recording what reaches the disk meanwhile, and asking the filesystem whose blocks those
// are. That works for any system.
func (d *Disk) Tail(o *Owner, l *Ledger) Tail { return d.tailOf(o, l, probeBytes*3/4) }

// tailOf tells a write with the payload from preallocation, headers and hard state by how much of it is not zero.
func (d *Disk) tailOf(o *Owner, l *Ledger, notZero int) Tail {
	e := d.env
	e.must(syncPath(l.Dir)) // what is still on its way from before
	record := e.name("record")
	d.command(badblocks.Command{Do: "record", Path: record})
	o.MustAppend(l, 1, probeBytes)
	o.Sync(l)
	e.must(syncPath(l.Dir))
	d.command(badblocks.Command{Do: "stop"})
	requests, err := badblocks.ReadRecord(record)
	e.must(err)
	e.must(os.Remove(record))
	tail := Tail{Offset: -1}
	names, err := files(l.Dir)
	e.must(err)
	for path := range names {
		extents, err := disk.Extents(path, d.Kind)
		e.must(err)
		for _, r := range requests {
			if end := endInFile(extents, r); end > tail.Offset && len(r.Data)-bytes.Count(r.Data, []byte{0}) >= notZero {
				tail = Tail{Path: path, Offset: end}
			}
		}
	}
	if tail.Offset < 0 {
		e.End(Broken, "cannot find where the log in %s writes to", l.Dir)
	}
	if info, err := os.Stat(tail.Path); err == nil && info.Size() < tail.Offset {
		tail.Offset = info.Size()
	}
	tail.End = tail.Offset
	tail.Offset -= tail.Offset % blockBytes
	return tail
}

// endInFile is where a write ends in a file that lies in these extents, 0 if it is not the file's.
func endInFile(extents []disk.Extent, r badblocks.Request) int64 {
	for _, x := range extents {
		if !r.Flush && r.Off >= x.Image && r.Off < x.Image+x.Length {
			return x.File + r.Off - x.Image + used(r.Data)
		}
	}
	return 0
}

// used is how much of a write is not zeros behind its last block that is not: a header may come with the space it is for.
func used(data []byte) int64 {
	for end := len(data); end > 0; end = (end - 1) / blockBytes * blockBytes {
		if !allZero(data[(end-1)/blockBytes*blockBytes : end]) {
			return int64(end)
		}
	}
	return 0
}

// Ahead are the pieces of the disk that the tail will be written to next.
func (d *Disk) Ahead(t Tail) []disk.Extent { return d.pieces(t.Path, t.Offset, 1<<62) }

// pieces are where a part of a file lies.
func (d *Disk) pieces(path string, from, to int64) []disk.Extent {
	extents, err := disk.Extents(path, d.Kind)
	d.env.must(err)
	var found []disk.Extent
	for _, x := range extents {
		if cut := from - x.File; cut > 0 {
			x.File, x.Image, x.Length = x.File+cut, x.Image+cut, x.Length-cut
		}
		if over := x.File + x.Length - to; over > 0 {
			x.Length -= over
		}
		if x.Length > 0 {
			found = append(found, x)
		}
	}
	if len(found) == 0 {
		d.env.End(Broken, "%s has no blocks in [%d, %d)", filepath.Base(path), from, to)
	}
	return found
}

// RuleOn puts a rule in force on pieces of the disk.
func (d *Disk) RuleOn(pieces []disk.Extent, r badblocks.Rule) {
	for _, x := range pieces {
		r.First, r.Length = x.Image, x.Length
		d.Rule(r)
	}
}

func (d *Disk) command(c badblocks.Command) badblocks.Reply {
	r, err := d.Bad.Do(c)
	d.env.must(err)
	return r
}
