package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/cluster"
	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/isolate"
	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/load"
)

const (
	rounds       = 6
	roundSeconds = 8
	warmSeconds  = 4
)

// arms are compared with the first two.
var arms = []struct {
	name   string
	choice cluster.Choice
}{
	{"cubefs", cluster.Choice{Engine: cluster.EngineCubeFS, Mode: "sync"}},
	{"cubefs-sync", cluster.Choice{Engine: cluster.EngineCubeFSSync, Mode: "sync"}},
	{"bulkhead", cluster.Choice{Engine: cluster.EngineBulkhead, Mode: "sync"}},
	{"bulkhead-none", cluster.Choice{Engine: cluster.EngineBulkhead, Mode: "none"}},
}

type row struct {
	Workload string  `json:"workload"`
	Arm      string  `json:"arm"`
	Unit     string  `json:"unit"`
	Value    float64 `json:"value"`
	P50US    float64 `json:"p50_us"`
	P99US    float64 `json:"p99_us"`
	CPUUS    float64 `json:"cpu_us"`
}

// Run starts a cluster for each arm, side by side, and gives each a round in turn. command makes the arguments that run an arm; the
// arms have so many writers each.
func Run(command func(cluster.Choice) []string, writers int, jsonPath string) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var talkers []*isolate.Talker
	defer func() {
		for _, t := range talkers {
			t.End()
		}
	}()
	for _, a := range arms {
		t, err := isolate.Talk(command(a.choice)...)
		if err != nil {
			return err
		}
		talkers = append(talkers, t)
	}
	for i, t := range talkers {
		if _, err := hear(t); err != nil {
			return fmt.Errorf("%s does not start: %w", arms[i].name, err)
		}
		fmt.Printf("%s is ready\n", arms[i].name)
	}
	samples := make([][]Sample, len(arms))
	for r := 0; r <= rounds; r++ {
		seconds := roundSeconds
		if r == 0 {
			seconds = warmSeconds
		}
		for i, t := range talkers {
			if err := t.Say(fmt.Sprint(seconds)); err != nil {
				return err
			}
			s, err := hear(t)
			if err != nil {
				return fmt.Errorf("%s: %w", arms[i].name, err)
			}
			fmt.Printf("round %d  %-14s %6.0f /s  p50 %6.0f us  p99 %6.0f us  processor %4.0f us a write\n", r, arms[i].name, s.PerSecond,
				s.P50US, s.P99US, s.CPUUS)
			if r > 0 {
				samples[i] = append(samples[i], s)
			}
		}
	}
	return report(samples, fmt.Sprintf("B10/fuse/%dx%d", writers, load.BlockBytes), jsonPath)
}

func hear(t *isolate.Talker) (s Sample, err error) {
	line, err := t.Hear()
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal([]byte(line), &s); err != nil {
		return s, fmt.Errorf("%q: %w", line, err)
	}
	if s.Error != "" {
		return s, errors.New(s.Error)
	}
	return s, nil
}

func report(samples [][]Sample, workload, jsonPath string) error {
	var table []row
	fmt.Printf("\n%s, %d rounds of %d s, medians:\n", workload, rounds, roundSeconds)
	for i, a := range arms {
		var rates, p50, p99, cpu []float64
		for _, s := range samples[i] {
			rates, p50, p99, cpu = append(rates, s.PerSecond), append(p50, s.P50US), append(p99, s.P99US), append(cpu, s.CPUUS)
		}
		table = append(table, row{workload, a.name, "writes/s", median(rates), median(p50), median(p99), median(cpu)})
		fmt.Printf("%-14s %6.0f /s  p50 %6.0f us  p99 %6.0f us  processor %4.0f us a write  %s  %s\n", a.name, median(rates),
			median(p50), median(p99), median(cpu), compared(samples, i, 0), compared(samples, i, 1))
	}
	text, err := json.MarshalIndent(table, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(jsonPath, []byte(strings.TrimSpace(string(text))+"\n"), 0o644)
}

// compared is an arm's throughput in terms of another one's, round by round.
func compared(samples [][]Sample, arm, other int) string {
	var ratios []float64
	for r, s := range samples[arm] {
		ratios = append(ratios, s.PerSecond/samples[other][r].PerSecond)
	}
	sort.Float64s(ratios)
	return fmt.Sprintf("%.2f x %s (%.2f to %.2f)", median(ratios), arms[other].name, ratios[0], ratios[len(ratios)-1])
}

func median(v []float64) float64 {
	sorted := append([]float64(nil), v...)
	sort.Float64s(sorted)
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
