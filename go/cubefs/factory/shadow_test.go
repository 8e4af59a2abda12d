package factory

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/shadow"
)

// TestUnfinishedShadowIsNotPromoted: it may find a difference yet.
func TestUnfinishedShadowIsNotPromoted(t *testing.T) {
	warned := reset(t)
	parent := t.TempDir()
	dir := filepath.Join(parent, "wal_32")
	s := openGroup(t, dir, 32)
	grow(t, s, 1, many)
	s.Close()
	engine, err := cubefs.SharedEngine()
	if err != nil {
		t.Fatal(err)
	}
	other := openGroup(t, filepath.Join(parent, "other"), 33)
	behind := shadow.New(other, shadow.Config{Root: filepath.Join(parent, shadowDirectory), ID: 32, Log: cubefs.Config{Engine: engine}})
	set(t, Policy{Enabled: true, Share: Share{Percent: 100}, Import: true})
	s = openGroup(t, dir, 32)
	if engineOf(s) != "cubefs" || !strings.Contains(warned.all(), "has not compared all yet") {
		t.Errorf("kept by %s; warned: %s", engineOf(s), warned.all())
	}
	s.Close()
	go func() { time.Sleep(100 * time.Millisecond); behind.Close() }()
	s = openGroup(t, dir, 32)
	defer s.Close()
	if engineOf(s) != "bulkhead" {
		t.Errorf("once it was through it is kept by %s: %s", engineOf(s), warned.all())
	}
	holdsAll(t, s, 1, many)
}

// TestUncleanShadowIsNotPromoted: what a shadow dropped, nobody has compared.
func TestUncleanShadowIsNotPromoted(t *testing.T) {
	warned := reset(t)
	parent := t.TempDir()
	dir := filepath.Join(parent, "wal_31")
	set(t, Policy{Enabled: true, Shadow: Share{Percent: 100}})
	s := openGroup(t, dir, 31)
	grow(t, s, 1, 10)
	s.Close()
	shadowsGone(t) // it makes its root when it comes to it
	root := filepath.Join(parent, shadowDirectory)
	mark := filepath.Join(root, "31.not_clean")
	if err := os.WriteFile(mark, []byte("a change was dropped\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	set(t, Policy{Enabled: true, Share: Share{Percent: 100}, Import: true})
	s = openGroup(t, dir, 31)
	if engineOf(s) != "cubefs" || !strings.Contains(warned.all(), "a change was dropped") {
		t.Errorf("kept by %s; warned: %s", engineOf(s), warned.all())
	}
	s.Close()
	if err := os.Remove(mark); err != nil {
		t.Fatal(err)
	}
	s = openGroup(t, dir, 31)
	if engineOf(s) != "bulkhead" {
		t.Errorf("a clean one is kept by %s", engineOf(s))
	}
	s.Close()
}
