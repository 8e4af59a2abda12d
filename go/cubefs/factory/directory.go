package factory

import (
	"os"
	"regexp"
)

// Whose log a directory holds.
const (
	noDirectory       = "none" // missing, or nothing in it that is a log
	bulkheadDirectory = "bulkhead"
	cubefsDirectory   = "cubefs"
)

// cubefsLog matches what CubeFS's WAL takes for a log file: it reads the name
// with a format that also accepts what goes on after it.
var cubefsLog = regexp.MustCompile(`^[0-9a-fA-F]{16}-[0-9a-fA-F]{16}\.log`)

// inspect looks at names only. Bulkhead keeps a directory named META in its own,
// so that CubeFS's WAL, which opens a file of that name, refuses it.
func inspect(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return noDirectory, nil
	}
	if err != nil {
		return "", err
	}
	found := noDirectory
	for _, e := range entries {
		switch {
		case e.Name() == "root", e.Name() == "root.new", e.Name() == "META" && e.IsDir():
			return bulkheadDirectory, nil
		case e.Name() == "META", cubefsLog.MatchString(e.Name()):
			found = cubefsDirectory
		}
	}
	return found, nil
}
