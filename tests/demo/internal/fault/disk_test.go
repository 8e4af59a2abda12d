package fault

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What was synced must survive the disk's death and return, and nothing else may
// be promised; a descriptor of before must stay dead.
func TestDiskDiesAndComesBack(t *testing.T) {
	dir := t.TempDir()
	if err := CanMount(dir); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("in CI a skip is a failure: ", err)
		}
		t.Skip(err) // the demo injects its error then
	}
	disk, err := NewDisk(filepath.Join(dir, "image"), filepath.Join(dir, "mount"))
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	f, err := os.Create(filepath.Join(dir, "mount", "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("synced"); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := disk.Shutdown(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("x"); !errors.Is(err, syscall.EIO) {
		t.Fatalf("write to a dead disk: %v, want EIO", err)
	}
	if err := disk.Replace(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "mount", "file")); err != nil || string(b) != "synced" {
		t.Fatalf("after the return: %q, %v", b, err)
	}
	if _, err := f.WriteString("x"); !errors.Is(err, syscall.EIO) {
		t.Fatalf("a descriptor of before: %v, want EIO", err)
	}
}
