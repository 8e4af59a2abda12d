// Package shadow lets Bulkhead follow a log that CubeFS's own WAL keeps, to see
// that it would have answered the same. CubeFS's WAL stays in charge: its answers
// are raft's, its files are the log, and whatever happens to the shadow is counted
// and never felt.
//
// Every change is handed to a goroutine, which makes it in a directory of the
// shadow's own, and every read is handed to it with its answer, to be compared.
// What waits is bounded. A change that does not fit is dropped and the shadow
// starts anew behind it; a read that does not fit is not compared. A shadow starts
// with the first entry that is stored after the log was opened, and is removed
// when the log is closed: it is a test, not a copy.
//
// A shadow that dropped a change, met a fault or found a difference is not clean,
// and stays so over restarts, until the mark is removed: the log is not to be
// handed over to Bulkhead.
package shadow
