package conformance

import (
	"fmt"
	"os"
	"testing"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/logger"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/util/log"
)

// silent keeps CubeFS's debug lines out of the test output.
type silent struct{}

func (silent) IsEnableDebug() bool          { return false }
func (silent) IsEnableInfo() bool           { return false }
func (silent) IsEnableWarn() bool           { return false }
func (silent) Debug(string, ...interface{}) {}
func (silent) Info(string, ...interface{})  {}
func (silent) Warn(string, ...interface{})  {}
func (silent) Error(string, ...interface{}) {}

// TestMain fails the run when a handle was left open.
func TestMain(m *testing.M) {
	logger.SetLogger(silent{})
	log.GetFileLogger().SetLevel("fatal")
	code := m.Run()
	if engines, partitions := bulkhead.LiveHandles(); engines != 0 || partitions != 0 {
		fmt.Printf("FAIL: %d engines and %d partitions were left open\n", engines, partitions)
		code = 1
	}
	os.Exit(code)
}

// TestBulkhead runs the suite in every durability mode, with segments small
// enough that the cases cross them. Bulkhead has no known defects.
func TestBulkhead(t *testing.T) {
	for _, mode := range []bulkhead.Mode{bulkhead.ModeNone, bulkhead.ModeSync, bulkhead.ModeInterval} {
		mode := mode
		t.Run(mode.String(), func(t *testing.T) {
			engine, err := bulkhead.Open(bulkhead.EngineConfig{SegmentMaxBytes: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := engine.Close(); err != nil {
					t.Errorf("closing the engine: %v", err)
				}
			}()
			open := func(dummy bool) func(dir string) (storage.Storage, error) {
				return func(dir string) (storage.Storage, error) {
					s, err := cubefs.NewStorage(dir, &cubefs.Config{Mode: mode, Engine: engine, TruncateFirstDummy: dummy})
					if err != nil {
						return nil, err
					}
					return s, nil
				}
			}
			Run(t, Implementation{Open: open(false), OpenDummy: open(true)})
		})
	}
}
