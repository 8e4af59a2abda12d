package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
)

func serve(t *testing.T) (*bulkhead.Partition, *httptest.Server) {
	t.Helper()
	engine, err := bulkhead.Open(bulkhead.EngineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var first *bulkhead.Partition
	for id := uint64(7); id < 9; id++ {
		p, err := engine.OpenPartition(bulkhead.PartitionConfig{Path: filepath.Join(t.TempDir(), "wal"), ID: id})
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = p
		}
	}
	handler := New(engine)
	mux := http.NewServeMux()
	mux.Handle("/bulkhead/", http.StripPrefix("/bulkhead", handler))
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.Close()
		handler.Close()
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return first, server
}

// call makes a request and reads the answer into out.
func call(t *testing.T, method, url, body string, want int, out interface{}) {
	t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != want {
		t.Errorf("%s %s: %d, not %d", method, url, response.StatusCode, want)
	}
	if out != nil {
		if err := json.NewDecoder(response.Body).Decode(out); err != nil {
			t.Errorf("%s %s: %v", method, url, err)
		}
	}
}

func TestFenceAndRelease(t *testing.T) {
	p, server := serve(t)
	at := server.URL + "/bulkhead/partitions/7"
	var got Partition
	call(t, "POST", at+"/fence", `{"state": "ReadOnly", "reason": "moved away"}`, 200, &got)
	if got.State != "ReadOnly" || got.Cause != "fenced" || !strings.Contains(got.Fault, "moved away") {
		t.Errorf("fenced: %+v", got)
	}
	err := p.Append([]bulkhead.Entry{{Index: 1, Term: 1}})
	if !errors.Is(err, bulkhead.ErrFenced) || !strings.Contains(err.Error(), "moved away") {
		t.Errorf("append to a fenced partition: %v", err)
	}
	var list []Partition
	if call(t, "GET", server.URL+"/bulkhead/partitions?state=faulted", "", 200, &list); len(list) != 1 || list[0].ID != 7 {
		t.Errorf("faulted: %+v", list)
	}
	if call(t, "GET", server.URL+"/bulkhead/partitions", "", 200, &list); len(list) != 2 {
		t.Errorf("all: %+v", list)
	}
	call(t, "POST", at+"/recover", "", 409, nil)
	if call(t, "POST", at+"/release", "", 200, &got); got.State != "ReadWrite" {
		t.Errorf("released: %+v", got)
	}
	if err := p.Append([]bulkhead.Entry{{Index: 1, Term: 1}}); err != nil {
		t.Error(err)
	}
	var events []Event
	for end := time.Now().Add(5 * time.Second); len(events) < 2 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		call(t, "GET", server.URL+"/bulkhead/events", "", 200, &events)
	}
	if len(events) < 2 || events[0].Operation != "fence" || events[0].To != "ReadOnly" || events[len(events)-1].To != "ReadWrite" {
		t.Errorf("events: %+v", events)
	}
}

