package disk

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Extent is a piece of a file: Length bytes at File of the file lie at Image of the disk.
type Extent struct {
	File, Image, Length int64
	Unwritten           bool // allocated, but nothing was ever written to it
}

const (
	ioctlFiemap       = 0xC020660B
	fiemapSync        = 1
	fiemapExtents     = 256
	extentUnwritten   = 0x800
	extentUnusable    = 0x2 | 0x4 | 0x8 | 0x200 // unknown, delayed, encoded, inline
	fiemapHeaderBytes = 32
)

type fiemapExtent struct {
	logical, physical, length uint64
	reserved                  [2]uint64
	flags                     uint32
	reserved2                 [3]uint32
}

type fiemap struct {
	start, length   uint64
	flags, mapped   uint32
	count, reserved uint32
	extents         [fiemapExtents]fiemapExtent
}

// Extents tells where a file lies on its disk (FIEMAP, as filefrag -e shows it).
func Extents(path, kind string) ([]Extent, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	request := fiemap{length: ^uint64(0), flags: fiemapSync, count: fiemapExtents}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), ioctlFiemap, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return nil, fmt.Errorf("FIEMAP of %s: %w", path, errno)
	}
	if request.mapped == fiemapExtents {
		return nil, fmt.Errorf("%s has %d extents or more", path, fiemapExtents)
	}
	var chunks []chunk
	if kind == "btrfs" {
		if chunks, err = btrfsChunks(f); err != nil {
			return nil, err
		}
	}
	var extents []Extent
	for _, e := range request.extents[:request.mapped] {
		if e.flags&extentUnusable != 0 {
			continue // nowhere on the disk yet
		}
		extent := Extent{int64(e.logical), int64(e.physical), int64(e.length), e.flags&extentUnwritten != 0}
		if kind == "btrfs" { // it answers addresses of its own space
			if extent.Image, err = chunkAddress(chunks, extent.Image); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
		}
		extents = append(extents, extent)
	}
	return extents, nil
}

// Place is where one byte of a file lies on its disk.
func Place(path, kind string, offset int64) (int64, error) {
	extents, err := Extents(path, kind)
	if err != nil {
		return 0, err
	}
	for _, e := range extents {
		if offset >= e.File && offset < e.File+e.Length {
			return e.Image + offset - e.File, nil
		}
	}
	return 0, fmt.Errorf("%s: nothing on the disk at offset %d", path, offset)
}
