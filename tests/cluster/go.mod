module github.com/bulkhead-wal/bulkhead/tests/cluster

go 1.23.0

require golang.org/x/sys v0.30.0

replace (
	github.com/bulkhead-wal/bulkhead/go => ../../go
	github.com/bulkhead-wal/bulkhead/go/cubefs => ../../go/cubefs
	github.com/bulkhead-wal/bulkhead/tests/faults => ../faults
)
