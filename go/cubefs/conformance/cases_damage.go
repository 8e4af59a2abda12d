package conformance

import (
	"bytes"
	"os"
	"path/filepath"

	"github.com/cubefs/cubefs/depends/tiglabs/raft/proto"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
)

// damageCases: bytes that are not what was written must show, in whatever form:
// as an error of opening, or of reading just what is damaged.
var damageCases = []testCase{
	{"a flipped bit in an entry is noticed", func(c *run) {
		want := c.filled()
		path, offset := c.find(payload(5, 1, 200)[:20])
		flip(c, path, offset)
		c.intactOrError(want, proto.HardState{Term: 1, Vote: 2, Commit: 10})
	}},
	{"a flipped bit in the last entry is noticed", func(c *run) {
		want := c.filled()
		path, offset := c.find(payload(20, 1, 200)[:20])
		flip(c, path, offset)
		c.intactOrError(want, proto.HardState{Term: 1, Vote: 2, Commit: 10})
	}},
	{"flipped bits in small files are noticed", func(c *run) {
		c.damageSmallFiles(func(content []byte, at int) []byte {
			content[at] ^= 1
			return content
		})
	}},
	{"an emptied state file is noticed", func(c *run) {
		c.damageSmallFiles(func([]byte, int) []byte { return nil })
	}},
	{"a missing file is noticed", func(c *run) {
		want := c.filled()
		for _, path := range c.files() {
			content, err := os.ReadFile(path)
			c.must(err, "read")
			c.must(os.Remove(path), "remove")
			c.intactOrError(want, proto.HardState{Term: 1, Vote: 2, Commit: 10})
			// What an implementation made in its place must not stay.
			c.must(os.WriteFile(path, content, 0o600), "write")
		}
	}},
}

// filled makes a closed log of 20 entries with everything durable.
func (c *run) filled() []*proto.Entry {
	want := entries(1, 21, 1, 200)
	s := c.open()
	c.store(s, want)
	c.must(s.StoreHardState(proto.HardState{Term: 1, Vote: 2, Commit: 10}), "StoreHardState")
	s.Close()
	return want
}

// files lists the regular files of the case's directory.
func (c *run) files() []string {
	var out []string
	c.must(filepath.Walk(c.dir(), func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			out = append(out, path)
		}
		return err
	}), "walk")
	return out
}

// find returns where a payload lies.
func (c *run) find(text []byte) (path string, offset int) {
	for _, path := range c.files() {
		content, err := os.ReadFile(path)
		c.must(err, "read")
		if at := bytes.Index(content, text); at >= 0 {
			return path, at
		}
	}
	c.check(false, "the payload %q is in no file", text)
	return "", 0
}

func flip(c *run, path string, offset int) {
	content, err := os.ReadFile(path)
	c.must(err, "read")
	content[offset] ^= 1
	c.must(os.WriteFile(path, content, 0o600), "write")
}

// smallFileBytes bounds what damageSmallFiles takes for a state file.
const smallFileBytes = 64 << 10

// damageSmallFiles changes the files that hold the hard state, at up to 40 places
// each.
func (c *run) damageSmallFiles(change func(content []byte, at int) []byte) {
	want := c.filled()
	for _, path := range c.files() {
		content, err := os.ReadFile(path)
		c.must(err, "read")
		if len(content) > smallFileBytes {
			continue
		}
		step := len(content)/40 + 1
		for at := 0; at < len(content); at += step {
			c.must(os.WriteFile(path, change(append([]byte(nil), content...), at), 0o600), "write")
			c.intactOrError(want, proto.HardState{Term: 1, Vote: 2, Commit: 10})
			c.must(os.WriteFile(path, content, 0o600), "write")
		}
	}
}

// intactOrError opens the log: it must be refused, or be complete apart from
// entries whose reading is an error.
func (c *run) intactOrError(want []*proto.Entry, hard proto.HardState) {
	s, err := c.impl.Open(c.dir())
	if err != nil {
		return
	}
	defer s.Close()
	c.hardState(s, hard)
	first, last := c.bounds(s)
	c.check(first == want[0].Index && last == want[len(want)-1].Index,
		"opened without an error, but the log is [%d, %d], want [%d, %d]", first, last, want[0].Index, want[len(want)-1].Index)
	damaged := 0
	for _, w := range want {
		got, compact, err := one(s, w.Index)
		if err != nil {
			damaged++
			continue
		}
		c.check(!compact && len(got) == 1, "entry %d is gone without an error", w.Index)
		c.same(got, []*proto.Entry{w})
	}
	c.check(damaged <= 1, "%d entries cannot be read, one was damaged", damaged)
}

func one(s storage.Storage, index uint64) ([]*proto.Entry, bool, error) {
	return s.Entries(index, index+1, noLimit)
}
