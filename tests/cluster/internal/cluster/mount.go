package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	sigTerm    = syscall.SIGTERM
	mountLimit = 30 * time.Second
	// How long a call on the mount may take until it counts as hanging.
	probeLimit = 10 * time.Second
)

// StartClient mounts the volume and waits until it is mounted.
func (c *Cluster) StartClient() error {
	if err := c.launch(client, nil, "client", "-f", "-c", c.Layout.config(client)); err != nil {
		return err
	}
	mounted := waitFor(mountLimit, func() bool { return c.Layout.mounted() || !c.Process(client).Alive() })
	if !mounted || !c.Process(client).Alive() {
		return fmt.Errorf("the FUSE client does not mount the volume; see %s", c.Layout.output(client))
	}
	return nil
}

// mounted looks into the mount table: a call on the mount itself could hang.
func (l Layout) mounted() bool {
	text, err := os.ReadFile("/proc/self/mountinfo")
	return err == nil && strings.Contains(string(text), " "+l.Mount()+" ")
}

// Unmount ends the client and takes the mount down.
func (c *Cluster) Unmount() error {
	var err error
	if p := c.Process(client); p != nil {
		err = p.Kill()
	}
	for i := 0; c.Layout.mounted(); i++ {
		// Without its process the mount answers nothing any more; lazily, as somebody may stand in it.
		if e := syscall.Unmount(c.Layout.Mount(), syscall.MNT_DETACH); e != nil && i > 0 {
			return errors.Join(err, fmt.Errorf("cannot unmount %s: %w", c.Layout.Mount(), e))
		}
	}
	return err
}

// probe writes a file through the mount, in the background: a writer in FUSE cannot be interrupted.
func (c *Cluster) probe() error {
	done := make(chan error, 1)
	go func() {
		path := filepath.Join(c.Layout.Mount(), ".writable")
		err := os.WriteFile(path, []byte("yes\n"), 0o644)
		if err == nil {
			err = os.Remove(path)
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(probeLimit):
		return fmt.Errorf("a write through the mount takes longer than %v", probeLimit)
	}
}
