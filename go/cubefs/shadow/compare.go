package shadow

import (
	"bytes"
	"errors"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
)

// compareBounds compares the bounds behind a change, as far as the shadow goes.
func (w *worker) compareBounds(c change) {
	if c.suspended {
		return
	}
	first, err := w.log.FirstIndex()
	if err == nil {
		var last uint64
		if last, err = w.log.LastIndex(); err == nil {
			want := c.first
			if want < w.base+1 {
				want = w.base + 1
			}
			if first != want || last != c.last {
				w.differs("the log is [%d, %d], CubeFS's [%d, %d], seen from %d on", first, last, c.first, c.last, w.base+1)
			}
		}
	}
	if err != nil {
		w.failed(err)
	}
}

// compare repeats a read, if the shadow is where CubeFS's log was.
func (w *worker) compare(c change) {
	if w.log == nil || w.version != c.version || c.index <= w.base {
		w.counters.add(&w.counters.NotCompared)
		return
	}
	var err error
	if c.kind == readTerm {
		err = w.compareTerm(c)
	} else {
		err = w.compareEntries(c)
	}
	switch {
	case errors.Is(err, bulkhead.ErrOutOfRange), errors.Is(err, bulkhead.ErrDamaged):
		w.differs("CubeFS's WAL answers a read from %d, Bulkhead says: %v", c.index, err)
	case err != nil:
		w.failed(err)
	}
	w.counters.add(&w.counters.Compared)
}

func (w *worker) compareTerm(c change) error {
	term, compact, err := w.log.Term(c.index)
	if err == nil && (compact != c.compact || term != c.term) {
		w.differs("the term of %d is %d (compacted: %v), CubeFS's %d (%v)", c.index, term, compact, c.term, c.compact)
	}
	return err
}

func (w *worker) compareEntries(c change) error {
	entries, compact, err := w.log.Entries(c.index, c.hi, c.maxSize)
	if err != nil {
		return err
	}
	if compact != c.compact || len(entries) != len(c.answer) {
		w.differs("a read of [%d, %d) up to %d bytes gives %d entries (compacted: %v), CubeFS's %d (%v)",
			c.index, c.hi, c.maxSize, len(entries), compact, len(c.answer), c.compact)
		return nil
	}
	for i, e := range entries {
		if !same(e, c.answer[i]) {
			w.differs("entry %d is of term %d with %d bytes, CubeFS's is entry %d of term %d with %d bytes",
				e.Index, e.Term, len(e.Data), c.answer[i].Index, c.answer[i].Term, len(c.answer[i].Data))
			return nil
		}
	}
	return nil
}

func same(a, b *proto.Entry) bool {
	return a.Index == b.Index && a.Term == b.Term && a.Type == b.Type && bytes.Equal(a.Data, b.Data)
}
