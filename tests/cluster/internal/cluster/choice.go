package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Engines of the logs.
const (
	EngineCubeFS   = "cubefs"
	EngineBulkhead = "bulkhead"
	EngineMixed    = "mixed"
	// EngineCubeFSSync is CubeFS's own log, synced: of the benchmark, in a server of its own.
	EngineCubeFSSync = "cubefs-sync"
)

// share is the part of the partitions, in percent, whose log is kept by Bulkhead.
var share = map[string]float64{EngineCubeFS: 0, EngineBulkhead: 100, EngineMixed: 50}

// Choice is which engine keeps the logs of datanodes, metanodes and the master, and how durable Bulkhead's are.
type Choice struct {
	Engine  string `json:"engine"`  // cubefs, bulkhead or mixed
	Mode    string `json:"mode"`    // sync, interval or none
	Convert bool   `json:"convert"` // logs that are the other engine's are converted when they are opened
}

// Check names what is not possible.
func (c Choice) Check() error {
	if _, known := share[c.Engine]; !known {
		return fmt.Errorf("ENGINE=%s: it must be cubefs, bulkhead or mixed", c.Engine)
	}
	switch c.Mode {
	case "sync", "interval", "none":
		return nil
	}
	return fmt.Errorf("MODE=%s: it must be sync, interval or none", c.Mode)
}

// policyVariable is where package factory of go/cubefs looks for its policy.
const policyVariable = "BULKHEAD_CUBEFS_POLICY"

func (c Choice) policy() ([]byte, error) {
	return json.Marshal(map[string]any{
		"enabled": share[c.Engine] > 0, "percent": share[c.Engine], "mode": c.Mode, "import": c.Convert, "export": c.Convert,
		"discard_original": c.Convert,
	})
}

// environment gives a server process its policy.
func (c Choice) environment() (string, error) {
	policy, err := c.policy()
	return policyVariable + "=" + string(policy), err
}

// SetPolicy gives a server that runs another policy, until it ends.
func (c Choice) SetPolicy(n Node) error {
	policy, err := c.policy()
	if err != nil {
		return err
	}
	address := n.ProfURL() + "/bulkhead/policy"
	response, err := (&http.Client{Timeout: callLimit}).Post(address, "application/json", bytes.NewReader(policy))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK { // without the text the status says enough
		return fmt.Errorf("%s: %s: %s", address, response.Status, text)
	}
	return nil
}
