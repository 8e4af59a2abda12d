package supervisor

import (
	"reflect"
	"sync"
	"unsafe"

	"github.com/cubefs/cubefs/depends/tiglabs/raft"
)

// proposals is the queue in which raft takes in proposals (raft.propc). When a
// group ends what is in it is never answered; raft offers no way to see it.
type proposals struct{ queue reflect.Value }

// proposalsOf finds the queue of a registered group: rafts[id].propc of the
// server, under its lock. A raft that is made differently is left alone.
func proposalsOf(server *raft.RaftServer, id uint64) proposals {
	if server == nil {
		return proposals{}
	}
	fields := reflect.ValueOf(server).Elem()
	lock, groups := fields.FieldByName("mu"), fields.FieldByName("rafts")
	if !lock.IsValid() || lock.Type() != reflect.TypeOf(sync.RWMutex{}) || groups.Kind() != reflect.Map ||
		groups.Type().Key().Kind() != reflect.Uint64 {
		return proposals{}
	}
	// Sound: the field was found by its name and has exactly this type.
	mu := (*sync.RWMutex)(unsafe.Pointer(lock.UnsafeAddr()))
	mu.RLock()
	defer mu.RUnlock()
	group := groups.MapIndex(reflect.ValueOf(id))
	if !group.IsValid() || group.Kind() != reflect.Ptr || group.IsNil() {
		return proposals{}
	}
	queue := group.Elem().FieldByName("propc")
	if queue.Kind() != reflect.Chan {
		return proposals{}
	}
	return proposals{queue}
}

// count returns how many proposals wait; -1 if the queue was not found.
func (p proposals) count() int {
	if !p.queue.IsValid() {
		return -1
	}
	return p.queue.Len()
}
