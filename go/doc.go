// Package bulkhead is a write-ahead log for storage datanodes that keep
// thousands of partitions in one process.
//
// A partition is one directory: the entries and the hard state of one raft
// group. An I/O error stays inside the partition it hit: what passes within
// EngineConfig.HealLimit costs the caller time and nothing else; for more, that
// partition says what happened, stops accepting writes and comes back by itself
// when the fault has passed. Every other partition carries on, and the process
// never dies.
//
//	engine, err := bulkhead.Open(bulkhead.EngineConfig{})
//	partition, err := engine.OpenPartition(bulkhead.PartitionConfig{Path: dir, ID: 7})
//	err = partition.Append([]bulkhead.Entry{{Index: 1, Term: 1, Data: payload}})
//
// # Threads
//
// Every method of Engine, Partition and Subscription is safe for concurrent
// use, Close included. Appends to one partition are ordered by their indexes,
// so that one goroutine at a time should append to it. Goroutines that wait for
// durability do not hold an OS thread each: a few wait inside the library, the
// others on a channel (see Partition.Append).
//
// # Errors
//
// Every error is an *Error. errors.Is matches it against the codes ErrGap,
// ErrNoSpace, ... and, where a system call failed, against its syscall.Errno.
//
// # Linking
//
// The package links target/release/libbulkhead.a of the repository it lies in
// statically, so that a program needs no shared library at run time. Build that
// with "cargo build --release" first.
package bulkhead
