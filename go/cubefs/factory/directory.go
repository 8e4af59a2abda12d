package factory

import (
	"os"
	"regexp"
)

// holding says whose log a directory holds.
type holding int

const (
	noLog holding = iota // missing, or nothing in it that is a log
	bulkheadLog
	cubefsLog
)

// cubefsFile matches what CubeFS's WAL takes for a log file: it reads the name
// with a format that also accepts what goes on after it.
var cubefsFile = regexp.MustCompile(`^[0-9a-fA-F]{16}-[0-9a-fA-F]{16}\.log`)

// inspect looks at names only. Bulkhead keeps a directory named META in its own,
// so that CubeFS's WAL, which opens a file of that name, refuses it.
func inspect(dir string) (holding, error) {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return noLog, nil
	}
	if err != nil {
		return noLog, err
	}
	found := noLog
	for _, e := range entries {
		switch {
		case e.Name() == "root", e.Name() == "root.new", e.Name() == "META" && e.IsDir():
			return bulkheadLog, nil
		case e.Name() == "META", cubefsFile.MatchString(e.Name()):
			found = cubefsLog
		}
	}
	return found, nil
}
