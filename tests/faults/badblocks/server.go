package badblocks

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// ImageName is the name of the one file below the mount point.
const ImageName = "image"

// requestsAtOnce is above what a loop device ever has under way: requests that hang must not hold up others.
const requestsAtOnce = 1024

// Server serves an image file at <mount>/image.
type Server struct {
	Rules  Rules
	image  *os.File
	size   int64
	mount  string
	server *fuse.Server
	record atomic.Pointer[Recorder]
}

// Serve mounts the image; the file must exist and have its size.
func Serve(image, mount string) (*Server, error) {
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() == 0 {
		err = fmt.Errorf("%s is empty; give it its size first (truncate -s)", image)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	s := &Server{image: f, size: info.Size(), mount: mount}
	options := &fs.Options{}
	options.DirectMountStrict = true // no fusermount: this runs as root
	options.MaxWrite = 1 << 20
	options.MaxBackground = requestsAtOnce
	options.FsName = "badblocks"
	options.DisableXAttrs = true
	// A request that hangs or fails must not hold up those behind it in the loop device.
	options.ExtraCapabilities = fuse.CAP_ASYNC_DIO
	s.server, err = fs.Mount(mount, &root{server: s}, options)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot mount FUSE at %s: %w", mount, err)
	}
	return s, nil
}

// Path is where the image is served.
func (s *Server) Path() string { return filepath.Join(s.mount, ImageName) }

// Close lets go of what hangs and unmounts.
func (s *Server) Close() error {
	s.Rules.Remove("")
	if r := s.record.Swap(nil); r != nil {
		_ = r.Close()
	}
	err := s.server.Unmount()
	if err != nil {
		err = syscall.Unmount(s.mount, syscall.MNT_DETACH)
	}
	return err
}

func (s *Server) read(dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if r := s.Rules.take(OpRead, off, int64(len(dest)), nil); r != nil {
		if errno := r.wait(); errno != 0 {
			return nil, errno
		}
	}
	n, err := s.image.ReadAt(dest, off)
	if n == 0 && err != nil && off < s.size {
		return nil, fs.ToErrno(err)
	}
	return fuse.ReadResultData(dest[:n]), 0
}

func (s *Server) write(data []byte, off int64) (uint32, syscall.Errno) {
	size := int64(len(data))
	if off+size > s.size {
		return 0, syscall.ENOSPC
	}
	done := s.record.Load().write(off, data)
	if r := s.Rules.take(OpWrite, off, size, data); r != nil {
		if errno := r.wait(); errno != 0 {
			return 0, errno
		}
		if r.Action == ActionDrop || r.Action == ActionMisplace {
			return s.lie(r, data, off)
		}
	}
	if _, err := s.image.WriteAt(data, off); err != nil {
		return 0, fs.ToErrno(err)
	}
	done()
	return uint32(size), 0
}

// lie writes what lies outside of the rule's range, and the rest elsewhere or not at all.
func (s *Server) lie(r *activeRule, data []byte, off int64) (uint32, syscall.Errno) {
	first, end := r.overlap(off, int64(len(data)))
	parts := []struct{ from, to, at int64 }{{off, first, off}, {end, off + int64(len(data)), end}}
	if target := first + r.Shift; r.Action == ActionMisplace && target >= 0 && target+end-first <= s.size {
		parts = append(parts, struct{ from, to, at int64 }{first, end, target})
	}
	for _, p := range parts {
		if _, err := s.image.WriteAt(data[p.from-off:p.to-off], p.at); err != nil {
			return 0, fs.ToErrno(err)
		}
	}
	return uint32(len(data)), 0
}

func (s *Server) flush() syscall.Errno {
	done := s.record.Load().flush()
	if r := s.Rules.take(OpFlush, 0, 0, nil); r != nil {
		if errno := r.wait(); errno != 0 {
			return errno
		}
	}
	// The image's own durability is nobody's concern: it ends with the test.
	done()
	return 0
}

// root is the directory with the image.
type root struct {
	fs.Inode
	server *Server
}

func (r *root) OnAdd(ctx context.Context) {
	child := r.NewPersistentInode(ctx, &imageNode{server: r.server}, fs.StableAttr{Mode: syscall.S_IFREG})
	r.AddChild(ImageName, child, true)
}

// imageNode is the image.
type imageNode struct {
	fs.Inode
	server *Server
}

var (
	_ fs.NodeOnAdder   = (*root)(nil)
	_ fs.NodeOpener    = (*imageNode)(nil)
	_ fs.NodeGetattrer = (*imageNode)(nil)
	_ fs.NodeSetattrer = (*imageNode)(nil)
	_ fs.NodeReader    = (*imageNode)(nil)
	_ fs.NodeWriter    = (*imageNode)(nil)
	_ fs.NodeFsyncer   = (*imageNode)(nil)
	_ fs.NodeAllocater = (*imageNode)(nil)
)

func (n *imageNode) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_PARALLEL_DIRECT_WRITES, 0
}

func (n *imageNode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size, out.Blocks = 0o600, uint64(n.server.size), uint64(n.server.size)/512
	return 0
}

// Setattr has nothing to change; the loop device touches times.
func (n *imageNode) Setattr(ctx context.Context, f fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return n.Getattr(ctx, f, out)
}

func (n *imageNode) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return n.server.read(dest, off)
}

func (n *imageNode) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	return n.server.write(data, off)
}

func (n *imageNode) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return n.server.flush()
}

// Allocate refuses: a discard or a fallocate that is not recorded would be missing in the states made from the record.
func (n *imageNode) Allocate(context.Context, fs.FileHandle, uint64, uint64, uint32) syscall.Errno {
	return syscall.EOPNOTSUPP
}
