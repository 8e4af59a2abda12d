package convert

import (
	"math/rand"
	"os"
	"strconv"
	"testing"

	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
)

// model is a raft log in memory.
type model struct {
	contents
	rnd *rand.Rand
}

func (m *model) lastTerm() uint64 {
	if len(m.Entries) == 0 {
		return m.FirstTerm
	}
	return m.Entries[len(m.Entries)-1].Term
}

// step does one thing that raft may do, to the model and to a storage.
func (m *model) step(t testing.TB, s storage.Storage) {
	switch k := m.rnd.Intn(20); {
	case k < 10:
		m.store(t, s, m.Last+1)
	case k < 13 && m.Last > m.Hard.Commit:
		m.store(t, s, m.Hard.Commit+1+uint64(m.rnd.Int63n(int64(m.Last-m.Hard.Commit))))
	case k < 17:
		if term := m.lastTerm(); m.Hard.Term < term {
			m.Hard.Term, m.Hard.Vote = term, uint64(m.rnd.Intn(4))
		} else if m.rnd.Intn(3) == 0 {
			m.Hard.Term, m.Hard.Vote = m.Hard.Term+1, uint64(m.rnd.Intn(4))
		}
		m.Hard.Commit += uint64(m.rnd.Int63n(int64(m.Last - m.Hard.Commit + 1)))
		must(t, s.StoreHardState(m.Hard))
	case k < 19 && m.Hard.Commit >= m.First:
		index := m.First + uint64(m.rnd.Int63n(int64(m.Hard.Commit-m.First+1)))
		m.FirstTerm = m.Entries[index-m.First].Term
		m.Entries = append([]proto.Entry(nil), m.Entries[index-m.First+1:]...)
		m.First = index + 1
		must(t, s.Truncate(index))
	case k == 19 && m.rnd.Intn(3) == 0:
		index, term := m.Last+1+uint64(m.rnd.Intn(40)), m.lastTerm()
		if term < m.Hard.Term {
			term = m.Hard.Term
		}
		if m.Hard.Term < term || term == 0 {
			m.Hard.Term, m.Hard.Vote = term+1, 0
			must(t, s.StoreHardState(m.Hard))
			term++
		}
		m.First, m.Last, m.FirstTerm, m.Entries, m.Hard.Commit = index+1, index, term, nil, index
		must(t, s.ApplySnapshot(proto.SnapshotMeta{Index: index, Term: term, Peers: []proto.Peer{{ID: 1}}}))
	}
}

func (m *model) store(t testing.TB, s storage.Storage, first uint64) {
	m.Entries = m.Entries[:first-m.First]
	term := m.lastTerm()
	if term < m.Hard.Term {
		term = m.Hard.Term
	}
	if term == 0 || m.rnd.Intn(6) == 0 {
		term++
	}
	sizes := []int{0, 100, 5000, 128 << 10}
	batch := entries(first, first+1+uint64(m.rnd.Intn(20)), term, sizes[m.rnd.Intn(len(sizes))])
	must(t, s.StoreEntries(batch))
	for _, e := range batch {
		m.Entries = append(m.Entries, *e)
	}
	m.Last = batch[len(batch)-1].Index
}

// settle stores the hard state as raft does at the end of each of its rounds: an
// import raises a term that is behind the log's.
func (m *model) settle(t testing.TB, s storage.Storage) {
	if term := m.lastTerm(); m.Hard.Term < term {
		m.Hard.Term, m.Hard.Vote = term, 0
	}
	if m.Hard.Commit < m.First-1 {
		m.Hard.Commit = m.First - 1
	}
	must(t, s.StoreHardState(m.Hard))
}

// TestHistories writes random histories, in turns by CubeFS's WAL and by
// Bulkhead, with an import or an export in place between the turns. Either reads
// what the model says, at every turn. HISTORIES=n plays n of them.
func TestHistories(t *testing.T) {
	count := 12
	if n, err := strconv.Atoi(os.Getenv("HISTORIES")); err == nil {
		count = n
	}
	engine := newEngine(t)
	for seed := int64(1); seed <= int64(count); seed++ {
		dir := walDir(t)
		m := &model{contents: contents{First: 1}, rnd: rand.New(rand.NewSource(seed))}
		for turn := 0; turn < 6; turn++ {
			s := openCubeFS(t, dir, smallFiles)
			same(t, "seed "+strconv.FormatInt(seed, 10)+": CubeFS", read(t, s), m.contents)
			for i := m.rnd.Intn(30); i > 0; i-- {
				m.step(t, s)
			}
			m.settle(t, s)
			s.Close()
			before := tree(t, dir)
			_, err := engine.ImportCubeFS(at(dir))
			must(t, err)
			if m.rnd.Intn(3) == 0 {
				must(t, engine.UndoCubeFSImport(at(dir)))
				if m.rnd.Intn(2) == 0 || turn == 0 {
					sameTree(t, "undone", tree(t, dir), before)
				}
				_, err = engine.ImportCubeFS(at(dir))
				must(t, err)
			}
			b := openBulkhead(t, engine, dir)
			same(t, "seed "+strconv.FormatInt(seed, 10)+": Bulkhead", read(t, b), m.contents)
			for i := m.rnd.Intn(30); i > 0; i-- {
				m.step(t, b)
			}
			m.settle(t, b)
			b.Close()
			if turn > 0 {
				must(t, engine.DiscardCubeFSOriginal(at(dir)))
			}
			_, err = engine.ExportCubeFS(at(dir), "")
			must(t, err)
		}
	}
}
