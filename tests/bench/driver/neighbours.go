package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bulkhead-wal/bulkhead/tests/faults/badblocks"
	"github.com/bulkhead-wal/bulkhead/tests/faults/disk"
)

// The arms of row B9: two without a fault, whose difference is what chance does, and one with it.
const (
	controlArm = "control"
	secondArm  = "control-again"
	faultArm   = "bulkhead"
)

const (
	stackBytes = 2 << 30 // of the image; it is sparse
	ruleName   = "bad"
	eio        = 5
)

// stack is an ext4 on a loop device over an image behind FUSE, with 64 partitions on it, all in one process.
type stack struct {
	server *badblocks.Process
	disk   *disk.Mounted
	load   *process
	dir    string
	kept   string // second names of the first partition's files
	full   bool
}

// missingForFaults says why no fault can be made here; empty if it can.
func missingForFaults() string {
	switch {
	case os.Geteuid() != 0:
		return "root, to mount filesystems on loop devices"
	case !exists("/dev/loop-control"):
		return "/dev/loop-control: the kernel needs loop devices (modprobe loop)"
	case !exists("/dev/fuse"):
		return "/dev/fuse: the kernel needs FUSE (modprobe fuse)"
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func newStack(s settings, workload string) (*stack, error) {
	dir, err := os.MkdirTemp(s.faultDir, "b9-")
	if err != nil {
		return nil, err
	}
	image := filepath.Join(dir, "image")
	if err := disk.Make("ext4", image, stackBytes); err != nil {
		return nil, err
	}
	k := &stack{dir: dir, kept: filepath.Join(dir, "disk", "kept")}
	if k.server, err = badblocks.Start(filepath.Join(s.programDir, "badblocks"), image, filepath.Join(dir, "bad")); err != nil {
		return nil, err
	}
	if k.disk, err = disk.Mount("ext4", k.server.Image, filepath.Join(dir, "disk"), disk.Options{DirectIO: true}); err == nil {
		k.load, err = startArm(filepath.Join(s.programDir, rustArms), faultArm, workload, k.disk.Dir, 0)
	}
	if err != nil {
		k.close()
		return nil, err
	}
	return k, nil
}

func (k *stack) close() {
	_ = k.lift() // what hangs would keep the process from ending
	if k.load != nil {
		k.load.stop()
	}
	if k.disk != nil {
		_ = k.disk.Unmount()
	}
	_ = k.server.Close()
	_ = os.RemoveAll(k.dir)
}

// impose makes the fault. Without real, a disk that has to look for it at each write as well, and never finds it: that costs processor time,
// which the controls have to pay, too.
func (k *stack) impose(fault string, real bool) error {
	switch fault {
	case "eio":
		return k.failFirst(badblocks.Rule{Name: ruleName, Op: badblocks.OpWrite, Action: badblocks.ActionFail, Errno: eio}, real)
	case "hang":
		return k.failFirst(badblocks.Rule{Name: ruleName, Op: badblocks.OpWrite, Action: badblocks.ActionHang}, real)
	case "nospace":
		if !real {
			return nil
		}
		k.full = true
		if _, err := k.disk.Fill(); err != nil {
			return err
		}
		// The others go round in the files they have.
		if err := k.load.ready("exhaust", slotTimeout); err != nil {
			return err
		}
		_, err := k.disk.Fill()
		return err
	}
	return fmt.Errorf("no fault is called %q", fault)
}

// failFirst puts a rule on all blocks of the first partition's files, and on the files it makes later: every segment begins with
// the incarnation, which the root has at this place (docs/format.md).
func (k *stack) failFirst(rule badblocks.Rule, real bool) error {
	dir := filepath.Join(k.disk.Dir, "p1")
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return err
	}
	// Blocks that the partition lets go of must not become those of its neighbours.
	if err := os.Mkdir(k.kept, 0o700); err != nil {
		return err
	}
	var pieces []disk.Extent // all of them first: with a rule in force the filesystem may not answer
	for _, path := range names {
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		kept := filepath.Join(k.kept, filepath.Base(path))
		if err := os.Link(path, kept); errors.Is(err, os.ErrNotExist) {
			continue // housekeeping has removed it meanwhile
		} else if err != nil {
			return err
		}
		extents, err := disk.Extents(kept, k.disk.Kind)
		if err != nil {
			return err
		}
		pieces = append(pieces, extents...)
	}
	const at, length = 32, 16
	root, err := os.ReadFile(filepath.Join(dir, "root"))
	if err != nil || len(root) < at+length {
		return fmt.Errorf("the first partition's root cannot be read: %w", err)
	}
	match := root[at : at+length]
	if !real {
		match = make([]byte, length)
		_, _ = rand.Read(match) // never fails
		rule.Match = match
	}
	for _, x := range pieces {
		rule.First, rule.Length = x.Image, x.Length
		if err := k.rule(rule); err != nil {
			return err
		}
	}
	rule.First, rule.Length, rule.Match = 0, 0, match
	return k.rule(rule)
}

func (k *stack) rule(r badblocks.Rule) error {
	_, err := k.server.Do(badblocks.Command{Do: "add", Rule: &r})
	return err
}

// hits is how many requests have met the fault so far.
func (k *stack) hits() (int, error) {
	reply, err := k.server.Do(badblocks.Command{Do: "hits"})
	return reply.Hits[ruleName], err
}

// lift takes the fault away, and what it left behind.
func (k *stack) lift() error {
	_, err := k.server.Do(badblocks.Command{Do: "remove", Name: ruleName})
	err = errors.Join(err, os.RemoveAll(k.kept))
	if k.full {
		k.full = false
		err = errors.Join(err, k.disk.Drain())
	}
	return err
}

// measureNeighbours gives the arms slots in turn, all on one stack: what differs is the fault alone.
func measureNeighbours(r row, workloads []workload, s settings) ([]outcome, error) {
	if missing := missingForFaults(); missing != "" {
		fmt.Printf("\n%s is not measured: it needs %s\n", r.id, missing)
		return nil, nil
	}
	var outcomes []outcome
	for _, w := range workloads {
		if w.fullOnly && !s.everyArm {
			continue
		}
		o := outcome{row: r, workload: w}
		for _, a := range r.arms {
			o.arms = append(o.arms, &measured{arm: a, latency: histogram{}})
		}
		if err := measureFault(o, s); err != nil {
			for _, m := range o.arms {
				m.failure = err
			}
		}
		outcomes = append(outcomes, o)
	}
	return outcomes, nil
}

func measureFault(o outcome, s settings) error {
	s.progress.step(o.workload.id + ": 64 partitions")
	k, err := newStack(s, o.workload.id)
	if err != nil {
		return err
	}
	defer k.close()
	_, fault, _ := strings.Cut(o.workload.id, "-")
	for round := -1; round < s.rounds; round++ { // round -1 warms up
		for turn := range o.arms {
			m := o.arms[(turn+round+1)%len(o.arms)]
			s.progress.step(fmt.Sprintf("%s round %d/%d %s", o.workload.id, round+1, s.rounds, m.arm.name))
			report, err := k.slot(o.workload.id, fault, m.arm.name == faultArm, s.faultSlot)
			if err != nil {
				return err
			}
			if round >= 0 {
				m.values = append(m.values, report.Value)
				m.p99s = append(m.p99s, report.P99Micros)
				m.latency.add(report.Histogram)
			}
		}
	}
	return nil
}

// slot measures the 63, with or without a fault of the first.
func (k *stack) slot(workload, fault string, faulted bool, length time.Duration) (slotReport, error) {
	before, err := k.hits()
	if err == nil {
		err = k.impose(fault, faulted)
	}
	if err != nil {
		return slotReport{}, err
	}
	report, err := k.load.slot(workload, length)
	after, hitsErr := k.hits()
	if err := errors.Join(err, hitsErr, k.lift()); err != nil {
		return report, err
	}
	if faulted && fault != "nospace" && after == before {
		return report, errors.New("the fault was not met")
	}
	if report.Refused > 0 {
		return report, fmt.Errorf("%d appends of the other partitions were refused", report.Refused)
	}
	return report, k.load.ready("whole", slotTimeout)
}

// p99InRange says whether the rounds' median p99 is one that a round without a fault has as well.
func (o outcome) p99InRange(m *measured) string {
	var controls []float64
	for _, other := range o.arms {
		if other.arm.name != faultArm {
			controls = append(controls, other.p99s...)
		}
	}
	low, high := extremes(controls)
	word := "in the range"
	if median(m.p99s) > high {
		word = "above the range"
	}
	return fmt.Sprintf("p99 %.0f us %s %.0f-%.0f", median(m.p99s), word, low, high)
}
