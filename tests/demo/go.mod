module github.com/bulkhead-wal/bulkhead/tests/demo

go 1.18

require (
	github.com/bulkhead-wal/bulkhead/go v0.0.0
	github.com/bulkhead-wal/bulkhead/go/cubefs v0.0.0
	github.com/bulkhead-wal/bulkhead/tests/prometheus v0.0.0
	github.com/cubefs/cubefs v1.34.0
)

require github.com/google/btree v1.0.1 // indirect

replace (
	github.com/bulkhead-wal/bulkhead/go => ../../go
	github.com/bulkhead-wal/bulkhead/go/cubefs => ../../go/cubefs
	github.com/bulkhead-wal/bulkhead/tests/prometheus => ../prometheus
)
