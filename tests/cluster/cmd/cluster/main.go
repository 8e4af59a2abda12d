// Command cluster runs a real CubeFS cluster on this machine, and shows in it what becomes of partitions whose log meets faults.
// See README.md; make cluster, cluster-stop and cluster-demo call it.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/build"
	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/cluster"
	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/demo"
	"github.com/bulkhead-wal/bulkhead/tests/cluster/internal/isolate"
)

const usage = `usage: cluster -root <repository> [-library <directory of libbulkhead.a>] start|stop|demo|short|bench
start takes ENGINE=cubefs|bulkhead|mixed and MODE=sync|interval|none from the environment, demo takes ENGINE=cubefs,bulkhead and
SCENARIO=<names, separated by commas>.`

// The scenario of the short form.
const shortScenario = "leader-dies"

func main() {
	isolate.Init()
	root := flag.String("root", "", "the repository")
	library := flag.String("library", "", "the directory of libbulkhead.a; default: target/release in the repository")
	flag.Usage = func() { fmt.Fprintln(os.Stderr, usage); flag.PrintDefaults() }
	flag.Parse()
	if *root == "" || flag.NArg() < 1 {
		flag.Usage()
		os.Exit(2)
	}
	if *library == "" {
		*library = filepath.Join(*root, "target/release")
	}
	paths := build.Paths{Root: *root, Library: *library, Base: filepath.Join(*root, "target/cluster")}
	arguments := []string{"-root", *root, "-library", *library}
	var err error
	switch flag.Arg(0) {
	case "start":
		err = start(paths)
	case "stop":
		err = stop(paths)
	case "demo":
		err = runDemo(paths, env("ENGINE", "cubefs,bulkhead"), os.Getenv("SCENARIO"), arguments)
	case "short":
		err = runDemo(paths, cluster.EngineBulkhead, shortScenario, arguments)
	case "bench":
		err = runBench(paths, arguments)
	case demo.CommandTemplate, demo.CommandOne, commandArm:
		if !isolate.Inside() || flag.NArg() < 3 {
			flag.Usage()
			os.Exit(2)
		}
		err = inside(paths, flag.Args())
	default:
		flag.Usage()
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// env is a variable, or its default.
func env(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}

// layout of the cluster that stays when the command has ended.
func layout(p build.Paths) cluster.Layout {
	return cluster.Layout{Programs: p.Programs(), Run: filepath.Join(p.Base, "run"), Logs: filepath.Join(p.Base, "logs")}
}
