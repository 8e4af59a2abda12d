package cubefs

import (
	"bytes"
	"testing"

	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
)

// TestBatchOfManyProposals: raft proposes 64 entries at a time and stores together what
// it has proposed since the last time, more than goes into one append.
func TestBatchOfManyProposals(t *testing.T) {
	for _, mode := range allModes {
		t.Run(mode.String(), func(t *testing.T) {
			dir := walDir(t)
			s := open(t, dir, &Config{Mode: mode})
			store(t, s, 1, 4, 1)
			data := bytes.Repeat([]byte("payload "), 128<<10/8)
			var batch []*proto.Entry
			for i := uint64(3); i <= 600; i++ {
				batch = append(batch, &proto.Entry{Index: i, Term: 2, Data: data})
			}
			if err := s.StoreEntries(batch); err != nil {
				t.Fatal(err)
			}
			holds(t, s, 600)
			s.Close()
			s = open(t, dir, &Config{Mode: mode})
			holds(t, s, 600)
			if term, _, err := s.Term(3); err != nil || term != 2 {
				t.Errorf("entry 3 has term %d, %v", term, err)
			}
		})
	}
}
