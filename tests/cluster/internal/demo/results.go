package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/cluster"
)

// SaveResults puts results into the file of all of them. Those of an engine and a scenario that were not run again stay.
func SaveResults(path string, results []*Result) error {
	var all []*Result
	if err := readJSON(path, &all); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s has no results that these can be added to: %w", path, err)
	}
	for _, r := range results {
		all = r.replaceIn(all)
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return cluster.ReplaceFile(path, append(text, '\n'))
}

func (r *Result) replaceIn(all []*Result) []*Result {
	for i, old := range all {
		if old.Engine == r.Engine && old.Scenario == r.Scenario {
			all[i] = r
			return all
		}
	}
	return append(all, r)
}
