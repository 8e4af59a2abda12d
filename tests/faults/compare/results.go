package compare

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/bulkhead-wal/bulkhead/tests/faults/scenario"
)

// Record is one run, as it stands in the results file; ../README.md documents the fields.
type Record struct {
	Row        string  `json:"row"` // the requirements that the scenario is about, "F18 F20"
	Scenario   string  `json:"scenario"`
	Method     string  `json:"method"`
	System     string  `json:"system"`
	Version    string  `json:"version"`
	Mode       string  `json:"mode"`
	Filesystem string  `json:"filesystem"`
	Outcome    string  `json:"outcome"`
	NotAsked   string  `json:"not_asked,omitempty"` // those of the requirements that the system has no call for
	Why        string  `json:"why"`
	Date       string  `json:"date"`
	Seed       int64   `json:"seed"`
	Seconds    float64 `json:"seconds"`
}

// pushed are the requirements about what a log does without being asked.
var pushed = []string{"F7", "F10"}

// private is what a line says of the machine that it was found on: directories of the runner and of the package cache.
var private = regexp.MustCompile(`/\S*/(registry/src/[^/]+|pkg/mod|mount[0-9]+)/`)

// Records puts results into the form of the results file.
func Records(subjects []Subject, results []scenario.Result, date string) []Record {
	known := make(map[string]Subject)
	for _, s := range subjects {
		known[s.Name] = s
	}
	var records []Record
	for _, r := range results {
		records = append(records, Record{
			Row: strings.Join(r.Rows, " "), Scenario: r.Scenario, Method: r.Method, System: r.System, Version: known[r.System].Version,
			Mode: r.Mode, Filesystem: r.Filesystem, Outcome: string(r.Outcome), NotAsked: skipped(known[r.System], r.Rows),
			Why: private.ReplaceAllString(r.Line, ""), Date: date, Seed: r.Seed, Seconds: r.Seconds,
		})
	}
	return records
}

// skipped lists the requirements that cannot be asked of a system that pushes nothing.
func skipped(s Subject, rows []string) string {
	var list []string
	for _, ability := range s.Abilities {
		if ability == scenario.Events {
			return ""
		}
	}
	for _, row := range rows {
		for _, p := range pushed {
			if row == p {
				list = append(list, row)
			}
		}
	}
	return strings.Join(list, " ")
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
