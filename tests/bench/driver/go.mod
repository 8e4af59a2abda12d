module github.com/bulkhead-wal/bulkhead/tests/bench/driver

go 1.23.0

require (
	github.com/bulkhead-wal/bulkhead/tests/faults v0.0.0
	golang.org/x/sys v0.30.0
)

require github.com/hanwen/go-fuse/v2 v2.12.1 // indirect

replace (
	github.com/bulkhead-wal/bulkhead/go => ../../../go
	github.com/bulkhead-wal/bulkhead/go/cubefs => ../../../go/cubefs
	github.com/bulkhead-wal/bulkhead/tests/faults => ../../faults
)
