package demo

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/cluster"
)

// One scenario run again must not cost the figures of the others.
func TestResultsOfOtherRunsStay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.json")
	row := func(engine, scenario string, wrong int) *Result {
		return &Result{Engine: engine, Scenario: scenario, WrongBytes: wrong}
	}
	for _, results := range [][]*Result{
		{row(cluster.EngineCubeFS, "full", 1), row(cluster.EngineBulkhead, "full", 2)},
		{row(cluster.EngineBulkhead, "full", 3), row(cluster.EngineBulkhead, "kill", 4)},
	} {
		if err := SaveResults(path, results); err != nil {
			t.Fatal(err)
		}
	}
	var all []*Result
	if err := readJSON(path, &all); err != nil {
		t.Fatal(err)
	}
	want := []*Result{row(cluster.EngineCubeFS, "full", 1), row(cluster.EngineBulkhead, "full", 3), row(cluster.EngineBulkhead, "kill", 4)}
	if !reflect.DeepEqual(all, want) {
		t.Errorf("%+v", all)
	}
	if err := os.WriteFile(path, []byte("[{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if SaveResults(path, want) == nil {
		t.Error("a file that cannot be read was written over")
	}
}
