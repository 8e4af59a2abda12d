package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is a process of the cluster, also one that another command started.
type Process struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"`
	Start string `json:"start"` // from /proc, so that another process with the same number is not taken for it
}

// start runs a program with its output in a file. It goes on when this process ends.
func start(name, output string, env []string, program string, args ...string) (*Process, error) {
	if err := os.MkdirAll(filepath.Dir(output), 0o755); err != nil {
		return nil, err
	}
	out, err := os.OpenFile(output, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	go func() { _ = cmd.Wait() }() // takes its place in the process table away
	p := &Process{Name: name, PID: cmd.Process.Pid}
	p.Start, _ = startTime(p.PID)
	return p, nil
}

// stat is /proc/<pid>/stat from field 3 on; nil if there is no such process.
func stat(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	if fields := strings.Fields(rest); len(fields) >= 20 {
		return fields
	}
	return nil
}

// startTime is when a process was started, and its state. Empty: there is no such process, or it has ended.
func startTime(pid int) (start, state string) {
	if fields := stat(pid); fields != nil {
		return fields[19], fields[0]
	}
	return "", ""
}

const ticksPerSecond = 100 // USER_HZ, the same on every architecture that Go runs on

// ProcessorTime is what all processes of the cluster have used so far.
func (c *Cluster) ProcessorTime() time.Duration {
	var ticks int64
	for _, p := range c.Processes {
		fields := stat(p.PID)
		for i := 11; fields != nil && i <= 12; i++ { // utime, stime
			n, _ := strconv.ParseInt(fields[i], 10, 64)
			ticks += n
		}
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond
}

// Alive tells whether it runs. A dead one that nobody has waited for does not.
func (p *Process) Alive() bool {
	start, state := startTime(p.PID)
	return start != "" && start == p.Start && state != "Z"
}

// Signal sends a signal if it still runs.
func (p *Process) Signal(s syscall.Signal) {
	if p.Alive() {
		_ = syscall.Kill(p.PID, s)
	}
}

// Stop ends it, with SIGKILL if it has not gone within the limit. One that hangs in the kernel is an error.
func (p *Process) Stop(limit time.Duration) error {
	p.Signal(syscall.SIGTERM)
	if p.gone(limit) {
		return nil
	}
	return p.Kill()
}

// Kill ends it with SIGKILL.
func (p *Process) Kill() error {
	p.Signal(syscall.SIGKILL)
	if !p.gone(killLimit) {
		return fmt.Errorf("%s (process %d) hangs in the kernel", p.Name, p.PID)
	}
	return nil
}

const killLimit = 10 * time.Second

func (p *Process) gone(limit time.Duration) bool {
	return waitFor(limit, func() bool { return !p.Alive() })
}

const pollEvery = 50 * time.Millisecond

// waitFor asks until the answer is yes or the limit is over.
func waitFor(limit time.Duration, done func() bool) bool {
	for deadline := time.Now().Add(limit); ; time.Sleep(pollEvery) {
		if done() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}
