module github.com/bulkhead-wal/bulkhead/tests/bench/driver

go 1.21
