package load

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

type refusing struct{}

func (refusing) WriteAt([]byte, int64) (int, error) { return 0, errors.New("refused") }

// A comparison that finds nothing proves nothing: it must find a flipped byte, an older write and a lost one.
func TestWrongFindsWhatIsNotAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := Create(path, 7, 4); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path, 7)
	if err != nil {
		t.Fatal(err)
	}
	disk, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	expect := func(what string, want bool) {
		t.Helper()
		wrong, err := f.Wrong(disk)
		if err != nil || (wrong > 0) != want {
			t.Errorf("%s: %d wrong bytes, %v", what, wrong, err)
		}
	}
	expect("fresh", false)
	f.overwrite(disk, 2, 5)
	expect("overwritten", false)
	f.overwrite(refusing{}, 3, 6)
	expect("refused and not there", false)
	var block [BlockBytes]byte
	fill(block[:], 7, 3, 6)
	put(t, disk, block[:], 3)
	expect("refused and there all the same", false)
	fill(block[:], 7, 2, 1)
	put(t, disk, block[:], 2)
	expect("an acknowledged write is gone", true)
	fill(block[:], 7, 2, 5)
	block[100] ^= 1
	put(t, disk, block[:], 2)
	expect("a flipped bit", true)
}

func put(t *testing.T, w io.WriterAt, block []byte, number int64) {
	t.Helper()
	if _, err := w.WriteAt(block, number*BlockBytes); err != nil {
		t.Fatal(err)
	}
}
