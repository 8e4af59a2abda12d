package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
)

const golden = 0x9e3779b97f4a7c15

// mix is the finalizer of splitmix64.
func mix(z uint64) uint64 {
	z ^= z >> 30
	z *= 0xbf58476d1ce4e5b9
	z ^= z >> 27
	z *= 0x94d049bb133111eb
	return z ^ z>>31
}

// pieces, if set, is what payloads are cut from.
var pieces []byte

// setPayload chooses what entries carry: verdicts on a log must not depend on it. Pieces of a file are for bytes that look like
// records, because they are some.
func setPayload(kind string) error {
	path, isFile := strings.CutPrefix(kind, "file:")
	switch {
	case kind == "random":
	case kind == "zeros":
		pieces = make([]byte, 1)
	case isFile:
		var err error
		if pieces, err = os.ReadFile(path); err != nil || len(pieces) == 0 {
			return fmt.Errorf("payloads from %s: it must be a file that is not empty: %v", path, err)
		}
	default:
		return fmt.Errorf("payload %q; it must be random, zeros or file:<path>", kind)
	}
	return nil
}

// piece starts at a record's boundary or close to one: multiples of 8.
func piece(index uint64, bytes int) []byte {
	out := make([]byte, bytes)
	at := int(index * 4096 % uint64(len(pieces)))
	for n := 0; n < bytes; {
		n += copy(out[n:], pieces[at:])
		at = 0
	}
	return out
}

// payload is what an entry carries: bytes that follow from who it belongs to, so that a misplaced, stale, shortened or
// flipped one is known when it is read. The Rust subject has the same function.
func payload(partition, index, term uint64, bytes int) []byte {
	if pieces != nil {
		return piece(index, bytes)
	}
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
