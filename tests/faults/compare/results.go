package compare

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/bulkhead-wal/bulkhead/tests/faults/scenario"
)

// Record is one run, as it stands in results.json.
type Record struct {
	Row        string `json:"row"` // the requirements that the scenario is about, "F18 F20"
	Scenario   string `json:"scenario"`
	System     string `json:"system"`
	Version    string `json:"version"`
	Mode       string `json:"mode"`
	Filesystem string `json:"filesystem"`
	Outcome    string `json:"outcome"`
	Why        string `json:"why"`
	Date       string `json:"date"`
	Seed       int64  `json:"seed"`
}

// Records puts results of one system into the form of results.json.
func Records(s Subject, results []scenario.Result, date string) []Record {
	var records []Record
	for _, r := range results {
		records = append(records, Record{
			Row: strings.Join(r.Rows, " "), Scenario: r.Scenario, System: s.Name, Version: s.Version, Mode: r.Mode,
			Filesystem: r.Filesystem, Outcome: string(r.Outcome), Why: r.Line, Date: date, Seed: r.Seed,
		})
	}
	return records
}

// Write writes the records as JSON.
func Write(path string, records []Record) error {
	text, err := json.MarshalIndent(records, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
