package disk

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// chunk maps a range of btrfs's address space to the (only) disk.
type chunk struct{ address, image, length int64 }

const (
	ioctlTreeSearch  = 0xD0009411 // BTRFS_IOC_TREE_SEARCH
	chunkTree        = 3
	chunkObject      = 256
	chunkItem        = 228
	searchKeyBytes   = 104
	searchArgBytes   = 4096
	searchItemHeader = 32
	stripeOffset     = 48 // of the first stripe in a chunk item
)

// btrfsChunks reads the chunk tree of the filesystem that f lies on.
func btrfsChunks(f *os.File) ([]chunk, error) {
	var arg [searchArgBytes]byte
	le := binary.LittleEndian
	le.PutUint64(arg[0:], chunkTree)
	le.PutUint64(arg[8:], chunkObject)  // lowest object
	le.PutUint64(arg[16:], chunkObject) // highest
	le.PutUint64(arg[32:], ^uint64(0))  // highest offset
	le.PutUint64(arg[48:], ^uint64(0))  // highest transaction
	le.PutUint32(arg[56:], chunkItem)   // lowest type
	le.PutUint32(arg[60:], chunkItem)   // highest type
	le.PutUint32(arg[64:], 32)          // items
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), ioctlTreeSearch, uintptr(unsafe.Pointer(&arg)))
	if errno != 0 {
		return nil, fmt.Errorf("btrfs tree search: %w", errno)
	}
	var chunks []chunk
	at := searchKeyBytes
	for i := uint32(0); i < le.Uint32(arg[64:]); i++ {
		address, length := le.Uint64(arg[at+16:]), int(le.Uint32(arg[at+28:]))
		at += searchItemHeader
		if length >= stripeOffset+16 {
			item := arg[at : at+length]
			chunks = append(chunks, chunk{int64(address), int64(le.Uint64(item[stripeOffset+8:])), int64(le.Uint64(item))})
		}
		at += length
	}
	return chunks, nil
}

func chunkAddress(chunks []chunk, address int64) (int64, error) {
	for _, c := range chunks {
		if address >= c.address && address < c.address+c.length {
			return c.image + address - c.address, nil
		}
	}
	return 0, fmt.Errorf("btrfs address %d is in no chunk", address)
}
