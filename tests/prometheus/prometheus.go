// Package prometheus runs a real Prometheus with the project's rules: for tests, and to
// show in the demos what an operator sees.
package prometheus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	readyLimit = 30 * time.Second
	stopLimit  = 3 * time.Second
	pollEvery  = 100 * time.Millisecond
)

// Quick is what becomes of rules for those who cannot wait. It is said to whoever looks on.
const Quick = "what has to last for 15 s to be an alert has to last for 1 s"

// Target is a page of metrics.
type Target struct {
	Job, Instance string
	Address       string // host:port; the path is /metrics
}

// Options of a Prometheus.
type Options struct {
	Dir     string        // everything it writes is below here, in a directory that is removed first
	Rules   string        // where alerts.yml and rules.yml are
	Quick   bool          // see Quick
	Every   time.Duration // scrapes and evaluations
	Listen  string        // host:port; empty: a free port of 127.0.0.1
	Targets []Target
}

// Missing says why there is no Prometheus; nil if there is one.
func Missing() error {
	if _, err := exec.LookPath("prometheus"); err != nil {
		return errors.New("prometheus is not installed: apt-get install prometheus")
	}
	return nil
}

// Prepare writes its configuration, and returns the arguments to start it with and
// the address it will listen on.
func Prepare(o Options) (arguments []string, listen string, err error) {
	if listen = o.Listen; listen == "" {
		if listen, err = freeAddress(); err != nil {
			return nil, "", err
		}
	}
	if err := os.RemoveAll(o.Dir); err != nil {
		return nil, "", err
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, "", err
	}
	for _, name := range []string{"alerts.yml", "rules.yml"} {
		text, err := os.ReadFile(filepath.Join(o.Rules, name))
		if err != nil {
			return nil, "", err
		}
		rules := string(text)
		if o.Quick {
			rules = strings.ReplaceAll(rules, "for: 15s", "for: 1s")
		}
		if err := os.WriteFile(filepath.Join(o.Dir, name), []byte(rules), 0o644); err != nil {
			return nil, "", err
		}
	}
	config := filepath.Join(o.Dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte(o.config()), 0o644); err != nil {
		return nil, "", err
	}
	return []string{"--config.file=" + config, "--storage.tsdb.path=" + filepath.Join(o.Dir, "data"), "--web.listen-address=" + listen, "--log.level=warn"}, listen, nil
}

func (o Options) config() string {
	var b strings.Builder
	fmt.Fprintf(&b, "global: {scrape_interval: %v, scrape_timeout: %v, evaluation_interval: %v}\nrule_files: [alerts.yml, rules.yml]\nscrape_configs:\n",
		o.Every, o.Every, o.Every)
	jobs := map[string]bool{}
	for _, t := range o.Targets {
		if jobs[t.Job] {
			continue
		}
		jobs[t.Job] = true
		fmt.Fprintf(&b, "  - job_name: '%s'\n    static_configs:\n", t.Job)
		for _, same := range o.Targets {
			if same.Job == t.Job {
				fmt.Fprintf(&b, "      - {targets: ['%s'], labels: {instance: '%s'}}\n", same.Address, same.Instance)
			}
		}
	}
	return b.String()
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// Server is a Prometheus that runs.
type Server struct {
	URL    string
	dir    string
	cmd    *exec.Cmd
	exited chan struct{}
}

// Start starts one and waits until it is ready. It does not outlive this process.
func Start(ctx context.Context, o Options) (*Server, error) {
	if err := Missing(); err != nil {
		return nil, err
	}
	arguments, listen, err := Prepare(o)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(o.Dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s := &Server{URL: "http://" + listen, dir: o.Dir, cmd: exec.Command("prometheus", arguments...), exited: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		// The signal of a parent's death is that of the thread which started the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(s.exited)
		err := s.cmd.Start()
		started <- err
		if err == nil {
			_ = s.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	if err := s.ready(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Server) ready(ctx context.Context) error {
	deadline := time.After(readyLimit)
	for {
		if r, err := http.Get(s.URL + "/-/ready"); err == nil {
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.exited:
			text, _ := os.ReadFile(filepath.Join(s.dir, "log")) // empty: nothing to add
			return fmt.Errorf("prometheus ended: %s", strings.TrimSpace(string(text)))
		case <-deadline:
			return fmt.Errorf("prometheus is not ready after %v", readyLimit)
		case <-time.After(pollEvery):
		}
	}
}

// Stop ends it and removes what it wrote.
func (s *Server) Stop() {
	_ = s.cmd.Process.Kill() // its data is thrown away
	select {
	case <-s.exited:
	case <-time.After(stopLimit):
	}
	_ = os.RemoveAll(s.dir)
}