func TestBadRequestsSayWhatToDoAndChangeNothing(t *testing.T) {
	p, server := serve(t)
	at := server.URL + "/bulkhead/partitions/"
	for _, c := range []struct {
		method, url, body string
		status            int
		says              string
	}{
		{"GET", at + "7/fence", "", 405, "use POST"},
		{"POST", at + "7", "", 405, "use GET"},
		{"POST", at + "seven/fence", "{}", 400, "a number"},
		{"POST", at + "99/fence", "{}", 404, "not open"},
		{"POST", at + "7/fence", "", 400, "the body is"},
		{"POST", at + "7/fence", `{"state": "Closed"}`, 400, "use ReadOnly or Unavailable"},
		{"POST", at + "7/fence", `{"state": "ReadOnly", "force": true}`, 400, "force"},
		{"POST", at + "7/fence", `{"reason": "` + strings.Repeat("x", 9000) + `"}`, 400, "the body is"},
		{"POST", at + "7/fence", `{"state": "ReadOnly"} {"state": "Unavailable"}`, 400, "behind the object"},
		{"POST", at + "7/fence", `{"state": "ReadOnly"}, and so on`, 400, "behind the object"},
		{"POST", at + "7/fence", `{"state": ["ReadOnly"]}`, 400, "the body is"},
		{"POST", at + "7/fence", "null", 400, "use ReadOnly or Unavailable"},
		{"POST", at + "7/fence", "\x00\xff", 400, "the body is"},
		{"POST", at + "18446744073709551616/release", "", 400, "a number"},
		{"POST", at + "-7/release", "", 400, "a number"},
		{"PUT", at + "7/release", "", 405, "use POST"},
		{"POST", at + "7/release/now", "", 404, "no such path"},
		{"GET", server.URL + "/bulkhead/partitions?state=Faulty", "", 400, "use faulted"},
		{"POST", server.URL + "/bulkhead/partitions", "{}", 405, "use GET"},
		{"POST", server.URL + "/bulkhead/events", "{}", 405, "use GET"},
		{"POST", at + "7/drop", "", 404, "fence, release, recover and limits"},
		{"DELETE", at + "7/limits", "", 405, "use GET or POST"},
		{"POST", at + "7/limits", "", 400, "the body is"},
		{"POST", at + "7/limits", "{}", 400, "at least one"},
		{"POST", at + "7/limits", `{"probe_ms": 5, "heal_limit_ms": 70000}`, 400, "heal_limit_ms is 70000; it must be between 1 and 60000, or never"},
		{"POST", at + "7/limits", `{"probe_ms": 5}{"probe_ms": 6}`, 400, "behind the object"},
		{"POST", at + "7/limits", `["probe_ms", 5]`, 400, "the body is"},
		{"POST", at + "7/limits", "null", 400, "at least one"},
		{"POST", at + "7/limits", `{"probe_ms": NaN}`, 400, "the body is"},
		{"POST", at + "7/limits", `{"probe_ms": 5, "heal_limit_ms": 1e3}`, 400, "heal_limit_ms is 1e3"},
		{"POST", at + "7/limits", `{"probe_ms": 5, "heal_limit_ms": 18446744073709551617}`, 400, "heal_limit_ms is 18446744073709551617"},
		{"POST", at + "7/limits", `{"probe_ms": 5, "heal_limit_ms": 9223372036854775807}`, 400, "it must be between 1 and 60000"},
		{"POST", at + "7/limits", `{"probe_ms": 5, "heal_limit_ms": {"ms": 7}}`, 400, "give a whole number"},
		{"POST", at + "7/limits", `{"probe_ms": 5, "heal_limit_ms": true}`, 400, "heal_limit_ms is true"},
		{"POST", at + "7/limits", `{"probe_ms": 5, "segment_max_bytes": 65536}`, 400, "segment_max_bytes would be 65536"},
		{"POST", server.URL + "/bulkhead/disks/0x811/limits", `{"probe_ms": 5}`, 404, "no partition has been opened on a disk"},
		{"POST", server.URL + "/bulkhead/limits", `{"probe_ms": 5, "flush_threads_per_disk": 0}`, 400, "between 1 and 64"},
		{"POST", at + "7/limits", `{"probe_ms": 5, "patience": 7}`, 400, "no limit has the name"},
		{"POST", at + "7/limits", `{"probe_ms": 5, "interval_ms": "never"}`, 400, `interval_ms is "never"; give a whole number or "inherit"`},
		{"POST", at + "7/limits", `{"probe_ms": 5, "heal_limit_ms": 1.5}`, 400, `give a whole number, "never" or "inherit"`},
		{"POST", at + "7/limits", `{"probe_ms": 5, "heal_limit_ms": -1}`, 400, "heal_limit_ms is -1"},
		{"POST", at + "7/limits", `{"probe_ms": 5, "heal_limit_ms": null}`, 400, "heal_limit_ms is null"},
		{"POST", at + "7/limits", `{"probe_ms": 5, "read_cache_bytes": 5}`, 400, "set it for the engine"},
		{"POST", server.URL + "/bulkhead/limits", `{"probe_ms": 5, "stall_limit_ms": 5}`, 400, "between 100 and 600000"},
		{"POST", server.URL + "/bulkhead/disks/999:999/limits", `{"probe_ms": 5}`, 404, "no partition has been opened on a disk"},
		{"POST", server.URL + "/bulkhead/disks", "", 405, "use GET"},
		{"GET", server.URL + "/bulkhead/", "", 404, "/partitions"},
	} {
		var got failure
		call(t, c.method, c.url, c.body, c.status, &got)
		if !strings.Contains(got.Error, c.says) {
			t.Errorf("%s %s: %q", c.method, c.url, got.Error)
		}
	}
	limits, err := p.Limits()
	for _, l := range limits {
		if l.SetFor != bulkhead.ScopeOpen {
			t.Errorf("%v was set for the %v", l.Limit, l.SetFor)
		}
	}
	if err != nil || len(limits) == 0 {
		t.Error(limits, err)
	}
	if status, err := p.Status(); err != nil || status.State != bulkhead.StateReadWrite {
		t.Errorf("%+v, %v", status, err)
	}
}
