package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// rustVariable names the Rust subject; make compare-faults, which builds it, has it tested as well.
const rustVariable = "SUBJECT_RUST"

// The test binary is the subject as well.
func TestMain(m *testing.M) {
	if os.Getenv("SUBJECT_RUN") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// process is a running subject.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func start(t *testing.T, system, mode string) *process {
	t.Helper()
	binary := os.Args[0]
	if system == "raft-engine" {
		binary = os.Getenv(rustVariable)
	}
	cmd := exec.Command(binary, "-system", system, "-mode", mode)
	cmd.Env = append(os.Environ(), "SUBJECT_RUN=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t, cmd, in, bufio.NewScanner(out)}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return p
}

// ask sends a command and returns its reply.
func (p *process) ask(format string, args ...any) map[string]any {
	p.t.Helper()
	command := fmt.Sprintf(format, args...)
	fmt.Fprintln(p.in, command)
	if !p.out.Scan() {
		p.t.Fatalf("%s: the subject gave no answer: %v", command, p.out.Err())
	}
	var r map[string]any
	if err := json.Unmarshal(p.out.Bytes(), &r); err != nil {
		p.t.Fatalf("%s: %s: %v", command, p.out.Bytes(), err)
	}
	return r
}

// must asks and wants success.
func (p *process) must(format string, args ...any) map[string]any {
	p.t.Helper()
	r := p.ask(format, args...)
	if r["ok"] != true {
		p.t.Fatalf(format+": %v", append(args, r)...)
	}
	return r
}

// wantRange reads lo..hi and wants exactly the entries first..last of it, with that term.
func (p *process) wantRange(lo, hi, first, last, term int) {
	p.t.Helper()
	r := p.must("read 7 %d %d", lo, hi)
	want := fmt.Sprintf("[[%d %d %d]]", first, last, term)
	if got := fmt.Sprint(r["terms"]); got != want || fmt.Sprint(r["bad"], r["unreadable"]) != "[] []" {
		p.t.Errorf("read %d %d: %v, want terms %s", lo, hi, r, want)
	}
}

func forAll(t *testing.T, test func(t *testing.T, system, mode string)) {
	kinds := systems
	if os.Getenv(rustVariable) != "" {
		kinds = append([]systemKind{{name: "raft-engine", modes: []string{"none", "sync"}}}, systems...)
	}
	for _, kind := range kinds {
		for _, mode := range kind.modes {
			t.Run(kind.name+"/"+mode, func(t *testing.T) { test(t, kind.name, mode) })
		}
	}
}

func TestLifeOfALog(t *testing.T) {
	forAll(t, func(t *testing.T, system, mode string) {
		dir := filepath.Join(t.TempDir(), "p7")
		p := start(t, system, mode)
		p.must("open 7 %s", dir)
		p.must("append 7 1 20 1000 1")
		p.must("append 7 21 1 100000 1")
		p.wantRange(1, 21, 1, 21, 1)
		p.must("append 7 15 10 500 2") // replaces a suffix
		if r := p.must("read 7 1 30"); fmt.Sprint(r["terms"]) != "[[1 14 1] [15 24 2]]" {
			t.Errorf("after a suffix was replaced: %v", r)
		}
		p.must("vote 7 3 9 24")
		p.must("compact 7 14")
		p.wantRange(1, 24, 15, 24, 2)
		p.must("close 7")
		p.must("open 7 %s", dir)
		p.wantRange(1, 24, 15, 24, 2)
		if r := p.must("hardstate 7"); fmt.Sprint(r["term"], r["vote"], r["commit"]) != "3 9 24" {
			t.Errorf("hard state after a reopen: %v", r)
		}
		p.must("append 7 25 3 500 3")
		if r := p.must("state 7"); fmt.Sprint(r["last"]) != "27" {
			t.Errorf("state: %v", r)
		}
		if r := p.ask("sync 7"); r["ok"] != true && r["unsupported"] != true {
			t.Errorf("sync: %v", r)
		}
		p.must("close 7")
		p.must("quit")
	})
}

func TestKilledProcess(t *testing.T) {
	forAll(t, func(t *testing.T, system, mode string) {
		if mode == "interval" {
			mode = "sync" // it acknowledges from memory: a crash of the process may cost the window
		}
		dir := filepath.Join(t.TempDir(), "p7")
		p := start(t, system, mode)
		p.must("open 7 %s", dir)
		p.must("vote 7 5 2 0")
		p.must("append 7 1 10 3000 5")
		p.must("load 7 4096 60 0")
		time.Sleep(300 * time.Millisecond)
		p.cmd.Process.Kill()
		p.cmd.Wait()

		p = start(t, system, mode)
		last := int(p.must("open 7 %s", dir)["last"].(float64))
		if last < 11 {
			t.Errorf("the load left no entry: the last is %d", last)
		}
		p.wantRange(1, last, 1, last, 5)
		if r := p.must("hardstate 7"); fmt.Sprint(r["term"], r["vote"]) != "5 2" {
			t.Errorf("hard state after a kill: %v", r)
		}
		p.must("append 7 %d 1 100 5", last+1)
	})
}

func TestLoadReports(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "p7") // before start: it is removed after the process has ended
	p := start(t, "bulkhead", "sync")
	p.must("open 7 %s", dir)
	p.must("load 7 100 60 0")
	time.Sleep(50 * time.Millisecond)
	r := p.must("loadstop 7")
	if r["appends"].(float64) < 1 || r["appends"] != r["last"] || r["p50_us"].(float64) <= 0 || r["errors"].(float64) != 0 {
		t.Errorf("loadstop: %v", r)
	}
}

// The Rust subject has the same figures in its test.
func TestPayload(t *testing.T) {
	if got := fmt.Sprintf("%x", payload(1, 2, 3, 12)); got != payloadOf123 {
		t.Errorf("payload(1, 2, 3, 12) = %s, want %s", got, payloadOf123)
	}
	if fmt.Sprintf("%x", payload(1, 2, 3, 13))[:24] == payloadOf123 {
		t.Error("a shortened payload looks like a whole one")
	}
}

const payloadOf123 = "ac1798cfb7694aeddb573844"
