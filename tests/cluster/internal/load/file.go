package load

import (
	"fmt"
	"io"
	"math/rand"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// File is one file with its writer.
type File struct {
	Number int
	Path   string
	Inode  uint64
	blocks int

	writes, errors atomic.Int64 // acknowledged; refused
	lastAck        atomic.Int64 // UnixNano

	mu      sync.Mutex
	acked   []uint64         // the sequence of each block that was acknowledged last
	maybe   map[int][]uint64 // of blocks with later writes that were not: they may be there, or not
	longest time.Duration    // without an acknowledgement, since the mark
	mark    time.Time
	latest  []time.Duration // how long the writes since the mark took
	problem error
}

// Create makes a file with every block written once.
func Create(path string, number, blocks int) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	buffer := make([]byte, blocks*BlockBytes)
	for i := 0; i < blocks; i++ {
		fill(buffer[i*BlockBytes:][:BlockBytes], number, i, 1)
	}
	if _, err := f.Write(buffer); err != nil {
		return err
	}
	return f.Sync()
}

// Open finds a file that Create has made.
func Open(path string, number int) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	blocks := int(info.Size() / BlockBytes)
	if blocks == 0 {
		return nil, fmt.Errorf("%s is empty", path)
	}
	f := &File{Number: number, Path: path, Inode: info.Sys().(*syscall.Stat_t).Ino, blocks: blocks, maybe: map[int][]uint64{}}
	for i := 0; i < blocks; i++ {
		f.acked = append(f.acked, 1)
	}
	f.Mark()
	return f, nil
}

// Mark starts counting pauses and latencies anew.
func (f *File) Mark() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mark, f.longest, f.latest = time.Now(), 0, nil
	f.lastAck.Store(f.mark.UnixNano())
}

// Writes is how many writes were acknowledged so far.
func (f *File) Writes() int64 { return f.writes.Load() }

// Errors is how many were refused.
func (f *File) Errors() int64 { return f.errors.Load() }

// Problem is what the last refused one was told; nil if none was.
func (f *File) Problem() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.problem
}

// LongestPause is the longest time without an acknowledgement since the mark, the current one included.
func (f *File) LongestPause() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.pause(time.Now()); now > f.longest {
		return now
	}
	return f.longest
}

func (f *File) pause(now time.Time) time.Duration { return now.Sub(time.Unix(0, f.lastAck.Load())) }

// Latencies of the writes since the mark.
func (f *File) Latencies() []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]time.Duration(nil), f.latest...)
}

// Run overwrites random blocks, perSecond of them (0: as many as it can), until stop is closed. A writer that hangs in the mount
// comes back when the mount's client has ended.
func (f *File) Run(perSecond int, stop <-chan struct{}) error {
	file, err := os.OpenFile(f.Path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	random := rand.New(rand.NewSource(int64(f.Number)))
	next := time.Now()
	for seq := uint64(2); ; seq++ {
		select {
		case <-stop:
			return nil
		default:
		}
		f.overwrite(file, random.Intn(f.blocks), seq)
		if perSecond == 0 {
			continue
		}
		next = next.Add(time.Second / time.Duration(perSecond))
		if wait := time.Until(next); wait > 0 {
			time.Sleep(wait)
		} else if wait < -catchUp {
			next = time.Now() // what was missed for longer is not made up for
		}
	}
}

const (
	catchUp    = 100 * time.Millisecond
	afterError = 100 * time.Millisecond
)

func (f *File) overwrite(file io.WriterAt, number int, seq uint64) {
	var block [BlockBytes]byte
	fill(block[:], f.Number, number, seq)
	f.mu.Lock()
	f.maybe[number] = append(f.maybe[number], seq)
	f.mu.Unlock()
	begin := time.Now()
	if _, err := file.WriteAt(block[:], int64(number)*BlockBytes); err != nil {
		f.refused(err)
		time.Sleep(afterError)
		return
	}
	f.acknowledged(number, seq, begin)
}

func (f *File) refused(err error) {
	f.errors.Add(1)
	f.mu.Lock()
	f.problem = err
	f.mu.Unlock()
}

func (f *File) acknowledged(number int, seq uint64, begin time.Time) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if pause := f.pause(now); pause > f.longest {
		f.longest = pause
	}
	f.latest = append(f.latest, now.Sub(begin))
	f.lastAck.Store(now.UnixNano())
	f.acked[number] = seq
	delete(f.maybe, number)
	f.writes.Add(1)
}

// Wrong counts the bytes that are not what was acknowledged. It reads the file's content from a replica. A block may also hold a
// later write that was never answered.
func (f *File) Wrong(replica io.ReaderAt) (wrong int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var got, want [BlockBytes]byte
	for number := range f.acked {
		if _, err := replica.ReadAt(got[:], int64(number)*BlockBytes); err != nil {
			return wrong, fmt.Errorf("%s: block %d: %w", f.Path, number, err)
		}
		seq := f.acked[number]
		for _, other := range f.maybe[number] {
			if sequence(got[:]) == other {
				seq = other
			}
		}
		fill(want[:], f.Number, number, seq)
		wrong += differing(got[:], want[:])
	}
	return wrong, nil
}
