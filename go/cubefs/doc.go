// Package cubefs keeps the log of CubeFS's raft (release v3.4.0, module version
// v1.34.0) in Bulkhead: NewStorage takes the place of the function of the same
// name in depends/tiglabs/raft/storage/wal.
//
//	storage, err := cubefs.NewStorage(walPath, &cubefs.Config{
//		AppliedIndex: applied,
//		OnFault:      func(f cubefs.Fault) { ... },
//	})
//
// The package imports raft's proto and storage packages, not raft itself, so
// that code below raft can use it.
//
// # What raft does with an error
//
// An error from StoreEntries, StoreHardState, Entries or Term ends the raft
// group silently: raft closes the storage, tells nobody, and keeps the dead
// group registered. Config.OnFault is how the owner hears of it: it is called
// at once, from a goroutine of its own, also after raft has closed the storage.
//
// # Differences from CubeFS's own WAL
//
// The log is durable when StoreEntries returns, unless Config.Mode says
// otherwise. A first entry beyond the last index + 1 is refused on an empty log
// too. ApplySnapshot with an empty meta, which raft calls before it has received
// the snapshot, hides the log until the real one, and deletes nothing. NewStorage
// makes only the last component of its path. The conformance tests list the
// differences.
package cubefs
