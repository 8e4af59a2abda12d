package monitor

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/cluster"
)

// grafanaHome is where Grafana's packages put its own files.
const grafanaHome = "/usr/share/grafana"

// Grafana starts one with the dashboard and the Prometheus at source loaded, and returns its address; an empty one if none is
// installed. dashboard is a JSON file.
func Grafana(c *cluster.Cluster, dashboard, source string) (address string, err error) {
	var args []string
	program, err := exec.LookPath("grafana")
	if err == nil {
		args = []string{"server"}
	} else if program, err = exec.LookPath("grafana-server"); err != nil {
		return "", nil
	}
	dir := filepath.Join(c.Layout.Run, "grafana")
	if err := provision(dir, dashboard, source); err != nil {
		return "", err
	}
	env := []string{
		"GF_PATHS_DATA=" + filepath.Join(dir, "data"), "GF_PATHS_LOGS=" + filepath.Join(dir, "logs"), "GF_PATHS_PLUGINS=" + filepath.Join(dir, "plugins"),
		"GF_PATHS_PROVISIONING=" + filepath.Join(dir, "provisioning"),
		"GF_SERVER_HTTP_ADDR=" + strings.Split(grafanaAddr, ":")[0], "GF_SERVER_HTTP_PORT=" + strings.Split(grafanaAddr, ":")[1],
		"GF_AUTH_ANONYMOUS_ENABLED=true", "GF_ANALYTICS_REPORTING_ENABLED=false", "GF_ANALYTICS_CHECK_FOR_UPDATES=false",
	}
	address, err = start(c, "grafana", env, grafanaAddr, "/api/health", program, append(args, "--homepath", grafanaHome)...)
	if err != nil {
		return "", err
	}
	return address + "/d/bulkhead", nil
}

// provision writes what Grafana reads when it starts. Its files are YAML, of which JSON is a part.
func provision(dir, dashboard, source string) error {
	text, err := os.ReadFile(dashboard)
	if err != nil {
		return err
	}
	boards := filepath.Join(dir, "dashboards")
	files := map[string]any{
		"provisioning/datasources/bulkhead.yml": map[string]any{
			"apiVersion": 1,
			"datasources": []any{map[string]any{
				"name": "Prometheus", "uid": "prometheus", "type": "prometheus", "access": "proxy", "url": source, "isDefault": true,
				"jsonData": map[string]any{"timeInterval": scrapeEvery.String()},
			}},
		},
		"provisioning/dashboards/bulkhead.yml": map[string]any{
			"apiVersion": 1,
			"providers":  []any{map[string]any{"name": "bulkhead", "type": "file", "options": map[string]any{"path": boards}}},
		},
		"dashboards/bulkhead.json": json.RawMessage(text),
	}
	for name, content := range files {
		text, err := json.MarshalIndent(content, "", "  ")
		if err != nil {
			return err
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}
