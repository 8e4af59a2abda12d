package cluster

import (
	"os"
	"strings"
)

// ReplaceFile writes a file that is read by others, or after this process was killed: it has the old text or the new one.
func ReplaceFile(path string, text []byte) error {
	next := path + ".next"
	if err := os.WriteFile(next, text, 0o644); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// lastWords is how many lines of a log say why its process has ended.
const lastWords = 10

func lastLines(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	if len(lines) > lastWords {
		lines = lines[len(lines)-lastWords:]
	}
	return strings.Join(lines, "\n")
}
