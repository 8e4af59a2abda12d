module github.com/bulkhead-wal/bulkhead/tests/monitoring

go 1.23.0

require (
	github.com/bulkhead-wal/bulkhead/go v0.0.0
	github.com/bulkhead-wal/bulkhead/go/metrics v0.0.0
	github.com/bulkhead-wal/bulkhead/tests/faults v0.0.0
	github.com/prometheus/client_golang v1.13.0
	github.com/bulkhead-wal/bulkhead/tests/prometheus v0.0.0
)

require (
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cespare/xxhash/v2 v2.1.2 // indirect
	github.com/golang/protobuf v1.5.2 // indirect
	github.com/matttproud/golang_protobuf_extensions v1.0.1 // indirect
	github.com/prometheus/client_model v0.2.0 // indirect
	github.com/prometheus/common v0.37.0 // indirect
	github.com/prometheus/procfs v0.8.0 // indirect
	golang.org/x/sys v0.30.0 // indirect
	google.golang.org/protobuf v1.28.1 // indirect
)

replace (
	github.com/bulkhead-wal/bulkhead/go => ../../go
	github.com/bulkhead-wal/bulkhead/go/cubefs => ../../go/cubefs
	github.com/bulkhead-wal/bulkhead/go/metrics => ../../go/metrics
	github.com/bulkhead-wal/bulkhead/tests/faults => ../faults
	github.com/bulkhead-wal/bulkhead/tests/prometheus => ../prometheus
)
