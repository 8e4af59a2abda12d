package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func layoutIn(t *testing.T) Layout {
	dir := t.TempDir()
	return Layout{Run: filepath.Join(dir, "run"), Logs: filepath.Join(dir, "logs")}
}

// A cluster whose file of processes cannot be read may run: its directories are not removed, and it is not said that there is none.
func TestClusterThatCannotBeToldStays(t *testing.T) {
	l := layoutIn(t)
	if _, err := New(l, Choice{Engine: EngineCubeFS, Mode: "sync"}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.state(), []byte(`{"processes": [{"na`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := New(l, Choice{Engine: EngineCubeFS, Mode: "sync"}); err == nil || !strings.Contains(err.Error(), l.Run) {
		t.Errorf("New: %v", err)
	}
	if _, err := os.Stat(l.state()); err != nil {
		t.Error(err)
	}
}

// Without the file of processes a mount still tells of a cluster.
func TestMountIsNotRemoved(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it mounts")
	}
	l := layoutIn(t)
	kept := filepath.Join(l.Mount(), "kept")
	if err := os.MkdirAll(l.Mount(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", l.Mount(), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer syscall.Unmount(l.Mount(), 0)
	if err := os.WriteFile(kept, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := New(l, Choice{Engine: EngineCubeFS, Mode: "sync"}); err == nil || !strings.Contains(err.Error(), l.Mount()) {
		t.Errorf("New: %v", err)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
}

// Another cluster may answer for servers that have ended.
func TestAnswerOfOthersIsNotBelieved(t *testing.T) {
	l := layoutIn(t)
	c, err := New(l, Choice{Engine: EngineCubeFS, Mode: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	for name, script := range map[string]string{"datanode2": "echo cannot bind; exit 1", "datanode3": "sleep 60"} {
		if err := c.Attach(name, nil, "/bin/sh", "-c", script); err != nil {
			t.Fatal(err)
		}
	}
	defer c.Stop()
	c.Process("datanode2").gone(10 * time.Second)
	err = c.await("it answers", func() bool { return true })
	if err == nil || !strings.Contains(err.Error(), "datanode2 has ended") || !strings.Contains(err.Error(), "cannot bind") ||
		strings.Contains(err.Error(), "datanode3") {
		t.Errorf("await: %v", err)
	}
}
