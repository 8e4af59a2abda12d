// Package supervisor tells the owner of a raft group that its log has failed,
// stops the group and brings it back when the log is good again. CubeFS's raft
// (release v3.4.0) does none of it: after an error of its storage the group is
// dead, but registered; it goes on acknowledging heartbeats, so that its leader
// counts on it, and nobody is called.
//
// A group goes through these steps. Each is an Event.
//
//	Faulted   the log has met a fault that was not healed inside the call
//	Stopped   raft has closed the log, and the group is unregistered: no more
//	          heartbeats, leadership is given up, what was pending is answered
//	Returned  the log is good again, and the group runs
//
// How a group is stopped and brought back is its Owner's: Datanode does it with
// what CubeFS's datanode offers, Direct is for programs that use the raft package
// themselves. A group without an owner is only told of, and goes on as raft left
// it.
package supervisor
