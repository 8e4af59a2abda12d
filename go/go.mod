module github.com/bulkhead-wal/bulkhead/go

go 1.17
