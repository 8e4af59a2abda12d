package exporter

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func get(handler http.Handler, path string) string {
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest("GET", path, nil))
	return recorder.Body.String()
}

// What CubeFS's exporter serves is the default registry. An engine that is closed
// and another one after it must not take its page down.
func TestSharedEngineIsOnTheDefaultPage(t *testing.T) {
	if got := get(http.DefaultServeMux, "/bulkhead/admin/partitions"); !strings.Contains(got, "no partition") {
		t.Errorf("before the first engine: %s", got)
	}
	for round := 0; round < 2; round++ {
		s, err := cubefs.NewStorage(filepath.Join(t.TempDir(), "wal_7"), nil)
		if err != nil {
			t.Fatal(err)
		}
		page := get(promhttp.Handler(), "/metrics")
		if !strings.Contains(page, "bulkhead_build_info") || !strings.Contains(page, `cause="none"`) || !strings.Contains(page, "go_goroutines") {
			t.Errorf("round %d: %s", round, page)
		}
		if got := get(http.DefaultServeMux, "/bulkhead/admin/partitions"); !strings.Contains(got, `"id":7`) {
			t.Errorf("round %d: %s", round, got)
		}
		s.Close()
		if err := cubefs.CloseSharedEngine(); err != nil {
			t.Fatal(err)
		}
	}
}
