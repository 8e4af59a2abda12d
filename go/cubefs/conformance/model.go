package conformance

import (
	"math/rand"
	"os"

	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
)

// modelCases: what raft may do, in random order, against the simplest log there
// is.
var modelCases = []testCase{
	{"random operations agree with a model, small entries", func(c *run) {
		for seed := int64(1); seed <= 8; seed++ {
			c.compare(seed, 250, 200)
		}
	}},
	{"random operations agree with a model, over segments", func(c *run) {
		for seed := int64(101); seed <= 104; seed++ {
			c.compare(seed, 80, 100<<10)
		}
	}},
}

// model is a raft log in memory.
type model struct {
	truncIndex uint64
	truncTerm  uint64
	log        []*proto.Entry
	hard       proto.HardState
}

func (m *model) last() uint64 { return m.truncIndex + uint64(len(m.log)) }

func (m *model) lastTerm() uint64 {
	if len(m.log) == 0 {
		return m.truncTerm
	}
	return m.log[len(m.log)-1].Term
}

// compare runs operations from a seed. All that raft does is in it: appends,
// replaced suffixes above the commit, compaction below it, snapshots, restarts.
func (c *run) compare(seed int64, operations, maxBytes int) {
	rnd := rand.New(rand.NewSource(seed))
	m := &model{}
	s := c.open()
	for i := 0; i < operations; i++ {
		switch k := rnd.Intn(100); {
		case k < 55:
			c.appendSome(s, m, rnd, m.last()+1, maxBytes)
		case k < 65 && m.last() > m.hard.Commit:
			first := m.hard.Commit + 1 + uint64(rnd.Int63n(int64(m.last()-m.hard.Commit)))
			c.appendSome(s, m, rnd, first, maxBytes)
		case k < 80:
			m.commitSome(rnd)
			c.must(s.StoreHardState(m.hard), "seed %d, operation %d: StoreHardState(%+v)", seed, i, m.hard)
		case k < 90 && m.hard.Commit > m.truncIndex:
			c.truncateSome(s, m, rnd)
		case k < 92:
			c.snapshot(s, m, rnd)
		case k < 95:
			s = c.restart(s, m)
		default:
			c.readSome(s, m, rnd)
		}
		first, last := c.bounds(s)
		c.check(first == m.truncIndex+1 && last == m.last(), "seed %d, operation %d: the log is [%d, %d], want [%d, %d]", seed, i, first, last, m.truncIndex+1, m.last())
	}
	for _, again := range []bool{false, true} {
		if again {
			s = c.restart(s, m)
		}
		c.hardState(s, m.hard)
		c.holds(s, m.log)
	}
	s.Close()
	c.must(os.RemoveAll(c.dir()), "RemoveAll")
}

// restart opens the log again. A term that was not stored after the entries that have
// it may be given all the same, without a vote: none was told of.
func (c *run) restart(s storage.Storage, m *model) storage.Storage {
	s = c.reopen(s)
	got, err := s.InitialState()
	c.must(err, "InitialState")
	if t := m.lastTerm(); m.hard.Term < t && got.Term == t {
		m.hard.Term, m.hard.Vote = t, 0
	}
	return s
}

func (c *run) appendSome(s storage.Storage, m *model, rnd *rand.Rand, first uint64, maxBytes int) {
	m.log = m.log[:first-m.truncIndex-1]
	term := m.lastTerm()
	if term < m.hard.Term {
		term = m.hard.Term
	}
	if term == 0 || rnd.Intn(8) == 0 {
		term++
	}
	var batch []*proto.Entry
	for n := 1 + rnd.Intn(64); n > 0; n-- {
		batch = append(batch, entries(first, first+1, term, rnd.Intn(maxBytes))...)
		first++
	}
	c.store(s, batch)
	m.log = append(m.log, batch...)
}

func (m *model) commitSome(rnd *rand.Rand) {
	if t := m.lastTerm(); m.hard.Term < t {
		m.hard.Term, m.hard.Vote = t, uint64(1+rnd.Intn(3))
	} else if rnd.Intn(5) == 0 {
		m.hard.Term, m.hard.Vote = m.hard.Term+1, uint64(rnd.Intn(4))
	}
	if ahead := m.last() - m.hard.Commit; m.hard.Commit < m.last() {
		m.hard.Commit += uint64(rnd.Int63n(int64(ahead + 1)))
	}
}

func (c *run) truncateSome(s storage.Storage, m *model, rnd *rand.Rand) {
	index := m.truncIndex + 1 + uint64(rnd.Int63n(int64(m.hard.Commit-m.truncIndex)))
	c.must(s.Truncate(index), "Truncate(%d)", index)
	keep := m.log[index-m.truncIndex:]
	m.truncIndex, m.truncTerm = index, m.log[index-m.truncIndex-1].Term
	m.log = append([]*proto.Entry(nil), keep...)
}

func (c *run) snapshot(s storage.Storage, m *model, rnd *rand.Rand) {
	m.truncIndex, m.truncTerm = m.last()+1+uint64(rnd.Intn(50)), m.lastTerm()+1
	m.log, m.hard.Commit = nil, m.truncIndex
	c.must(s.ApplySnapshot(proto.SnapshotMeta{Index: m.truncIndex, Term: m.truncTerm, Peers: []proto.Peer{{ID: 1}}}), "ApplySnapshot")
}

func (c *run) readSome(s storage.Storage, m *model, rnd *rand.Rand) {
	if len(m.log) == 0 {
		return
	}
	lo := rnd.Intn(len(m.log))
	hi := lo + 1 + rnd.Intn(len(m.log)-lo)
	maxSize := uint64(rnd.Intn(1 << 20))
	want := m.log[lo:hi]
	var size uint64
	for i, e := range want {
		if size += e.Size(); size > maxSize {
			want = want[:i+1]
			break
		}
	}
	got, compact, err := s.Entries(m.truncIndex+1+uint64(lo), m.truncIndex+1+uint64(hi), maxSize)
	c.check(err == nil && !compact, "Entries = compact %v, %v", compact, err)
	c.same(got, want)
}
