package scenario

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// attachLimit is for strace to get hold of all threads.
const attachLimit = 20 * time.Second

// Injection is strace on a running owner: system calls that fail or are slow, until it is lifted.
type Injection struct {
	env     *Env
	cmd     *exec.Cmd
	trace   string // what strace writes
	started bool
}

// Inject attaches to all threads of an owner. what is an expression of strace's inject option, such as fsync:error=EIO:when=3+
// (when counts in each thread by itself).
func (o *Owner) Inject(what string, paths ...string) *Injection {
	calls, _, _ := strings.Cut(what, ":")
	trace := o.env.name("trace")
	words := []string{"-f", "-o", trace, "-e", "trace=" + calls, "-e", "inject=" + what, "-p", itoa(uint64(o.Pid()))}
	for _, path := range paths {
		words = append(words, "-P", path)
	}
	i := &Injection{env: o.env, trace: trace, cmd: exec.Command("strace", words...)}
	stderr, err := i.cmd.StderrPipe()
	o.env.must(err)
	o.env.must(i.cmd.Start())
	o.env.first = append(o.env.first, i.end)
	i.started = true
	attached := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "attached") {
				select {
				case attached <- true:
				default:
				}
			}
		}
		close(attached)
	}()
	select {
	case ok := <-attached:
		if !ok {
			o.env.End(Broken, "strace did not attach: %s", strings.Join(i.cmd.Args, " "))
		}
	case <-time.After(attachLimit):
		o.env.End(Broken, "strace did not attach within %v", attachLimit)
	}
	return i
}

// Lift detaches: the calls work again. It returns how many were struck.
func (i *Injection) Lift() int {
	i.end()
	trace, err := os.ReadFile(i.trace)
	i.env.must(err)
	return strings.Count(string(trace), "INJECTED")
}

func (i *Injection) end() {
	if !i.started {
		return
	}
	i.started = false
	_ = i.cmd.Process.Signal(syscall.SIGTERM)
	_ = i.cmd.Wait()
}
