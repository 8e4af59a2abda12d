package compare

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	records := []Record{
		{Scenario: "f28-hung-disk", Row: "F28", System: "bulkhead", Version: "1", Mode: "sync", Filesystem: "ext4", Outcome: "held"},
		{Scenario: "f11-kill-9", Row: "F11", System: "bulkhead", Version: "1", Mode: "sync", Filesystem: "ext4", Outcome: "held"},
		{Scenario: "f11-kill-9", Row: "F11", System: "etcd", Version: "2", Mode: "sync", Filesystem: "ext4", Outcome: "held"},
		{Scenario: "f11-kill-9", Row: "F11", System: "etcd", Version: "2", Mode: "sync", Filesystem: "xfs", Outcome: "failed", Why: "the why"},
		{Scenario: "f28-hung-disk", Row: "F28", System: "etcd", Version: "2", Mode: "sync", Filesystem: "ext4", Outcome: "hung"},
		{Scenario: "f11-kill-9", Row: "F11", System: "bulkhead", Version: "1", Mode: "interval", Filesystem: "ext4", Outcome: "held"},
	}
	var out strings.Builder
	Table(&out, records)
	for _, want := range []string{
		"| f28-hung-disk | F28 | held | hung (1) |\n| f11-kill-9 | F11 | held | not held (2) |", // the worst of the filesystems
		"1. cubefs, etcd, raft-wal, raft-engine: there is no limit", "2. etcd, f11-kill-9, mode sync, xfs: the why",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in the table:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "Mode interval") {
		t.Error("a mode of one system only is no comparison")
	}
}

func TestNothingPrivateInRecords(t *testing.T) {
	line := "sync /some/where/mount3/p1/wal/1.log: at /home/x/.cargo/registry/src/index-123/raft-engine-0.4.2/src/a.rs"
	if got, want := private.ReplaceAllString(line, ""), "sync p1/wal/1.log: at raft-engine-0.4.2/src/a.rs"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
