package bulkhead

// #include "shim.h"
import "C"

import (
	"math"
	"sync"
	"syscall"
	"unsafe"
)

// pinFromBytes is the mean payload size from which a batch is handed over by
// pinning its payloads instead of copying them into one buffer. Pinning costs
// about 80 ns per entry; BenchmarkHandOver finds copying as dear from about 2 KiB
// on while the payload is in the cache, and dearer when it is not.
const pinFromBytes = 2048

// keepBufferBytes bounds what a pooled buffer keeps between calls.
const keepBufferBytes = 1 << 20

// batch is what one append call hands to the library.
type batch struct {
	entries []packedEntry
	data    []byte
	pins    pinner
}

var batchPool = sync.Pool{New: func() interface{} { return new(batch) }}

// Append adds entries to the log, all or nothing, and returns when they are as
// durable as the partition's mode says. Their indexes are consecutive; the
// first is at most the last of the log + 1. At or below it, the entries from
// there on are replaced. The entries are borrowed until Append returns.
//
// In ModeSync goroutines wait on a channel and hold no thread. On a disk where
// for a while no more than half of GOMAXPROCS (at least 1) append at a time,
// those wait inside the library, which is the shortest way to the disk and back;
// at most as many in all of the process.
func (p *Partition) Append(entries []Entry) error {
	maybeGC()
	if !p.waits {
		return p.appendInside(entries)
	}
	crowd := &p.disk.appending
	inside := crowd.enter()
	defer crowd.leave(inside)
	if inside {
		return p.appendInside(entries)
	}
	return p.appendOutside(entries)
}

// appendInside returns when the library has done all of it.
func (p *Partition) appendInside(entries []Entry) error {
	if len(entries) == 1 && !tooLarge(entries[0].Data) {
		e := &entries[0]
		return takeError(C.bh_append_one(p.handle, C.uint64_t(e.Index), C.uint64_t(e.Term), C.uint32_t(e.Kind),
			(*C.uint8_t)(bytesPointer(e.Data)), C.uint32_t(len(e.Data))))
	}
	total, err := p.payloadBytes(entries)
	if err != nil {
		return err
	}
	if canPin && total >= uint64(len(entries))*pinFromBytes {
		return p.appendPinned(entries)
	}
	return p.appendPacked(entries, total)
}

func (p *Partition) appendPinned(entries []Entry) error {
	b := batchPool.Get().(*batch)
	b.pin(entries)
	err := takeError(C.bh_append(p.handle, b.first(), C.size_t(len(entries))))
	b.release()
	return err
}

func (p *Partition) appendPacked(entries []Entry, total uint64) error {
	b := batchPool.Get().(*batch)
	b.pack(entries, total)
	err := takeError(C.bh_append_packed(p.handle, b.first(), C.size_t(len(entries)),
		(*C.uint8_t)(bytesPointer(b.data)), C.size_t(len(b.data))))
	b.release()
	return err
}

// appendOutside hands the entries over and waits on a channel.
func (p *Partition) appendOutside(entries []Entry) error {
	w, err := p.submit(entries)
	if err != nil {
		return err
	}
	return p.await(w, entries)
}

// submit hands the entries over; await returns what became of them.
func (p *Partition) submit(entries []Entry) (*waiter, error) {
	total, err := p.payloadBytes(entries)
	if err != nil {
		return nil, err
	}
	w := p.engine.waiters.add()
	if w == nil {
		return nil, p.failed(ErrClosed, 0, entries)
	}
	if len(entries) == 1 {
		e := &entries[0]
		err = takeError(C.bh_submit_one(p.handle, C.uint64_t(e.Index), C.uint64_t(e.Term), C.uint32_t(e.Kind),
			(*C.uint8_t)(bytesPointer(e.Data)), C.uint32_t(len(e.Data)), C.uint64_t(w.token)))
	} else {
		b := batchPool.Get().(*batch)
		b.pack(entries, total)
		err = takeError(C.bh_submit_packed(p.handle, b.first(), C.size_t(len(entries)),
			(*C.uint8_t)(bytesPointer(b.data)), C.size_t(len(b.data)), C.uint64_t(w.token)))
		b.release()
	}
	if err != nil {
		p.engine.waiters.remove(w)
		return nil, err
	}
	return w, nil
}

func (p *Partition) await(w *waiter, entries []Entry) error {
	answer := <-w.answer
	waiterPool.Put(w)
	if answer.err != nil {
		return answer.err
	}
	if answer.status == C.BULKHEAD_OK {
		return nil
	}
	return p.failed(Code(answer.status), syscall.Errno(answer.errno), entries)
}

// failed completes what a completion says about a failure. The latched fault
// has the details and stays the same until a recovery; a failure that did not
// latch anything has only its status.
func (p *Partition) failed(code Code, errno syscall.Errno, entries []Entry) error {
	if fault, ok := p.LastFault().(*Error); ok && fault.Code == code {
		return fault
	}
	e := &Error{Op: OpAppend, Partition: p.id, Code: code, Errno: errno, Path: p.path}
	if len(entries) > 0 {
		e.First, e.Last = entries[0].Index, entries[len(entries)-1].Index
	}
	return e
}

// payloadBytes refuses what the ABI's 32-bit lengths cannot carry.
func (p *Partition) payloadBytes(entries []Entry) (uint64, error) {
	var total uint64
	for i := range entries {
		n := uint64(len(entries[i].Data))
		if n > math.MaxUint32 {
			return 0, &Error{Op: OpAppend, Partition: p.id, Code: ErrEntryTooLarge, First: entries[i].Index, Last: entries[i].Index,
				Path: p.path, Message: "the payload is over 4 GiB"}
		}
		total += n
	}
	return total, nil
}

// first is the array as the library takes it; nil if it is empty.
func (b *batch) first() *C.uint64_t {
	if len(b.entries) == 0 {
		return nil
	}
	return (*C.uint64_t)(unsafe.Pointer(&b.entries[0]))
}

// pack copies the payloads back to back.
func (b *batch) pack(entries []Entry, total uint64) {
	b.grow(len(entries))
	if uint64(cap(b.data)) < total {
		b.data = make([]byte, 0, total)
	}
	data := b.data[:0]
	for i := range entries {
		e := &entries[i]
		b.entries[i] = packedEntry{index: e.Index, term: e.Term, length: uint32(len(e.Data)), kind: uint32(e.Kind)}
		data = append(data, e.Data...)
	}
	b.data = data
}

// pin leaves the payloads where they are until release.
func (b *batch) pin(entries []Entry) {
	b.grow(len(entries))
	for i := range entries {
		e := &entries[i]
		var address uint64
		if len(e.Data) > 0 {
			b.pins.Pin(&e.Data[0])
			address = uint64(uintptr(unsafe.Pointer(&e.Data[0])))
		}
		b.entries[i] = packedEntry{index: e.Index, term: e.Term, data: address, length: uint32(len(e.Data)), kind: uint32(e.Kind)}
	}
}

func (b *batch) grow(n int) {
	if cap(b.entries) < n {
		b.entries = make([]packedEntry, n)
	}
	b.entries = b.entries[:n]
}

func (b *batch) release() {
	b.pins.Unpin()
	b.data = b.data[:0]
	if cap(b.data) > keepBufferBytes {
		b.data = nil
	}
	batchPool.Put(b)
}
