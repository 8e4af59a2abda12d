package scenario

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
)

// What needs no filesystem, and is shown elsewhere: panics, simulation, handles.
var elsewhere = map[string]bool{"F4": true, "F25": true, "F29": true}

// Rows that can be shown on some filesystems only.
var notEverywhere = map[string]string{"F5": "btrfs"}

// A requirement without a scenario of its name would be one that real disks do not show.
func TestEachRowHasAScenarioOnEachFilesystem(t *testing.T) {
	for n := 1; n <= LastRow; n++ {
		row := fmt.Sprintf("F%d", n)
		for _, kind := range disk.Kinds {
			if elsewhere[row] || notEverywhere[row] == kind {
				continue
			}
			found := false
			for _, s := range Scenarios {
				found = found || strings.HasPrefix(s.Name, strings.ToLower(row)+"-") && contains(s.Filesystems, kind)
			}
			if !found {
				t.Errorf("%s has no scenario of its name on %s", row, kind)
			}
		}
	}
}

func TestNamesBeginWithARowThatTheyShow(t *testing.T) {
	for _, s := range Scenarios {
		first, _, _ := strings.Cut(s.Name, "-")
		if !contains(s.Rows, strings.ToUpper(first)) {
			t.Errorf("%s shows %v", s.Name, s.Rows)
		}
	}
}
