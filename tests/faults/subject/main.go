// Command subject drives one log implementation for the fault scenarios: it takes commands on standard input, one per
// line, and answers each with one line of JSON. What the system itself prints goes to standard error. A panic of the
// system is not caught: the process dies, and that is the finding.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	name := flag.String("system", "bulkhead", "what to drive: "+strings.Join(systemNames(), ", "))
	mode := flag.String("mode", "sync", "none, sync or interval")
	var limits limits
	flag.DurationVar(&limits.stall, "stall", 0, "bulkhead: the stall limit; 0 is the default")
	flag.BoolVar(&limits.noHealing, "no-healing", false, "bulkhead: no fault is healed inside the call")
	flag.BoolVar(&limits.noIdleCheck, "no-idle-check", false, "bulkhead: nobody looks at idle logs")
	flag.IntVar(&limits.fileBytes, "file-bytes", 0, "cubefs: the size of its log files; 0 is the default")
	content := flag.String("payload", "random", "what entries carry: random, zeros, or file:<path> for pieces of a file")
	listing := flag.Bool("versions", false, "print each system with its version and modes, and end")
	flag.Parse()
	if *listing {
		printVersions()
		return
	}
	// A write beyond RLIMIT_FSIZE must be an error of the system, not the end of its process.
	signal.Ignore(syscall.SIGXFSZ)
	if err := setPayload(*content); err != nil {
		fail(err)
	}
	out, err := takeStdout()
	if err != nil {
		fail(err)
	}
	system, err := newSystem(*name, *mode, limits)
	if err != nil {
		fail(err)
	}
	serve(newDispatcher(system, out), bufio.NewScanner(os.Stdin))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "subject:", err)
	os.Exit(2)
}

// takeStdout keeps standard output for the protocol: some systems log to descriptor 1.
func takeStdout() (*os.File, error) {
	fd, err := syscall.Dup(1)
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(fd)
	if err := syscall.Dup3(2, 1, 0); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "protocol"), nil
}

// serve reads commands until quit or the end of the input. Nothing is closed at the end: that is what close is for.
func serve(d *dispatcher, lines *bufio.Scanner) {
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		d.dispatch(words)
		if words[0] == "quit" {
			return
		}
	}
	d.drain()
}

// numbers parses the words of a command that are numbers.
func numbers(words []string) ([]uint64, error) {
	out := make([]uint64, len(words))
	for i, word := range words {
		n, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", word)
		}
		out[i] = n
	}
	return out, nil
}
