package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
)

// reply is one answer; its keys are the protocol's.
type reply map[string]any

// fail describes an error: whose it is by the system's own name for it, its errno, its text.
func (r reply) fail(sys system, err error) {
	r["ok"] = false
	r["text"] = err.Error()
	if errors.Is(err, errUnsupported) {
		r["unsupported"] = true
		return
	}
	r["status"] = sys.typed(err)
	if errno := errnoOf(err); errno != 0 {
		r["errno"] = int(errno)
	}
}

func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	errors.As(err, &errno)
	return errno
}

// writer sends replies, one line each.
type writer struct {
	mu  sync.Mutex
	out *os.File
}

func (w *writer) send(r reply) {
	line, err := json.Marshal(r)
	if err != nil {
		line = []byte(fmt.Sprintf(`{"ok":false,"text":%q}`, "the reply cannot be encoded: "+err.Error()))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out.Write(append(line, '\n'))
}
