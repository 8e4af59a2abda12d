package demo

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Result is what one scenario measured with one engine. Seconds are negative for "never": not while the scenario waited for it.
type Result struct {
	Engine             string  `json:"engine"`
	Mode               string  `json:"mode"`
	Scenario           string  `json:"scenario"`
	ProcessesAlive     int     `json:"processes_alive"`
	Processes          int     `json:"processes"`
	NodeToldS          float64 `json:"node_told_s"`
	ReactedS           float64 `json:"told_after_first_error_s"` // the datanode; Bulkhead only
	MasterToldS        float64 `json:"master_told_s"`
	StalledWriters     int     `json:"stalled_writers"`
	Writers            int     `json:"writers"`
	LongestPauseS      float64 `json:"longest_pause_s"`
	RefusedWrites      int64   `json:"refused_writes"`
	HealthyThroughput  float64 `json:"healthy_files_throughput"`
	HealthyP99BeforeMS float64 `json:"healthy_p99_before_ms"`
	HealthyP99DuringMS float64 `json:"healthy_p99_during_ms"`
	ResumedS           float64 `json:"resumed_s"`
	RecoveredS         float64 `json:"recovered_s"`
	AlertS             float64 `json:"alert_s"`                  // from the fault until the scenario's alert fired
	AlertOverS         float64 `json:"alert_over_s"`             // from the end of the fault until all of it were over
	LeaderChanges      *uint64 `json:"leader_changes,omitempty"` // of one group while a node's log of it changed hands, the most; rolling only
	WrongBytes         int     `json:"wrong_bytes"`
	WrongByReplica     []int   `json:"wrong_bytes_by_replica"`
	Note               string  `json:"note,omitempty"`
	Error              string  `json:"error,omitempty"`
}

// Line is the result as one line.
func (r *Result) Line() string {
	if r.Error != "" {
		return fmt.Sprintf("RESULT cluster engine=%s scenario=%s error=%q", r.Engine, r.Scenario, r.Error)
	}
	return fmt.Sprintf("RESULT cluster engine=%s scenario=%s processes_alive=%d/%d master_told_s=%s stalled_writers=%d/%d "+
		"healthy_files_throughput=%.2f recovered_s=%s wrong_bytes=%d", r.Engine, r.Scenario, r.ProcessesAlive, r.Processes,
		secondsOrNever(r.MasterToldS), r.StalledWriters, r.Writers, r.HealthyThroughput, secondsOrNever(r.RecoveredS), r.WrongBytes)
}

func secondsOrNever(s float64) string {
	if s < 0 {
		return "never"
	}
	return fmt.Sprintf("%.1f", s)
}

// seconds of a duration; never stays negative.
func seconds(d time.Duration) float64 {
	if d < 0 {
		return -1
	}
	return d.Seconds()
}

func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func readJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}
