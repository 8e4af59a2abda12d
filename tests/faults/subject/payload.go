package main

import "encoding/binary"

const golden = 0x9e3779b97f4a7c15

// mix is the finalizer of splitmix64.
func mix(z uint64) uint64 {
	z ^= z >> 30
	z *= 0xbf58476d1ce4e5b9
	z ^= z >> 27
	z *= 0x94d049bb133111eb
	return z ^ z>>31
}

// payload is what an entry carries: bytes that follow from who it belongs to, so that a misplaced, stale, shortened or
// flipped one is known when it is read. The Rust subject has the same function.
func payload(partition, index, term uint64, bytes int) []byte {
	state := mix(partition + golden)
	for _, word := range []uint64{index, term, uint64(bytes)} {
		state = mix((state ^ word) + golden)
	}
	out := make([]byte, (bytes+7)/8*8)
	for at := 0; at < len(out); at += 8 {
		state += golden
		binary.LittleEndian.PutUint64(out[at:], mix(state))
	}
	return out[:bytes]
}
