// Package monitoring tests what operators see, with a real Prometheus and real
// disks that fail: alerts fire and end, and every query of the dashboard has an
// answer.
package monitoring

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// dashboard is what the test reads of Grafana's JSON.
type dashboard struct {
	Panels []panel
}

type panel struct {
	Title, Type string
	GridPos     struct{ H, W, X, Y int }
	FieldConfig struct{ Defaults struct{ Unit string } }
	Targets     []struct{ Expr, LegendFormat string }
}

// An alert at night is worth what its runbook says.
func TestEveryAlertHasARunbookEntry(t *testing.T) {
	rules, err := os.ReadFile("../../monitoring/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	entries := map[string]string{}
	for _, part := range strings.Split(string(guide), "\n### ")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		text, _, _ = strings.Cut(text, "\n## ")
		if strings.HasPrefix(name, "Bulkhead") {
			entries[name] = text
		}
	}
	alerts := strings.Split(string(rules), "- alert: ")[1:]
	for _, alert := range alerts {
		name, text, _ := strings.Cut(alert, "\n")
		if !strings.Contains(text, "runbook_url: docs/operations.md#"+strings.ToLower(name)+"\n") {
			t.Errorf("%s does not name its entry", name)
		}
		for _, part := range []string{"Means: ", "Look at: ", "Do: "} {
			if entry := entries[name]; !strings.Contains(entry, part) && !(part == "Do: " && strings.Contains(entry, "| do |")) {
				t.Errorf("%s: no %q in its entry", name, part)
			}
		}
		delete(entries, name)
	}
	for name := range entries {
		t.Errorf("%s is no alert", name)
	}
	if len(alerts) < 10 {
		t.Errorf("%d alerts", len(alerts))
	}
}

const picture = "../../docs/pictures/dashboard.svg"

func TestAlertsAndDashboard(t *testing.T) {
	text, err := os.ReadFile("../../monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board dashboard
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	p := startPlant(t)
	s := startPrometheus(t, p.target)
	began := time.Now()
	pause(6 * time.Second) // enough for rates
	for _, alert := range []string{"BulkheadPartitionUnavailable", "BulkheadNoSpace", "BulkheadDiskErrors", "BulkheadDiskStalled"} {
		if s.firing(alert, "") {
			t.Errorf("%s fires before anything is wrong", alert)
		}
	}
	fillAndDrain(t, p, s)
	hangAndComeBack(p, s)
	die(t, p, s)
	pause(2 * time.Second)
	checkPanels(t, s, board, began, time.Now(), p.dir)
}

func pause(d time.Duration) { time.Sleep(d) }

func fillAndDrain(t *testing.T, p *plant, s *server) {
	if _, err := p.mounts["full"].Fill(); err != nil {
		t.Fatal(err)
	}
	s.await("BulkheadNoSpace", `, disk=~".*/full"`, true)
	if err := p.mounts["full"].Drain(); err != nil {
		t.Fatal(err)
	}
	s.await("BulkheadNoSpace", "", false)
}

func hangAndComeBack(p *plant, s *server) {
	p.freeze("hung")
	s.await("BulkheadDiskStalled", `, disk=~".*/hung"`, true)
	s.await("BulkheadPartitionUnavailable", `, disk=~".*/hung", cause="stalled"`, true)
	p.thaw("hung")
	s.await("BulkheadPartitionUnavailable", "", false)
}

func die(t *testing.T, p *plant, s *server) {
	if err := p.mounts["dead"].Shutdown(); err != nil {
		t.Fatal(err)
	}
	s.await("BulkheadPartitionUnavailable", `, disk=~".*/dead", cause="io_error"`, true)
	s.await("BulkheadDiskErrors", `, disk=~".*/dead", errno="EIO"`, true)
	p.close("dead") // as raft does at the first error: they are out of service all the same
	pause(3 * time.Second)
	if !s.firing("BulkheadPartitionUnavailable", `, disk=~".*/dead"`) {
		t.Error("partitions that were closed with their fault are no alert any more")
	}
	if err := p.mounts["dead"].Unmount(); err != nil {
		t.Fatal(err)
	}
	p.mount("dead") // a new disk in its place
	p.fill("dead")
	s.await("BulkheadPartitionUnavailable", "", false)
}

// checkPanels asks every query of the dashboard. A name that does not exist, or a
// label that does not match, has no answer.
func checkPanels(t *testing.T, s *server, board dashboard, from, to time.Time, dir string) {
	var drawn []drawing
	queries := 0
	for _, panel := range board.Panels {
		if panel.Type == "row" {
			drawn = append(drawn, drawing{panel: panel})
			continue
		}
		d := drawing{panel: panel}
		for _, target := range panel.Targets {
			queries++
			lines := s.query(target.Expr, from, to)
			if len(lines) == 0 {
				t.Errorf("panel %q: no data for %s", panel.Title, target.Expr)
			}
			for _, line := range lines {
				d.lines = append(d.lines, namedLine{legend(target.LegendFormat, line.labels, dir), line.points})
			}
		}
		drawn = append(drawn, d)
	}
	t.Logf("%d queries of %d panels have answers", queries, len(board.Panels))
	svg := draw(drawn, from, to)
	out := filepath.Join("../../target", "dashboard.svg")
	if os.Getenv("BULKHEAD_BLESS") != "" {
		out = picture
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(out, []byte(svg), 0o644); err != nil {
		t.Fatal(err)
	}
}

// legend fills in a legend as Grafana does; the disks are shown without the
// directory of the test.
func legend(format string, labels map[string]string, dir string) string {
	if format == "" { // a table: all that tells the series apart
		format = "{{disk}} partition {{partition}}: {{state}}, {{cause}}, {{errno}} in {{operation}}"
	}
	for name, value := range labels {
		format = strings.ReplaceAll(format, "{{"+name+"}}", strings.TrimPrefix(value, dir))
	}
	return strings.TrimSpace(format)
}
