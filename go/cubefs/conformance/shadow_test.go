package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/shadow"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage/wal"
)

// TestCubeFSWithShadow runs the suite against CubeFS's own WAL with a shadow: it
// must answer as it does without, its defects included, and whatever a case did
// the two must have agreed on every read.
func TestCubeFSWithShadow(t *testing.T) {
	engine, err := bulkhead.Open(bulkhead.EngineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	roots, err := os.MkdirTemp("", "shadows") // not under the logs: their cases remove those right after Close
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	open := func(dummy bool) func(dir string) (storage.Storage, error) {
		return func(dir string) (storage.Storage, error) {
			native, err := wal.NewStorage(dir, &wal.Config{FileSize: 1 << 20, Sync: true, TruncateFirstDummy: dummy})
			if err != nil {
				return nil, err
			}
			count++
			root := filepath.Join(roots, fmt.Sprint(count))
			return shadow.New(native, shadow.Config{Root: root, ID: 7, Log: cubefs.Config{Engine: engine, Mode: bulkhead.ModeNone}}), nil
		}
	}
	Run(t, Implementation{Open: open(false), OpenDummy: open(true), Defects: cubefsDefects})
	reports, totals := shadow.Reports()
	for len(reports) > 0 {
		time.Sleep(time.Millisecond)
		reports, totals = shadow.Reports()
	}
	t.Logf("%+v", totals)
	if totals.Differences != 0 || totals.Compared == 0 {
		t.Errorf("%d reads were compared, with %d differences", totals.Compared, totals.Differences)
	}
	for i := 1; i <= count; i++ {
		// What CubeFS's WAL accepts, and Bulkhead does not.
		if why := shadow.Blemish(filepath.Join(roots, fmt.Sprint(i)), 7); why != "" && !strings.Contains(why, bulkhead.ErrGap.Error()) &&
			!strings.Contains(why, bulkhead.ErrOutOfOrder.Error()) {
			t.Errorf("shadow %d: %s", i, why)
		}
	}
	if err := engine.Close(); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(roots); err != nil {
		t.Error(err)
	}
}
