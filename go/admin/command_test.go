//go:build command

package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
)

// bulkheadCommand runs the command that BULKHEAD_COMMAND names.
func bulkheadCommand(t *testing.T, want int, args ...string) string {
	t.Helper()
	var stderr strings.Builder
	command := exec.Command(os.Getenv("BULKHEAD_COMMAND"), args...)
	command.Stderr = &stderr
	stdout, err := command.Output()
	if err != nil && command.ProcessState == nil {
		t.Fatal(err)
	}
	if got := command.ProcessState.ExitCode(); got != want {
		t.Errorf("bulkhead %s: exit code %d, not %d\n%s%s", strings.Join(args, " "), got, want, stdout, &stderr)
	}
	return string(stdout) + stderr.String()
}

// The command speaks to a real handler over a real engine, and to its metrics.
func TestCommand(t *testing.T) {
	p, server := serve(t)
	url := server.URL + "/bulkhead"
	ctl := func(want int, args ...string) string {
		t.Helper()
		return bulkheadCommand(t, want, append([]string{"ctl", "--url", url}, args...)...)
	}
	says := func(text string, words ...string) {
		t.Helper()
		for _, word := range words {
			if !strings.Contains(text, word) {
				t.Errorf("%q is not in\n%s", word, text)
			}
		}
	}
	if err := p.Append([]bulkhead.Entry{{Index: 1, Term: 3}}); err != nil {
		t.Fatal(err)
	}
	says(bulkheadCommand(t, 0, "status", "--url", url), "PARTITION", "ReadWrite", p.Path())
	says(ctl(0, "list"), "ReadWrite", p.Path())
	says(ctl(0, "fence", "7", "read-only", "--reason", "disk is to be replaced"), "ReadOnly", "disk is to be replaced")
	if err := p.Append([]bulkhead.Entry{{Index: 2, Term: 3}}); err == nil {
		t.Error("an append to a fenced partition")
	}
	says(bulkheadCommand(t, 1, "status", "--url", url), "ReadOnly", "fenced", "disk is to be replaced")
	faulted := ctl(1, "list", "--faulted", "--json")
	var one Partition
	if err := json.Unmarshal([]byte(faulted), &one); err != nil || one.ID != 7 || one.Cause != "fenced" {
		t.Errorf("%v: %s", err, faulted)
	}
	says(ctl(4, "recover", "7"), "release")
	says(ctl(0, "release", "7"), "ReadWrite")
	if err := p.Append([]bulkhead.Entry{{Index: 2, Term: 3}}); err != nil {
		t.Error(err)
	}
	says(ctl(0, "show", "7"), "last_index  2")
	says(ctl(0, "events"), "ReadOnly", "fence")
	says(ctl(0, "disks"), "DEVICE", "2")
	says(ctl(0, "limits", "heal_limit_ms=500", "probe_ms=never"), "NAME", "heal_limit_ms", "500", "engine")
	says(ctl(0, "limits", "--partition", "7", "heal_limit_ms=600"), "600", "partition")
	says(ctl(0, "limits"), "heal_limit_ms", "500")
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) { // the handler hears of it a moment later
		events := ctl(0, "events")
		if strings.Contains(events, "heal_limit_ms 500 to 600 (partition)") || time.Now().After(end) {
			says(events, "heal_limit_ms 300 to 500 (engine), probe_ms 250 to 0 (engine)", "heal_limit_ms 500 to 600 (partition)")
			break
		}
	}
	says(ctl(5, "limits", "heal_limit_ms=600000000"), "heal_limit_ms")
	ctl(2, "limits", "heal_limit_ms")
	says(ctl(5, "show", "99"), "not open")
	says(ctl(5, "fence", "99", "unavailable"), "not open")
	ctl(2, "fence", "7", "closed")
	says(bulkheadCommand(t, 5, "ctl", "--url", server.URL, "list"), "not an answer of Bulkhead's handler")
	says(bulkheadCommand(t, 5, "ctl", "--url", "https://node", "list"), "http://")
	says(bulkheadCommand(t, 3, "status", "--url", "http://127.0.0.1:1/"), "no answer")
}

func TestCommandReadsMetrics(t *testing.T) {
	engine, err := bulkhead.Open(bulkhead.EngineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	p, err := engine.OpenPartition(bulkhead.PartitionConfig{Path: filepath.Join(t.TempDir(), "wal"), ID: 7})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.NotFound(w, r)
			return
		}
		text, err := engine.MetricsText()
		if err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, string(text))
	}))
	defer server.Close()
	if text := bulkheadCommand(t, 0, "status", "--url", server.URL+"/metrics"); !strings.Contains(text, "READWRITE") {
		t.Error(text)
	}
	if err := p.Fence(bulkhead.StateUnavailable, "by hand"); err != nil {
		t.Fatal(err)
	}
	text := bulkheadCommand(t, 1, "status", "--url", server.URL+"/metrics")
	if !strings.Contains(text, "7: Unavailable: fenced in fence") {
		t.Error(text)
	}
	bulkheadCommand(t, 5, "status", "--url", server.URL+"/elsewhere")
}
