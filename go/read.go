package bulkhead

// #include "shim.h"
import "C"

import (
	"errors"
	"math"
	"sync"
	"unsafe"
)

const (
	readBufferBytes = 256 << 10 // of a fresh readScratch
	keepReadBytes   = 4 << 20   // what a pooled readScratch keeps at most
	readHeaders     = 1024      // entries per call at first
	maxReadHeaders  = 16384     // entries per call at most
)

// readScratch receives what the library reads. What was read is copied once
// into memory of exactly its size: how much it will be is not known before, and
// a guess that is too large would stay referenced as long as one entry is.
type readScratch struct {
	headers []entryHeader
	data    []byte
}

var readPool = sync.Pool{New: func() interface{} {
	return &readScratch{headers: make([]entryHeader, readHeaders), data: make([]byte, readBufferBytes)}
}}

// Read returns the entries [lo, hi). It stops after the entry that takes their
// data over maxBytes and returns at least one; what lies beyond the last entry
// of the log is left out. If lo is at or below the compaction point the error
// is ErrCompacted, beyond the last entry ErrOutOfRange; if hi <= lo there is
// nothing to read and no error.
func (p *Partition) Read(lo, hi, maxBytes uint64) ([]Entry, error) {
	return p.ReadAppend(nil, lo, hi, maxBytes)
}

// ReadAppend is Read that appends to dst, which may be reused from call to call.
// On an error it returns dst as it was.
func (p *Partition) ReadAppend(dst []Entry, lo, hi, maxBytes uint64) ([]Entry, error) {
	maybeGC()
	if hi <= lo {
		return dst, nil
	}
	scratch := readPool.Get().(*readScratch)
	out, err := p.readInto(scratch, dst, lo, hi, maxBytes)
	if len(scratch.data) > keepReadBytes {
		scratch.data = make([]byte, readBufferBytes)
	}
	readPool.Put(scratch)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// readInto calls the library until the range, the size or the log ends. One
// call is the rule; more are needed when the range does not fit the scratch.
func (p *Partition) readInto(scratch *readScratch, dst []Entry, lo, hi, maxBytes uint64) ([]Entry, error) {
	var total uint64
	next := lo
	for {
		scratch.fit(hi - next)
		out := C.bh_read(p.handle, C.uint64_t(next), C.uint64_t(hi), C.uint64_t(maxBytes-total),
			(*C.uint64_t)(unsafe.Pointer(&scratch.headers[0])), C.size_t(len(scratch.headers)),
			(*C.uint8_t)(unsafe.Pointer(&scratch.data[0])), C.size_t(len(scratch.data)))
		if out.status == C.BULKHEAD_BUFFER_TOO_SMALL {
			if err := scratch.grow(uint64(out.result.needed_bytes)); err != nil {
				return nil, err
			}
			continue
		}
		if out.err != nil {
			err := takeError(out.err)
			if next > lo && errors.Is(err, ErrOutOfRange) {
				return dst, nil // the log ends inside the range
			}
			return nil, err
		}
		count, size := uint64(out.result.count), uint64(out.result.data_bytes)
		dst = scratch.appendTo(dst, count, size)
		next += count
		total += size
		if count == 0 || next >= hi || total > maxBytes {
			return dst, nil
		}
	}
}

// fit makes room for the headers of n entries, up to a limit.
func (s *readScratch) fit(n uint64) {
	if n > maxReadHeaders {
		n = maxReadHeaders
	}
	if uint64(len(s.headers)) < n {
		s.headers = make([]entryHeader, n)
	}
}

func (s *readScratch) grow(needed uint64) error {
	if needed <= uint64(len(s.data)) || needed > math.MaxInt32 {
		return &Error{Op: OpRead, Code: ErrBufferTooSmall, Message: "the library asks for an impossible buffer"}
	}
	s.data = make([]byte, needed)
	return nil
}

// appendTo copies size bytes into one buffer and slices it.
func (s *readScratch) appendTo(dst []Entry, count, size uint64) []Entry {
	data := append([]byte(nil), s.data[:size]...)
	if free := cap(dst) - len(dst); uint64(free) < count {
		grown := make([]Entry, len(dst), uint64(len(dst))+count)
		copy(grown, dst)
		dst = grown
	}
	for i := uint64(0); i < count; i++ {
		h := &s.headers[i]
		n := h.length
		dst = append(dst, Entry{Index: h.index, Term: h.term, Kind: uint8(h.kind), Data: data[:n:n]})
		data = data[n:]
	}
	return dst
}
