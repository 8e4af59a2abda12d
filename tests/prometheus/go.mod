module github.com/bulkhead-wal/bulkhead/tests/prometheus

go 1.18
