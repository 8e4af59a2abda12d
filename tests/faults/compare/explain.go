package compare

import "strings"

// explanation says why systems do not hold scenarios with an outcome: found by reading their code and watching them do it, once
// for each. What is not explained here is shown as the scenario saw it.
type explanation struct {
	systems, scenarios, outcome string // separated by blanks
	why                         string
}

var explanations = []explanation{
	{"cubefs etcd raft-wal", "f1-fsync-fails-recover f3-fsync-fails-reopen f3-fsync-fails-crash f2-bad-block-recover f3-write-fails-once f1-partition-fails", "lost",
		"a sync fails once; the log goes on in the same file, by a repeated call (raft-wal) or by opening what the page cache still " +
			"shows; later syncs succeed, and appends are acknowledged. After the next mount, or when the kernel drops the pages, blocks " +
			"of the failed write are not there, and the log ends before them, without a word"},
	{"raft-engine", "f1-fsync-fails-recover f3-fsync-fails-reopen f3-fsync-fails-crash f31-bad-block-healed f2-bad-block-recover f3-write-fails-once " +
		"f1-flush-fails-once f1-partition-fails f7-dead-disk f24-calls-fail f6-read-only-remount f5-failing-neighbour", "died",
		"a failed sync is a panic by design (log_file.rs: \"Panic if sync fails, in case of data loss\"), which TiKV, and the program here, " +
			"do not survive; every other group of the process goes with it"},
	{"cubefs etcd raft-wal", "f31-bad-block-healed", "failed",
		"the error goes to the caller, whose group or process ends; nothing is tried on other blocks"},
	{"etcd raft-wal", "f2-bad-block-recover", "failed",
		"after closing and opening it goes on in the same file, over the same bad blocks"},
	{"cubefs etcd raft-wal", "f16-unreadable-sector f16-unreadable-unclean", "failed",
		"one block that cannot be read keeps the whole log from opening"},
	{"raft-engine", "f16-unreadable-sector f16-unreadable-unclean", "lost",
		"recovery takes a read error for a torn tail and truncates the file there for good, also if the block can be read again later. " +
			"Without a filesystem: strace -f -P <file>.raftlog -e trace=pread64 -e inject=pread64:error=EIO:when=3 on an open"},
	{"cubefs etcd raft-wal", "f32-dropped-write", "lost",
		"zeros, or a record that does not check, in the newest file are taken for the end of the log, and what lies behind is cut without a word. " +
			"raft-wal says in its README that it leaves silent corruption to the filesystem and the disk"},
	{"cubefs raft-wal raft-engine", "f32-misplaced-write", "lost",
		"a record that does not check in the newest file is taken for a torn end, and what lies behind is cut without a word"},
	{"cubefs", "raft-group", "failed",
		"the first failed write ends the group's loop on that node, silently: nobody is called (HandleFatalEvent is not), the replica stays " +
			"where it is while the group goes on. Alone: target/faults/bin/raftgroup -system cubefs -dir <empty directory>"},
	{"cubefs etcd raft-wal raft-engine", "f28-hung-disk", "hung",
		"there is no limit: a call waits as long as the disk does"},
	{"etcd", "f9-full-disk", "failed",
		"the torn record that the full disk left needs Repair before the log opens, which copies the file first: no space"},
	{"raft-engine", "f9-full-disk", "failed",
		"opening makes a new file, which a full disk refuses; reading what is there needs it open"},
	{"cubefs", "f18-power-cut-votes f19-crash-states", "lost",
		"StoreHardState syncs only if Sync is set and the commit has changed: a vote is in the page cache only"},
	{"raft-engine", "f20-power-cut f19-crash-states", "lost",
		"in mode none Engine::sync is the way to make entries durable, and it returns without a sync: it writes an empty batch, and write " +
			"returns early for that (its issue 395, mended but not released; strace shows no fdatasync)"},
	{"cubefs", "f12-last-record", "lost",
		"a last record that does not check is taken for a torn end and cut without a word"},
	{"cubefs", "f14-flipped-bit f17-hard-state-block", "lost",
		"META has one copy and no checksum: what is read from it is taken for the vote"},
	{"cubefs", "f26-second-opener", "failed",
		"there is no lock: two processes write the same files"},
	{"raft-wal", "f26-second-opener", "hung",
		"its second open waits for bbolt's file lock, without a limit, until the first owner is gone"},
	{"cubefs etcd raft-wal raft-engine", "f22-file-replaced", "lost",
		"nothing in a file says which log it belongs to: another one's entries are read as its own"},
	{"cubefs etcd raft-wal raft-engine", "f21-file-older", "lost",
		"nothing beside the file says how far the log went: an older copy is taken for all of it"},
	{"cubefs etcd raft-wal raft-engine", "f21-file-missing", "lost",
		"without the file the log begins anew, empty. raft-wal's README says so of its newest file"},
}

// What cannot be asked of a system, by scenario.
var notAsked = map[string]string{
	"f23-calls-hang":       "it has no stall limit and tells its owner nothing; f28-hung-disk shows what becomes of a call",
	"f10-space-returns":    "it does nothing by itself: its owner opens it again",
	"f6-typed-causes":      "it has no state of health and pushes no events; that the errno of a refusal is the disk's is asked in the other rows",
	"f11-middle-lost":      "a flush that does not finish leaves nothing behind: its blocks are new, and named by a later commit of the filesystem",
	"f13-payloads":         "a flush that does not finish leaves nothing behind: its blocks are new, and named by a later commit of the filesystem",
	"f12-last-record":      "where its last record ends could not be found from outside",
	"f7-told":              "it tells its owner nothing unasked",
	"f27-one-damaged":      "asked of Bulkhead only: a thousand logs with preallocated segments do not fit the small disk",
	"f30-open-fail-close":  "asked of Bulkhead only: the others have no limit to the time in which a failing call is made good, and their owners end the process",
	"f17-hard-state-block": "its hard state is among its entries, not in a file of its own",
}

// explain returns the explanation of a record, or what the scenario saw.
func explain(r Record) string {
	for _, x := range explanations {
		if x.outcome == r.Outcome && listed(x.systems, r.System) && listed(x.scenarios, r.Scenario) {
			return strings.ReplaceAll(x.systems, " ", ", ") + ": " + x.why
		}
	}
	if r.Outcome == "n/a" {
		if why := notAsked[r.Scenario]; why != "" {
			return why
		}
		return "as shipped, or with a sync that does nothing, all is left to the kernel: nothing is durable, and nothing reaches the disk " +
			"while the fault is there"
	}
	return r.System + ", " + r.Scenario + ", mode " + r.Mode + ", " + r.Filesystem + ": " + r.Why
}

func listed(words, word string) bool {
	for _, w := range strings.Fields(words) {
		if w == word {
			return true
		}
	}
	return false
}
