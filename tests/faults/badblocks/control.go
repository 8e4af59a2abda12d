package badblocks

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// Command is one line of the control connection, as JSON; Reply is its answer, one line, too.
type Command struct {
	Do   string `json:"do"`             // add, remove, hits, record, stop, seq
	Rule *Rule  `json:"rule,omitempty"` // add
	Name string `json:"name,omitempty"` // remove: the rule's, empty for all
	Path string `json:"path,omitempty"` // record: the file to write
}

// Reply answers a Command.
type Reply struct {
	OK   bool           `json:"ok"`
	Text string         `json:"text,omitempty"`
	Hits map[string]int `json:"hits,omitempty"`

	FirstNS map[string]int64 `json:"first_ns,omitempty"` // hits: when each rule in force applied first, CLOCK_MONOTONIC
	Seq     int64            `json:"seq,omitempty"`
}

// Control takes commands until in ends.
func (s *Server) Control(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	answers := json.NewEncoder(out)
	for lines.Scan() {
		var c Command
		var reply Reply
		err := json.Unmarshal(lines.Bytes(), &c)
		if err == nil {
			reply, err = s.obey(c)
		}
		reply.OK = err == nil
		if err != nil {
			reply.Text = err.Error()
		}
		if err := answers.Encode(reply); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (s *Server) obey(c Command) (Reply, error) {
	switch c.Do {
	case "add":
		if c.Rule == nil {
			return Reply{}, fmt.Errorf("add needs a rule")
		}
		return Reply{}, s.Rules.Add(*c.Rule)
	case "remove":
		s.Rules.Remove(c.Name)
		return Reply{}, nil
	case "hits":
		return Reply{Hits: s.Rules.Hits(), FirstNS: s.Rules.First()}, nil
	case "record":
		r, err := NewRecorder(c.Path)
		if err == nil {
			s.record.Store(r)
		}
		return Reply{}, err
	case "stop":
		r := s.record.Swap(nil)
		if r == nil {
			return Reply{}, fmt.Errorf("nothing is being recorded")
		}
		seq := r.Seq()
		return Reply{Seq: seq}, r.Close()
	case "seq":
		return Reply{Seq: s.record.Load().Seq()}, nil
	}
	return Reply{}, fmt.Errorf("%q is no command: add, remove, hits, record, stop, seq", c.Do)
}
