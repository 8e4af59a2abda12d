package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	readyTimeout = 2 * time.Minute
	slotTimeout  = 30 * time.Second // beyond the slot itself
	exitTimeout  = 20 * time.Second
)

// slotReport is the line with which an arm answers a slot.
type slotReport struct {
	Value     float64     `json:"value"`
	Unit      string      `json:"unit"`
	P99Micros float64     `json:"p99_us"`
	Refused   int         `json:"refused"` // row B9
	Histogram [][2]uint64 `json:"histogram"`
}

// process is an arm that runs and waits for slots.
type process struct {
	command *exec.Cmd
	input   io.WriteCloser
	lines   chan string
	errors  *bytes.Buffer
}

// startArm returns once the arm has filled its log and waits for slots.
func startArm(program, name, workload, dir string, fillMiB int) (*process, error) {
	command := exec.Command(program, "--serve", "--arm", name, "--workload", workload, "--dir", dir, "--fill", fmt.Sprint(fillMiB))
	errors := new(bytes.Buffer)
	command.Stderr = errors
	input, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	p := &process{command: command, input: input, lines: make(chan string, 16), errors: errors}
	go func() {
		scanner := bufio.NewScanner(output)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			p.lines <- scanner.Text()
		}
		close(p.lines)
	}()
	if line, err := p.line(readyTimeout); err != nil || line != "ready" {
		p.stop()
		return nil, p.failure(fmt.Sprintf("did not start: %q %v", line, err))
	}
	return p, nil
}

// ready gives a command and waits until it is done.
func (p *process) ready(command string, limit time.Duration) error {
	if _, err := fmt.Fprintln(p.input, command); err != nil {
		return p.failure(err.Error())
	}
	if line, err := p.line(limit); err != nil || line != "ready" {
		return p.failure(fmt.Sprintf("%s: %q %v", command, line, err))
	}
	return nil
}

func (p *process) slot(workload string, length time.Duration) (slotReport, error) {
	if err := p.begin(workload, length); err != nil {
		return slotReport{}, err
	}
	return p.report(length)
}

// begin starts a slot, report waits for its end.
func (p *process) begin(workload string, length time.Duration) error {
	if _, err := fmt.Fprintf(p.input, "slot %s %g\n", workload, length.Seconds()); err != nil {
		p.stop()
		return p.failure(err.Error())
	}
	return nil
}

func (p *process) report(length time.Duration) (slotReport, error) {
	var report slotReport
	line, err := p.line(length + slotTimeout)
	if err != nil {
		p.stop()
		return report, p.failure(err.Error())
	}
	if err := json.Unmarshal([]byte(line), &report); err != nil {
		return report, fmt.Errorf("answered %.80q: %w", line, err)
	}
	return report, nil
}

func (p *process) line(timeout time.Duration) (string, error) {
	select {
	case line, open := <-p.lines:
		if !open {
			return "", fmt.Errorf("it ended")
		}
		return line, nil
	case <-time.After(timeout):
		return "", fmt.Errorf("no answer in %s", timeout)
	}
}

// stop lets the arm close its log, but does not wait forever.
func (p *process) stop() {
	p.input.Close()
	deadline := time.AfterFunc(exitTimeout, func() { _ = p.command.Process.Signal(os.Kill) })
	defer deadline.Stop()
	for range p.lines {
	}
	_ = p.command.Wait() // its error is on standard error, if it matters
}

func (p *process) failure(what string) error {
	lines := strings.Split(strings.TrimSpace(p.errors.String()), "\n")
	if len(lines) > 6 {
		lines = lines[:6] // the cause of a Go or Rust panic comes first
	}
	return fmt.Errorf("%s: %s", what, strings.Join(lines, "\n  "))
}
