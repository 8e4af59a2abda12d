package bulkhead

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const childEnv = "BULKHEAD_TEST_CHILD"

// TestChild is not a test: it is what the tests below run in a process of its own.
// It appends to the partition in its directory and prints each index when it is
// acknowledged, until it is killed.
func TestChild(t *testing.T) {
	job := strings.SplitN(os.Getenv(childEnv), " ", 2)
	if len(job) != 2 {
		return
	}
	mode, err := strconv.Atoi(job[0])
	if err != nil {
		t.Fatal(err)
	}
	p := reopenPartition(t, openEngine(t, EngineConfig{SegmentMaxBytes: 1 << 20}), PartitionConfig{Path: job[1], ID: 7, Mode: Mode(mode)})
	_, next, err := p.Bounds()
	if err != nil {
		t.Fatal(err)
	}
	for next++; ; next += 3 {
		mustAppend(t, p, makeEntries(next, next+3, 1, int(next*37%5000)))
		if err := p.SetHardState(HardState{Term: next, Vote: 2, Commit: next}); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("\nacknowledged %d\n", next+2)
	}
}

// startChild returns when the child has acknowledged count entries or more.
func startChild(t *testing.T, mode Mode, path string, count uint64) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run", "^TestChild$")
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", childEnv, mode, path))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for last := uint64(0); last < count; {
		if last = lastAcknowledged(lines, last, false); last == 0 {
			t.Fatal("the child ended early")
		}
	}
	return child, lines
}

// lastAcknowledged reads the next acknowledgement, or all that are left.
func lastAcknowledged(lines *bufio.Scanner, last uint64, all bool) uint64 {
	for lines.Scan() {
		var index uint64
		if n, err := fmt.Sscanf(lines.Text(), "acknowledged %d", &index); n == 1 && err == nil {
			last = index
			if !all {
				return last
			}
		}
	}
	if all {
		return last
	}
	return 0
}

// A crash of the process costs nothing acknowledged, whether or not it was
// synced, and leaves no lock behind.
func TestKilledProcess(t *testing.T) {
	for _, mode := range []Mode{ModeNone, ModeSync} {
		t.Run(mode.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "wal_7")
			e := openEngine(t, EngineConfig{})
			for round := uint64(1); round <= 5; round++ {
				child, lines := startChild(t, mode, path, 100*round)
				if _, err := e.OpenPartition(PartitionConfig{Path: path, ID: 7}); !errors.Is(err, ErrLocked) {
					t.Errorf("a directory that another process has open: %v", err)
				}
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				acknowledged := lastAcknowledged(lines, 100*round, true)
				_ = child.Wait() // it was killed
				checkAfterKill(t, reopenPartition(t, e, PartitionConfig{Path: path, ID: 7, Mode: mode}), acknowledged)
			}
		})
	}
}

func checkAfterKill(t *testing.T, p *Partition, acknowledged uint64) {
	t.Helper()
	_, last, err := p.Bounds()
	if err != nil || last < acknowledged {
		t.Fatalf("the log ends at %d, %v; %d was acknowledged; fault: %v", last, err, acknowledged, p.LastFault())
	}
	h, err := p.HardState()
	if err != nil || h.Vote != 2 || h.Term+2 < acknowledged || h.Commit > last {
		t.Fatalf("hard state %+v, %v, with entries up to %d acknowledged", h, err, acknowledged)
	}
	got, err := p.Read(1, last+1, 1<<40)
	if err != nil || uint64(len(got)) != last {
		t.Fatalf("%d of %d entries can be read: %v", len(got), last, err)
	}
	for next := uint64(1); next <= last; next += 3 {
		end := next + 3
		if end > last+1 {
			end = last + 1 // a batch that was not acknowledged
		}
		if err := equalEntries(got[next-1:end-1], makeEntries(next, end, 1, int(next*37%5000))); err != nil {
			t.Fatal(err)
		}
	}
	if last%3 != 0 {
		// The child continues after whole batches only.
		if err := p.Append(makeEntries(last+1, last+1+(3-last%3), 1, int((last/3*3+1)*37%5000))); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}
