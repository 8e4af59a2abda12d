package compare

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/scenario"
)

// RaftGroup is the name of the one scenario that is above the log: a raft group of CubeFS's whose log fails.
const RaftGroup = "raft-group"

const raftGroupLimit = 2 * time.Minute

// UnderRaft tells whether a system can be the log of CubeFS's raft.
func UnderRaft(system string) bool { return system == "cubefs" || system == "bulkhead" }

// RunRaftGroup runs it with one of the logs that can be under CubeFS's raft.
func RunRaftGroup(s Subject, options scenario.Options) scenario.Result {
	r := scenario.Result{Rows: []string{"F7"}, Scenario: RaftGroup, Method: "strace inject", System: s.Name, Mode: "none",
		Filesystem: "tmpfs", Outcome: scenario.Broken, Seed: options.Seed}
	dir := filepath.Join(options.Work, RaftGroup+"-"+s.Name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		r.Line = err.Error()
		return r
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), raftGroupLimit)
	defer cancel()
	begin := time.Now()
	out, err := exec.CommandContext(ctx, filepath.Join(options.Programs, "raftgroup"), "-system", s.Name, "-dir", dir).Output()
	r.Seconds = time.Since(begin).Seconds()
	if err != nil {
		r.Line = err.Error()
		return r
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n")) // CubeFS logs to the same place
	var said struct {
		Outcome scenario.Outcome
		Why     string
	}
	if err := json.Unmarshal(lines[len(lines)-1], &said); err != nil {
		r.Line = fmt.Sprintf("%s: %v", lines[len(lines)-1], err)
		return r
	}
	r.Outcome, r.Line = said.Outcome, said.Why
	fmt.Println(r.Outcome, r.Scenario, r.System, r.Line)
	return r
}
