package main

// Puts the choice between CubeFS's own log and Bulkhead behind raftstore; what it chooses is the policy's.
import _ "github.com/bulkhead-wal/bulkhead/go/cubefs/factory"
