package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

func printTables(out io.Writer, outcomes []outcome, s settings) {
	for i, o := range outcomes {
		if i == 0 || outcomes[i-1].row.id != o.row.id {
			fmt.Fprintf(out, "\n%s: %s (%d rounds of %s)\n", o.row.id, o.row.title, s.rounds, s.slot)
		}
		printTable(out, o)
	}
}

func printTable(out io.Writer, o outcome) {
	fmt.Fprintf(out, "\n%-25s %11s %9s %9s   %-30s %s\n", o.workload.id, "entries/s", "p50 us", "p99 us", "ratio (range) to", "target")
	for _, m := range o.arms {
		if m.failure != nil {
			fmt.Fprintf(out, "  %-23s FAILED: %s\n", m.arm.name, m.failure)
			continue
		}
		line := fmt.Sprintf("  %-23s %11s %9.1f %9.1f", m.arm.name, thousands(m.value()),
			m.latency.quantileMicros(0.50), m.latency.quantileMicros(0.99))
		if reference := o.reference(m); reference != nil && reference != m {
			low, high := extremes(o.ratios(m))
			ratio := fmt.Sprintf("%.2f (%.2f-%.2f) %s", median(o.ratios(m)), low, high, reference.arm.name)
			line += fmt.Sprintf("   %-30s %s", ratio, o.judgement(m))
		}
		if m.refused > 0 {
			line += fmt.Sprintf("; %d appends refused", m.refused)
		}
		fmt.Fprintln(out, strings.TrimRight(line, " "))
	}
}

// judgement says how m stands against its targets; empty if it has none.
func (o outcome) judgement(m *measured) string {
	ratios := o.ratios(m)
	if !o.row.isJudged(m.arm.name) || len(ratios) == 0 {
		return ""
	}
	text := fmt.Sprintf(">= %g: %s", o.workload.minRatio, verdict(median(ratios), o.workload.minRatio, false))
	if most := o.workload.maxP99Ratio; most > 0 {
		p99 := o.p99Ratio(m)
		text += fmt.Sprintf("; p99 %.2f <= %g: %s", p99, most, verdict(p99, most, true))
	}
	if len(m.p99s) > 0 {
		text += "; " + o.p99InRange(m)
	}
	return text
}

func thousands(value float64) string {
	digits := fmt.Sprintf("%.0f", value)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

type result struct {
	Workload  string  `json:"workload"`
	Arm       string  `json:"arm"`
	Unit      string  `json:"unit"`
	Value     float64 `json:"value"`
	P50Micros float64 `json:"p50_us"`
	P99Micros float64 `json:"p99_us"`
}

func writeResults(path string, outcomes []outcome) error {
	results := []result{}
	for _, o := range outcomes {
		for _, m := range o.arms {
			if m.failure == nil {
				results = append(results, result{o.workload.id, m.arm.name, "entries/s", rounded(m.value()),
					rounded(m.latency.quantileMicros(0.50)), rounded(m.latency.quantileMicros(0.99))})
			}
		}
	}
	text, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func rounded(value float64) float64 { return float64(int64(value*10+0.5)) / 10 }
