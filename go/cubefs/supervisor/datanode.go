package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"syscall"
	"unsafe"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/registry"
	"github.com/cubefs/cubefs/depends/tiglabs/raft"
)

// Datanode returns the Owner of a group of CubeFS's datanode; nil for a group of
// another server, which can only be told of: the state machines of metanode,
// master and authnode end the process when HandleFatalEvent is called.
func Datanode(group registry.Group) Owner {
	if group.WalPath == "" {
		return nil
	}
	if _, ok := group.StateMachine.(interface{ StartRaft(isLoad bool) error }); !ok {
		return nil
	}
	d := &datanode{group: group}
	d.device, _ = deviceOf(filepath.Dir(group.WalPath)) // 0 if it cannot be told: see Gone
	return d
}

type datanode struct {
	group    registry.Group
	device   uint64 // of the disk's directory
	detached bool   // by a reload of its own that failed
}

// diskTexts are what the datanode recognises a failed disk by.
var diskTexts = []string{syscall.EIO.Error(), syscall.EROFS.Error(), syscall.EACCES.Error()}

// applyErrorText is what the datanode recognises an error by that it survives
// without blaming the disk. Any other text ends the process.
const applyErrorText = "[Custom Error]: unhandled raft apply error"

// Stop has the data partition stop its raft. A failed medium is blamed, once: the
// partition is Unavailable and reported with its disk from then on. For all else
// it becomes Unavailable at the datanode's next minute tick.
func (d *datanode) Stop(fault cubefs.Fault, attempt int) {
	blame := attempt == 0 && (fault.Cause == bulkhead.CauseIOError || fault.Cause == bulkhead.CauseReadOnlyFilesystem)
	d.group.StateMachine.HandleFatalEvent(&raft.FatalError{ID: d.group.ID, Err: errors.New(fatalText(fault, blame))})
	if blame {
		d.noteBlame()
	}
}

// fatalText puts a fault into one of the two forms that the datanode survives.
func fatalText(fault cubefs.Fault, blame bool) string {
	text := fmt.Sprintf("bulkhead: %v", fault.Cause)
	if fault.Err != nil {
		text = fault.Err.Error()
	}
	named := false
	for _, t := range diskTexts {
		named = named || strings.Contains(text, t)
	}
	switch {
	case blame && named:
		return text
	case blame: // a device that is gone, say: an I/O error all the same
		return text + ": " + syscall.EIO.Error()
	case named:
		return applyErrorText + ": " + fault.Cause.String()
	default:
		return applyErrorText + ": " + text
	}
}

// Gone tells that the data partition's directory was removed, or renamed for its removal,
// or has no META: its creation has failed, and CubeFS will never load it. If the directory of the disk is on another filesystem than it was, the
// disk is not mounted, and the partition may come back with it.
func (d *datanode) Gone() bool {
	if _, err := os.Stat(filepath.Join(d.group.WalPath, "META")); !os.IsNotExist(err) {
		return false
	}
	device, err := deviceOf(filepath.Dir(d.group.WalPath))
	return err == nil && device == d.device
}

func deviceOf(path string) (uint64, error) {
	var st syscall.Stat_t
	err := syscall.Stat(path, &st)
	return uint64(st.Dev), err //nolint:unconvert // its type depends on the architecture
}

// Return loads the partition anew through the datanode's own calls. Of one that was
// blamed the error count is reset first, as CubeFS itself does when a disk is recovered.
// It is not started in place, which resets it as well: if another hand does that at the
// same time, its raft group is lost, and the next heartbeat ends the process.
func (d *datanode) Return(attach bool) error {
	// Before all disks are loaded it could not be loaded anew.
	if err := call("/reloadDataPartition", "id", "0"); !errors.Is(err, errNotLoaded) {
		return fmt.Errorf("%w: %v", errNotReady, err)
	}
	errorCount, _, err := d.errorCount()
	if err != nil {
		return err
	}
	attach = attach || d.detached
	if !attach && errors.Is(call("/extent", "partitionID", d.id(), "extentID", "0"), errNotLoaded) {
		return errNotLoaded
	}
	if errorCount > 0 {
		if err := d.clear(); err != nil {
			return err
		}
	}
	return d.reload(attach)
}

// errorCount reads how often the partition has blamed its disk, as it is kept
// over restarts, and the file where it is.
func (d *datanode) errorCount() (count uint64, text []byte, err error) {
	if text, err = os.ReadFile(filepath.Join(d.group.WalPath, "META")); err != nil {
		return 0, nil, err
	}
	var meta struct{ DiskErrCnt uint64 }
	if err = json.Unmarshal(text, &meta); err != nil {
		return 0, nil, fmt.Errorf("the partition's META in %s is not understood: %w", d.group.WalPath, err)
	}
	return meta.DiskErrCnt, text, nil
}

// clear resets the error count of a blamed partition, and has that kept.
func (d *datanode) clear() error {
	keeper, ok := d.group.StateMachine.(interface{ PersistMetadata() error })
	count := countOf(d.group.StateMachine)
	if !ok || count == nil {
		return errors.New("the error count of the state machine cannot be reset: it has no diskErrCnt, or no PersistMetadata")
	}
	before := atomic.SwapUint64(count, 0)
	if err := keeper.PersistMetadata(); err != nil {
		atomic.AddUint64(count, before)
		return fmt.Errorf("the error count could not be kept: %w", err)
	}
	if err := d.forgetBlame(); err != nil {
		return fmt.Errorf("what the log has blamed cannot be forgotten: %w", err)
	}
	return nil
}

// countOf finds the error count of a data partition, which only CubeFS's own package can
// reset; nil if it is made differently.
func countOf(machine raft.StateMachine) *uint64 {
	partition := reflect.ValueOf(machine)
	if partition.Kind() != reflect.Ptr || partition.Elem().Kind() != reflect.Struct {
		return nil
	}
	count := partition.Elem().FieldByName("diskErrCnt")
	if count.Kind() != reflect.Uint64 {
		return nil
	}
	// Sound: the field was found by its name, and its type has this kind.
	return (*uint64)(unsafe.Pointer(count.UnsafeAddr()))
}

// reload loads the partition anew, and may attach it if the datanode does not have it: who
// removes a partition detaches it first, and takes his time with its files.
func (d *datanode) reload(attach bool) error {
	err := call("/reloadDataPartition", "id", d.id())
	switch {
	case !errors.Is(err, errNotLoaded):
		d.detached = err != nil
	case attach:
		return call("/loadDataPartition", "id", d.id(), "disk", filepath.Dir(d.group.WalPath))
	}
	return err
}

func (d *datanode) id() string { return fmt.Sprint(d.group.ID) }
