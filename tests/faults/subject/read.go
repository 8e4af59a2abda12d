package main

import "bytes"

// span is a range of indexes, both ends included.
type span [2]uint64

// spans collects ascending indexes into ranges.
func spans(of []span, index uint64) []span {
	if n := len(of); n > 0 && of[n-1][1]+1 == index {
		of[n-1][1] = index
		return of
	}
	return append(of, span{index, index})
}

// found sorts the indexes of a read by what came back.
type found struct {
	good, missing, unreadable []span
	bad                       []uint64    // indexes that came back as something else
	terms                     [][3]uint64 // first, last, term
}

// read compares lo..hi with what was appended. If the system refuses the range, each entry is asked for by itself, so
// that the reply says which of them can be had.
func (w *worker) read(lo, hi uint64, r reply) error {
	f := &found{good: []span{}, bad: []uint64{}, missing: []span{}, unreadable: []span{}, terms: [][3]uint64{}}
	entries, err := w.log.read(lo, hi)
	next := w.sort(f, lo, entries)
	_, whole := w.log.(wholeReader)
	for index := next; err != nil && index <= hi; index++ {
		entries, each := []entry(nil), err
		if !whole {
			entries, each = w.log.read(index, index)
		}
		switch {
		case each != nil:
			f.unreadable = spans(f.unreadable, index)
		case len(entries) == 0:
			f.missing = spans(f.missing, index)
		default:
			w.sort(f, index, entries[:1])
		}
		next = index + 1
	}
	for index := next; index <= hi; index++ {
		f.missing = spans(f.missing, index)
	}
	r["good"], r["bad"], r["missing"], r["unreadable"], r["terms"] = f.good, f.bad, f.missing, f.unreadable, f.terms
	return err
}

// sort judges entries that should begin at index and returns what comes after them.
func (w *worker) sort(f *found, index uint64, entries []entry) uint64 {
	for _, e := range entries {
		for ; index < e.index; index++ {
			f.missing = spans(f.missing, index)
		}
		if e.index != index || !bytes.Equal(e.data, payload(w.partition, index, e.term, len(e.data))) {
			f.bad = append(f.bad, index)
		} else {
			f.good = spans(f.good, index)
			f.term(index, e.term)
		}
		index++
	}
	return index
}

func (f *found) term(index, term uint64) {
	if n := len(f.terms); n > 0 && f.terms[n-1][2] == term && f.terms[n-1][1]+1 == index {
		f.terms[n-1][1] = index
		return
	}
	f.terms = append(f.terms, [3]uint64{index, index, term})
}
