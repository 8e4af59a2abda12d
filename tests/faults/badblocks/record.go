package badblocks

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"sync"
)

// A record of what reached the disk. Each event has a sequence number, counted from 1. A write or a flush has two events, its
// start and its end: two requests are ordered only if one ended before the other started.
const (
	eventWrite = 1 // start of a write: offset, length, then the data
	eventFlush = 2 // start of a flush
	eventDone  = 3 // end of the request that started with the event whose number is in the offset field
)

const eventHeaderBytes = 1 + 8 + 8 // kind, offset or number, length

// Recorder appends events to a file.
type Recorder struct {
	mu   sync.Mutex
	file *os.File
	out  *bufio.Writer
	seq  int64
	err  error
}

// NewRecorder makes the file.
func NewRecorder(path string) (*Recorder, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &Recorder{file: f, out: bufio.NewWriterSize(f, 1<<20)}, nil
}

func (r *Recorder) event(kind byte, number int64, data []byte) int64 {
	var header [eventHeaderBytes]byte
	header[0] = kind
	binary.LittleEndian.PutUint64(header[1:], uint64(number))
	binary.LittleEndian.PutUint64(header[9:], uint64(len(data)))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	for _, b := range [][]byte{header[:], data} {
		if _, err := r.out.Write(b); err != nil && r.err == nil {
			r.err = err
		}
	}
	return r.seq
}

// write records the start; the function it returns, the end. A nil Recorder records nothing.
func (r *Recorder) write(off int64, data []byte) (done func()) {
	if r == nil {
		return func() {}
	}
	start := r.event(eventWrite, off, data)
	return func() { r.event(eventDone, start, nil) }
}

func (r *Recorder) flush() (done func()) {
	if r == nil {
		return func() {}
	}
	start := r.event(eventFlush, 0, nil)
	return func() { r.event(eventDone, start, nil) }
}

// Seq is the number of the last event.
func (r *Recorder) Seq() int64 {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seq
}

// Close writes the rest of the file.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.out.Flush(); err != nil && r.err == nil {
		r.err = err
	}
	if err := r.file.Close(); err != nil && r.err == nil {
		r.err = err
	}
	return r.err
}

// Request is a write or a flush of a record.
type Request struct {
	Flush bool
	Off   int64
	Data  []byte
	Start int64 // number of the event
	Done  int64 // number of the event; 0 if it never ended
}

// ReadRecord reads a record's requests in the order of their starts.
func ReadRecord(path string) ([]Request, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<20)
	var requests []Request
	byStart := make(map[int64]int)
	for seq := int64(1); ; seq++ {
		var header [eventHeaderBytes]byte
		if _, err := io.ReadFull(in, header[:]); err == io.EOF {
			return requests, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: event %d: %w", path, seq, err)
		}
		number := int64(binary.LittleEndian.Uint64(header[1:]))
		data := make([]byte, binary.LittleEndian.Uint64(header[9:]))
		if _, err := io.ReadFull(in, data); err != nil {
			return nil, fmt.Errorf("%s: event %d: %w", path, seq, err)
		}
		if header[0] == eventDone {
			requests[byStart[number]].Done = seq
			continue
		}
		byStart[seq] = len(requests)
		requests = append(requests, Request{Flush: header[0] == eventFlush, Off: number, Data: data, Start: seq})
	}
}
