// Package harness runs one arm of one workload in one process. It is the Go half of what
// tests/bench/rust does for Rust: same options, same protocol, same policy, same numbers.
package harness

import (
	"fmt"
	"strconv"
	"strings"
)

// Workload is what an id such as B1/4096 or B4/64x4096 asks for.
type Workload struct {
	ID           string
	Durable      bool // row B1: an append returns when it is durable; row B4: when it was written
	Batch        int  // entries in one append
	PayloadBytes int
}

// ParseWorkload reads a workload's id.
func ParseWorkload(id string) (Workload, error) {
	invalid := fmt.Errorf("%q is not a workload such as B1/4096 or B4/64x4096", id)
	row, shape, found := strings.Cut(id, "/")
	if !found || (row != "B1" && row != "B4") {
		return Workload{}, invalid
	}
	batch := 1
	if count, size, found := strings.Cut(shape, "x"); found {
		number, err := strconv.Atoi(count)
		if err != nil {
			return Workload{}, invalid
		}
		batch, shape = number, size
	}
	bytes, err := strconv.Atoi(shape)
	if err != nil || batch < 1 || batch > 64 || bytes < 1 || bytes > 1<<16 {
		return Workload{}, invalid
	}
	return Workload{ID: id, Durable: row == "B1", Batch: batch, PayloadBytes: bytes}, nil
}
