package fault

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

const childVariable = "BULKHEAD_DEMO_FILTER_CHILD"

// A filter stays on a process for good, so it is tried in one of its own.
func TestOnlyFilesBelowTheDirectoryFail(t *testing.T) {
	if seccompNumber == 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("in CI a skip is a failure: ", errNoFilter)
		}
		t.Skip(errNoFilter)
	}
	if dir := os.Getenv(childVariable); dir != "" {
		if err := tryFilter(dir); err != nil {
			t.Fatal(err)
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestOnlyFilesBelowTheDirectoryFail$")
	cmd.Env = append(os.Environ(), childVariable+"="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func tryFilter(dir string) error {
	reserve, err := NewReserve()
	if err != nil {
		return err
	}
	create := func(name string) (*os.File, error) { return os.Create(filepath.Join(dir, name)) }
	if err := os.Mkdir(filepath.Join(dir, "hit"), 0o700); err != nil {
		return err
	}
	other, err := create("hitnot") // begins like the directory, lies beside it
	if err != nil {
		return err
	}
	hit, err := create("hit/file")
	if err != nil {
		return err
	}
	if _, err := hit.WriteString("works"); err != nil {
		return err
	}
	if err := reserve.FailFilesBelow(filepath.Join(dir, "hit")); err != nil {
		return err
	}
	for name, call := range map[string]func() error{
		"write":  func() error { _, err := hit.WriteString("x"); return err },
		"pwrite": func() error { _, err := hit.WriteAt([]byte("x"), 0); return err },
		"fsync":  hit.Sync,
	} {
		if err := call(); !errors.Is(err, syscall.EIO) {
			return fmt.Errorf("%s: %v, want EIO", name, err)
		}
	}
	if _, err := hit.ReadAt(make([]byte, 5), 0); err != nil {
		return err
	}
	failing := hit.Fd()
	if err := hit.Close(); err != nil {
		return err
	}
	// Nothing else fails, on any thread, and no new file gets the number.
	done := make(chan error, reserved/2)
	for i := 0; i < cap(done); i++ {
		go func(i int) {
			f, err := create(fmt.Sprint("hit/after", i))
			if err == nil {
				_, err = f.WriteString("x")
			}
			if err == nil {
				_, err = other.WriteAt([]byte("x"), int64(i))
			}
			if err == nil && f.Fd() == failing {
				err = errors.New("a failing number was given out again")
			}
			done <- err
		}(i)
	}
	for i := 0; i < cap(done); i++ {
		if err := <-done; err != nil {
			return err
		}
	}
	return nil
}
