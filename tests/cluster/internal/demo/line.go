package demo

import (
	"fmt"
	"strings"
)

// String is what is known now, on one line.
func (w *watch) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var says, raft []string
	leader := w.leading()
	for _, r := range w.replicas {
		says = append(says, fmt.Sprintf("%d %s", r.node.Number, r.master))
		raft = append(raft, fmt.Sprintf("%d %s", r.node.Number, r.state(leader)))
	}
	return fmt.Sprintf("master: %s | raft: %s", strings.Join(says, ", "), strings.Join(raft, ", "))
}

func (r *replicaView) state(leader *replicaView) string {
	switch {
	case r.raftErr != nil:
		return "no answer"
	case r.raft.Stopped:
		return "stopped"
	case r == leader:
		return fmt.Sprintf("leads term %d, commit %d", r.raft.Term, r.raft.Commit)
	}
	text := strings.ToLower(r.raft.State)
	if leader == nil {
		return text
	}
	if p, known := leader.raft.Replicas[fmt.Sprint(r.raft.NodeID)]; known && leader.raft.Commit > p.Match+raftLag {
		return fmt.Sprintf("%s, %d behind", text, leader.raft.Commit-p.Match)
	}
	return text
}
