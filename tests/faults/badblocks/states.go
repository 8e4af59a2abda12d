package badblocks

import (
	"fmt"
	"math/rand"
	"os"
)

// State is what may be on the disk after a power cut: writes that a flush made durable, and any of those that were under way.
type State struct {
	At      int64 // the power went after this event
	Name    string
	Applied []Request
}

// tearBytes is what a disk writes as a whole: of a longer write that was under way any part may be there.
const tearBytes = 4096

// durable tells which writes must be there if the power goes after an event: those that had ended before a flush started that
// had ended by then.
func durable(requests []Request, at int64) int64 {
	var since int64
	for _, r := range requests {
		if r.Flush && r.Done > 0 && r.Done <= at && r.Start > since {
			since = r.Start
		}
	}
	return since
}

// Boundary is the state in which all writes up to the end of a flush arrived, in order.
func Boundary(requests []Request, flush Request) State {
	s := State{At: flush.Done, Name: fmt.Sprintf("all up to the flush at %d", flush.Done)}
	for _, r := range requests {
		if !r.Flush && r.Start <= s.At {
			s.Applied = append(s.Applied, r)
		}
	}
	return s
}

// Subset is a state in which of the writes that no flush covers a random part arrived, in pieces. Writes to the same block
// stay in their order, as disks keep them.
func Subset(requests []Request, at int64, random *rand.Rand) State {
	since := durable(requests, at)
	s := State{At: at}
	share := random.Float64()
	kept, open := 0, 0
	for _, r := range requests {
		if r.Flush || r.Start > at {
			continue
		}
		if r.Done > 0 && r.Done < since {
			s.Applied = append(s.Applied, r)
			continue
		}
		for first := 0; first < len(r.Data); first += tearBytes {
			open++
			if random.Float64() >= share {
				continue
			}
			kept++
			piece := r
			piece.Off, piece.Data = r.Off+int64(first), r.Data[first:min(first+tearBytes, len(r.Data))]
			s.Applied = append(s.Applied, piece)
		}
	}
	s.Name = fmt.Sprintf("%d of the %d blocks under way at %d", kept, open, at)
	return s
}

// Covered is the state in which nothing arrived but what a flush covers.
func Covered(requests []Request, at int64) State {
	since := durable(requests, at)
	s := State{At: at, Name: fmt.Sprintf("only what the last flush before %d covers", at)}
	for _, r := range requests {
		if !r.Flush && r.Done > 0 && r.Done < since {
			s.Applied = append(s.Applied, r)
		}
	}
	return s
}

// Flushes are the flushes that ended, in the order of their starts.
func Flushes(requests []Request) []Request {
	var flushes []Request
	for _, r := range requests {
		if r.Flush && r.Done > 0 {
			flushes = append(flushes, r)
		}
	}
	return flushes
}

// Write applies the state to an image.
func (s *State) Write(image string) error {
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	for _, r := range s.Applied {
		if _, err := f.WriteAt(r.Data, r.Off); err != nil {
			f.Close()
			return err
		}
	}
	return f.Close()
}
