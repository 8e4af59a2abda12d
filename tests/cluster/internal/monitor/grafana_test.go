package monitor

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// What Grafana is given is whole and fits together. Grafana itself is not there to try it.
func TestProvisioning(t *testing.T) {
	dir := t.TempDir()
	if err := provision(dir, "../../../../monitoring/dashboard.json", "http://127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	read := func(name string, v any) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = json.Unmarshal(text, v)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var sources struct {
		Datasources []struct{ Type, URL string }
	}
	read("provisioning/datasources/bulkhead.yml", &sources)
	if len(sources.Datasources) != 1 || sources.Datasources[0].Type != "prometheus" || sources.Datasources[0].URL != "http://127.0.0.1:1" {
		t.Errorf("%+v", sources)
	}
	var provider struct {
		Providers []struct{ Options struct{ Path string } }
	}
	read("provisioning/dashboards/bulkhead.yml", &provider)
	boards, err := filepath.Glob(filepath.Join(provider.Providers[0].Options.Path, "*.json"))
	if err != nil || len(boards) != 1 {
		t.Fatalf("%v, %v", boards, err)
	}
	// A dashboard that asks for its data source when it is imported cannot be provisioned.
	var board struct {
		UID    string            `json:"uid"`
		Inputs []json.RawMessage `json:"__inputs"`
		Panels []json.RawMessage
	}
	read("dashboards/bulkhead.json", &board)
	if board.UID != "bulkhead" || len(board.Inputs) != 0 || len(board.Panels) == 0 {
		t.Errorf("uid %q, %d inputs, %d panels", board.UID, len(board.Inputs), len(board.Panels))
	}
}
