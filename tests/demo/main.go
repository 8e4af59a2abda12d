// Command demo shows what a partition's I/O error does to a node that keeps CubeFS
// raft groups: first with CubeFS's own WAL, then with Bulkhead. run.sh builds it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/demo/internal/driver"
	"github.com/bulkhead-wal/bulkhead/tests/demo/internal/fault"
	"github.com/bulkhead-wal/bulkhead/tests/demo/internal/node"
	"github.com/bulkhead-wal/bulkhead/tests/demo/internal/show"
	"github.com/bulkhead-wal/bulkhead/tests/prometheus"
)

// insideVariable marks the copy of this program that runs in a mount namespace of
// its own.
const insideVariable = "BULKHEAD_DEMO_INSIDE"

const (
	exitOK          = 0
	exitNotAsGood   = 1 // it ran, and Bulkhead's result is not what the project promises
	exitFailed      = 2 // it could not run
	exitInterrupted = 130
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "node" {
		os.Exit(node.Run(os.Args[2]))
	}
	dir := flag.String("dir", "target/demo", "directory below which the demo writes, in run/; that is gone afterwards")
	engine := flag.String("engine", "", "run one engine only: cubefs or bulkhead")
	hit := flag.String("hit", "leader", "which replica's disk fails: the partition's leader or a follower")
	rules := flag.String("rules", "monitoring", "directory of the alert rules")
	inject := flag.Bool("inject", false, "inject the error even where a file system could be mounted")
	flag.Parse()
	if flag.NArg() > 0 || (*hit != "leader" && *hit != "follower") || (*engine != "" && *engine != node.EngineCubeFS && *engine != node.EngineBulkhead) {
		flag.Usage()
		os.Exit(exitFailed)
	}
	o := driver.Options{
		Engines: []string{node.EngineCubeFS, node.EngineBulkhead}, HitLeader: *hit == "leader",
		Rules: *rules, NoMetrics: prometheus.Missing(),
		Groups: 9, FaultNode: 2, FaultGroup: 5, Rate: 120,
		Warm: 2 * time.Second, Before: 5 * time.Second, Fault: 8 * time.Second, After: 7 * time.Second,
	}
	if *engine != "" {
		o.Engines = []string{*engine}
	}
	code, err := start(o, *dir, *inject)
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
	}
	os.Exit(code)
}

func start(o driver.Options, dir string, inject bool) (int, error) {
	var err error
	if o.Self, err = os.Executable(); err != nil {
		return exitFailed, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return exitFailed, err
	}
	dir = filepath.Join(dir, "run") // what is removed is never a directory that someone named
	o.Dir = dir
	if os.Getenv(insideVariable) == "" {
		unlock, err := lock(filepath.Dir(dir))
		if err != nil {
			return exitFailed, err
		}
		defer unlock()
		if os.Geteuid() == 0 && !inject {
			if code, err := runInside(dir); err == nil {
				return code, nil
			}
			// No namespace, no mount: the probe below will say so.
		}
		defer os.RemoveAll(dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return exitFailed, err
	}
	if inject {
		o.Injected, o.Why = true, "asked for"
	} else if os.Getenv(insideVariable) == "" {
		o.Injected, o.Why = true, "no mount namespace: "+privilege()
	} else if err := fault.CanMount(dir); err != nil {
		o.Injected, o.Why = true, "cannot mount: "+err.Error()
	}
	return runAll(o)
}

// lock keeps a second demo out of the directory. The kernel lets go of it when the
// process ends.
func lock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another demo runs in %s: %w", dir, err)
	}
	return func() { _ = f.Close() }, nil
}

func privilege() string {
	if os.Geteuid() != 0 {
		return "not root"
	}
	return "not allowed here"
}

// runInside starts this program again in its own mount namespace and waits for it.
// The kernel takes the namespace's mounts down with its last process, so that even
// a killed demo leaves none behind.
func runInside(dir string) (int, error) {
	if err := os.RemoveAll(dir); err != nil {
		return exitFailed, err
	}
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Path = "/proc/self/exe"
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM}
	// The signal of a parent's death is that of the thread which started the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return exitFailed, err
	}
	go func() {
		for range signals {
			// A terminal's Ctrl-C has reached the child as well; twice does no harm.
			_ = cmd.Process.Signal(syscall.SIGTERM)
		}
	}()
	err := cmd.Wait()
	_ = os.RemoveAll(dir)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if exit.ExitCode() < 0 {
			return exitFailed, nil
		}
		return exit.ExitCode(), nil
	}
	return exitOK, nil
}

func runAll(o driver.Options) (int, error) {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	announce(o)
	live := show.NewLive(os.Stdout, o)
	var results []*driver.Result
	for _, engine := range o.Engines {
		result, err := driver.Run(ctx, o, engine, live)
		if ctx.Err() != nil {
			return exitInterrupted, errors.New("interrupted; everything was taken down")
		}
		if err != nil {
			return exitFailed, err
		}
		results = append(results, result)
	}
	show.Summary(os.Stdout, results, live.Width())
	code := exitOK
	for _, r := range results {
		fmt.Println(show.ResultLine(r))
		if r.Engine == node.EngineBulkhead && !r.Good() {
			code = exitNotAsGood
		}
	}
	return code, nil
}

func announce(o driver.Options) {
	role := "a follower"
	if o.HitLeader {
		role = "the leader"
	}
	fmt.Printf("Three node processes with CubeFS's raft server on loopback: %d partitions,\n"+
		"three replicas each, %d writes per second and partition. Then the disk under\n"+
		"partition %d on node %d, %s of that partition, fails and comes back.\n", o.Groups, o.Rate, o.FaultGroup, o.FaultNode, role)
	if o.Injected {
		fmt.Printf("The I/O error is INJECTED (%s): a system call\nfilter answers EIO for that partition's files.\n", o.Why)
	} else {
		fmt.Println("The I/O error is REAL: the partition lies on an ext4 of its own on a loop\ndevice, which is shut down under it.")
	}
	if o.NoMetrics != nil {
		fmt.Printf("Its metrics are not looked at: %v.\n", o.NoMetrics)
	} else {
		fmt.Println("A Prometheus scrapes Bulkhead's metrics; its alerts are shown as they fire and end.\nCubeFS's WAL has no metrics.")
	}
	fmt.Println("Engines: " + strings.Join(o.Engines, ", then ") + ".")
}
