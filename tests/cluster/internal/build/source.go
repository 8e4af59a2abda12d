package build

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	version = "v1.34.0" // release v3.4.0
	// stampName is a file in the copy that says what it was made of.
	stampName = ".made-of"
)

// Of the module's directories the programs need neither documentation nor sources of C libraries.
var left = map[string]bool{"docs": true, "docs-zh": true, "docker": true, "vendor": true, "blobstore/testing": true}

// copySource copies CubeFS out of the module cache, which cannot be changed, and has the patch change its one line.
func (p Paths) copySource() error {
	patch := filepath.Join(p.Root, "go/cubefs/patch_raftstore.sh")
	text, err := os.ReadFile(patch)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	stamp := version + " " + hex.EncodeToString(sum[:]) + "\n"
	if old, err := os.ReadFile(filepath.Join(p.source(), stampName)); err == nil && string(old) == stamp {
		return nil
	}
	if err := os.RemoveAll(p.source()); err != nil {
		return err
	}
	dir, err := download()
	if err != nil {
		return err
	}
	if err := copyTree(dir, p.source()); err != nil {
		return err
	}
	if err := p.run(p.Root, "sh", patch, p.source()); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.source(), stampName), []byte(stamp), 0o644)
}

// download puts the module into the module cache and finds it there.
func download() (string, error) {
	cmd := exec.Command("go", "mod", "download", "-json", cubefs+"@"+version)
	cmd.Dir = os.TempDir() // in no module: its replacements do not count
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	var module struct{ Dir, Error string }
	if e := json.Unmarshal(output, &module); err == nil {
		err = e
	}
	if module.Error != "" {
		err = errors.New(module.Error)
	}
	if err != nil {
		return "", fmt.Errorf("cannot download %s@%s: %w %s", cubefs, version, err, stderr.Bytes())
	}
	return module.Dir, nil
}

func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir() && left[name]:
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		case !entry.Type().IsRegular() || strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), text, 0o644)
	})
}
