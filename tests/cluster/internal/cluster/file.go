package cluster

import "os"

// ReplaceFile writes a file that is read by others, or after this process was killed: it has the old text or the new one.
func ReplaceFile(path string, text []byte) error {
	next := path + ".next"
	if err := os.WriteFile(next, text, 0o644); err != nil {
		return err
	}
	return os.Rename(next, path)
}
