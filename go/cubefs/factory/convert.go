package factory

import (
	"errors"

	"github.com/bulkhead-wal/bulkhead/go/cubefs/registry"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
)

// converter turns a directory from one kind into the other, in place.
type converter interface {
	toBulkhead(l *log) error
	toCubefs(l *log) error
}

var convert converter = noConverter{}

type noConverter struct{}

var errNoConverter = errors.New("this build cannot convert logs")

func (noConverter) toBulkhead(*log) error { return errNoConverter }
func (noConverter) toCubefs(*log) error   { return errNoConverter }

func (l *log) importAndOpen(native registry.Native) (storage.Storage, error) {
	if err := convert.toBulkhead(l); err != nil {
		return nil, err
	}
	return Supervisor.Open(l.dir, l.config, l.group)
}

func (l *log) export() error { return convert.toCubefs(l) }

func (l *log) openNative(native registry.Native, shadow bool) (storage.Storage, error) {
	return native()
}
