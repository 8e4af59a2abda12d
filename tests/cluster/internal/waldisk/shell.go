package waldisk

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// shell runs tools for a process that has writers hanging in a FUSE mount. Such a process cannot start any itself: the new one
// inherits the open files, closes them before it runs its program, and a close waits for the writer of its file.
type shell struct {
	in  io.WriteCloser
	out chan string
}

// newShell starts one; it ends with this process.
func newShell() (*shell, error) {
	cmd := exec.Command("sh")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &shell{in: in, out: make(chan string)}
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			s.out <- lines.Text()
		}
		close(s.out)
		_ = cmd.Wait()
	}()
	return s, nil
}

// run runs a tool; an exit code up to allowed is a success.
func (s *shell) run(allowed int, args ...string) error {
	command := "'" + strings.Join(args, "' '") + "'"
	if _, err := fmt.Fprintf(s.in, "text=$(%s 2>&1); echo $? $text\n", command); err != nil {
		return err
	}
	select {
	case line := <-s.out:
		var code int
		if _, err := fmt.Sscan(line, &code); err != nil || code > allowed {
			return fmt.Errorf("%s: exit code %s", command, line)
		}
		return nil
	case <-time.After(toolLimit):
		return fmt.Errorf("%s takes longer than %v", command, toolLimit)
	}
}
