package shadow

import "github.com/cubefs/cubefs/depends/tiglabs/raft/proto"

// kind is what a change does.
type kind int

const (
	nothing kind = iota // it failed, or had nothing in it: only the version counts
	store
	hardState
	truncate
	snapshot
	readEntries
	readTerm
)

// origin is where a shadow starts: at the entry behind it.
type origin struct{ index, term uint64 }

// change is a change of the log, or a read of it with its answer.
type change struct {
	kind      kind
	version   uint64 // of the log behind a change; that a read belongs to
	bytes     int
	since     int64 // when it was handed over, in nanoseconds
	fresh     *origin
	entries   []proto.Entry
	hard      proto.HardState
	index     uint64
	first     uint64 // CubeFS's bounds behind a change
	last      uint64
	suspended bool // they do not count

	// of a read
	hi, maxSize, term uint64
	answer            []*proto.Entry
	compact           bool
}
