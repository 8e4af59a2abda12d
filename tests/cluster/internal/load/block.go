// Package load overwrites files all the time, remembers what was acknowledged, and compares it with what it is shown later.
package load

import (
	"bytes"
	"encoding/binary"
)

// BlockBytes is the unit of all writes.
const BlockBytes = 4096

const (
	magic       = 0x62756c6b_68656164
	headerBytes = 32
)

// Mark is what every block begins with.
func Mark() []byte { return binary.BigEndian.AppendUint64(nil, magic) }

// fill makes the content of a block: who it is, and bytes that depend on all of that.
func fill(block []byte, file, number int, seq uint64) {
	binary.BigEndian.PutUint64(block, magic)
	binary.BigEndian.PutUint64(block[8:], uint64(file))
	binary.BigEndian.PutUint64(block[16:], uint64(number))
	binary.BigEndian.PutUint64(block[24:], seq)
	state := uint64(file)<<48 ^ uint64(number)<<24 ^ seq ^ 0x9e3779b97f4a7c15
	for i := headerBytes; i < len(block); i += 8 {
		// xorshift64
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		binary.LittleEndian.PutUint64(block[i:], state)
	}
}

// sequence of a block that looks like one of ours.
func sequence(block []byte) uint64 { return binary.BigEndian.Uint64(block[24:]) }

// differing counts the bytes in which two blocks differ.
func differing(a, b []byte) (n int) {
	if bytes.Equal(a, b) {
		return 0
	}
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}
