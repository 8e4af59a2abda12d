package shadow

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// blemishes of this process: a disk that hangs does not take the mark.
var blemishes struct {
	mu sync.Mutex
	of map[string]string // by the mark's path
}

func markPath(root string, id uint64) string {
	return filepath.Join(root, strconv.FormatUint(id, 10)+".not_clean")
}

// blemish notes why a shadow is not clean; the first reason stays.
func blemish(root string, id uint64, why string) {
	path := markPath(root, id)
	blemishes.mu.Lock()
	if blemishes.of == nil {
		blemishes.of = make(map[string]string)
	}
	_, known := blemishes.of[path]
	if !known {
		blemishes.of[path] = why
	}
	blemishes.mu.Unlock()
	if known {
		return
	}
	// Nobody waits for it: it counts in memory already.
	go func() {
		// It may come before the shadow's own opening, which makes the root.
		_ = os.MkdirAll(root, 0o700)
		if f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			_, _ = f.WriteString(why + "\n")
			_ = f.Sync()
			_ = f.Close()
		}
	}()
}

// noted is what Blemish says of what this process has found.
func noted(root string, id uint64) string {
	blemishes.mu.Lock()
	defer blemishes.mu.Unlock()
	return blemishes.of[markPath(root, id)]
}

// Blemish returns why the shadow of a log was found not to be clean, now or in an
// earlier process; "" if it was not.
func Blemish(root string, id uint64) string {
	if why := noted(root, id); why != "" {
		return why
	}
	text, err := os.ReadFile(markPath(root, id))
	switch {
	case os.IsNotExist(err):
		return ""
	case err != nil:
		return err.Error() // whoever cannot be asked is not clean
	case len(text) == 0:
		return "marked as not clean"
	}
	return string(text)
}

// Clear forgets why the shadow of a log was not clean. What one that runs finds from
// now on counts.
func Clear(root string, id uint64) error {
	path := markPath(root, id)
	// First the file: one that is found from then on makes it anew.
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	blemishes.mu.Lock()
	delete(blemishes.of, path)
	blemishes.mu.Unlock()
	return nil
}
