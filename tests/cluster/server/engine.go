//go:build !native

package main

import (
	"fmt"
	"time"

	"github.com/bulkhead-wal/bulkhead/go/cubefs/factory"
	"github.com/cubefs/cubefs/util/exporter"
)

// The import of package factory puts the choice between CubeFS's own log and Bulkhead behind raftstore. What becomes of a log
// raises CubeFS's alarm, and is a line on standard output.
func init() {
	factory.OnWarning(func(text string) {
		fmt.Println(time.Now().Format(time.StampMilli), text)
		exporter.Warning(text)
	})
}
