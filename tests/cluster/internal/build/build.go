// Package build makes the programs of the cluster: the server with CubeFS's own code and Bulkhead, CubeFS's command line and FUSE
// client, and the disk with bad blocks. A second build takes a second or two.
package build

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Paths of a build.
type Paths struct {
	Root    string // of the repository
	Library string // directory of libbulkhead.a
	Base    string // target/cluster
}

// Programs is where the programs are put.
func (p Paths) Programs() string { return filepath.Join(p.Base, "bin") }

func (p Paths) source() string { return filepath.Join(p.Base, "cubefs") }
func (p Paths) server() string { return filepath.Join(p.Root, "tests/cluster/server") }

const cubefs = "github.com/cubefs/cubefs"

// rocksdbLibraries are RocksDB and what it needs, as static libraries beside libbulkhead.a: a symbol of one that another one has,
// too, fails the link.
const rocksdbLibraries = "-Wl,--as-needed -l:librocksdb.a -l:libz.a -l:libbz2.a -l:libsnappy.a -l:liblz4.a -l:libzstd.a -lstdc++"

// All builds everything.
func All(p Paths, progress func(string)) error {
	if err := os.MkdirAll(p.Programs(), 0o755); err != nil {
		return err
	}
	progress("CubeFS's source, with the one changed line")
	if err := p.copySource(); err != nil {
		return err
	}
	progress("the server: CubeFS's master, metanode and datanode, with Bulkhead (the first time takes a minute or two)")
	if err := p.buildServer("server"); err != nil {
		return err
	}
	progress("CubeFS's command line and FUSE client")
	if err := p.goBuild(p.server(), p.Programs()+"/", cubefs+"/cli", cubefs+"/client"); err != nil {
		return err
	}
	progress("the disk with bad blocks")
	return p.goBuild(filepath.Join(p.Root, "tests/faults"), p.Programs()+"/", "./cmd/badblocks")
}

// SyncedServer builds the server whose logs are CubeFS's own, synced. All must have been built.
func SyncedServer(p Paths, progress func(string)) error {
	progress("the server with CubeFS's own log, synced")
	return p.buildServer("server-sync", "-tags", "native")
}

func (p Paths) buildServer(name string, flags ...string) error {
	output := filepath.Join(p.Programs(), name)
	library, err := os.Stat(filepath.Join(p.Library, "libbulkhead.a"))
	if err != nil {
		return fmt.Errorf("%w: make lib builds it", err)
	}
	// Go does not notice a C library that changed under it: without the old binary it must link.
	if built, err := os.Stat(output); err == nil && built.ModTime().Before(library.ModTime()) {
		if err := os.Remove(output); err != nil {
			return err
		}
	}
	return p.goBuild(p.server(), output, append(flags, ".")...)
}

func (p Paths) goBuild(dir, output string, what ...string) error {
	return p.run(dir, "go", append([]string{"build", "-o", output}, what...)...)
}

// run runs a build command; its output is shown only if it fails.
func (p Paths) run(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1",
		"CGO_CFLAGS="+strings.TrimSpace(os.Getenv("CGO_CFLAGS")+" -O1 -I"+filepath.Join(p.server(), "compat")),
		"CGO_LDFLAGS="+strings.TrimSpace(os.Getenv("CGO_LDFLAGS")+" -L"+p.Library+" "+rocksdbLibraries))
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, output)
	}
	return nil
}
