package supervisor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// errNotLoaded is the datanode's answer for a partition that it does not have.
var errNotLoaded = errors.New("the datanode does not have the partition: it is detached, or being removed; it is attached again by call only")

// errNotReady is for a datanode that has not loaded its disks.
var errNotReady = errors.New("the datanode is not ready")

// answer keeps what a handler writes.
type answer struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }
func (a *answer) WriteHeader(code int) {
	if a.code == 0 {
		a.code = code
	}
}

// call calls a handler of the datanode in this process, as an operator would do
// through its port. Names and values of the parameters alternate.
func call(path string, parameters ...string) error {
	query := make(url.Values)
	for i := 0; i+1 < len(parameters); i += 2 {
		query.Set(parameters[i], parameters[i+1])
	}
	request, err := http.NewRequest(http.MethodGet, path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	if _, pattern := http.DefaultServeMux.Handler(request); pattern != path {
		return fmt.Errorf("%w: it does not serve %s (yet)", errNotReady, path)
	}
	a := &answer{header: make(http.Header)}
	if err := guard(func() error { http.DefaultServeMux.ServeHTTP(a, request); return nil }); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if a.code == 0 || a.code == http.StatusOK {
		return nil
	}
	var reply struct {
		Msg string `json:"msg"`
	}
	if json.Unmarshal(a.body.Bytes(), &reply) != nil || reply.Msg == "" {
		reply.Msg = strings.TrimSpace(a.body.String())
	}
	if reply.Msg == "partition not exist" || reply.Msg == "partition not found" {
		return errNotLoaded
	}
	return fmt.Errorf("%s: %s", path, reply.Msg)
}
