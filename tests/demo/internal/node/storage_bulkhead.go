package node

import (
	"errors"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/cubefs/cubefs/depends/tiglabs/raft/storage"
)

// openBulkhead opens a Bulkhead log in its default mode, sync. The directory may
// still be held by the group of before; that is an error like any other here.
func openBulkhead(dir string, group, known uint64, onFault func(notice)) (storage.Storage, error) {
	s, err := cubefs.NewStorage(dir, &cubefs.Config{
		PartitionID:  group,
		AppliedIndex: known,
		OnFault: func(f cubefs.Fault) {
			text := f.Cause.String()
			var e *bulkhead.Error
			if errors.As(f.Err, &e) {
				text = e.Error()
			}
			onFault(notice{cause: f.Cause.String(), errno: int(f.Errno), text: text})
		},
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}
