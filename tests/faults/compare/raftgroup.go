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
)

// RaftGroup is the name of the one scenario that is above the log: a raft group of CubeFS's whose log fails.
const RaftGroup = "raft-group"

const raftGroupLimit = 2 * time.Minute

// RunRaftGroup runs it with one of the two logs that can be under CubeFS's raft.
func RunRaftGroup(s Subject, programs, work, date string) Record {
	r := Record{Row: "F7", Scenario: RaftGroup, System: s.Name, Version: s.Version, Mode: "none", Filesystem: "tmpfs", Outcome: "broken", Date: date}
	dir := filepath.Join(work, RaftGroup+"-"+s.Name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		r.Why = err.Error()
		return r
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), raftGroupLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(programs, "raftgroup"), "-system", s.Name, "-dir", dir).Output()
	if err != nil {
		r.Why = err.Error()
		return r
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n")) // CubeFS logs to the same place
	if err := json.Unmarshal(lines[len(lines)-1], &r); err != nil {
		r.Why = fmt.Sprintf("%s: %v", lines[len(lines)-1], err)
	}
	return r
}
