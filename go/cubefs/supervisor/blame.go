package supervisor

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
)

// blamedName is a file in a data partition's directory, beside its META: how much
// of META's count of disk errors is the log's, and META's checksum. META has the
// time of its writing: one that was written since is another, whatever it counts. CubeFS also counts there what it
// has met in the partition's extents, and stops a partition whose count is not 0
// whenever it loads it.
const blamedName = "bulkhead_blamed"

// errBlamedBefore is the fault of a group whose log is good, and was not when the
// partition was loaded the last time.
var errBlamedBefore = errors.New("the datanode has stopped the group when it loaded the partition, because its log had blamed the disk earlier")

// noteBlame follows a call that has blamed the disk. If something else has, too, or
// META could not be written, nothing is noted, and after a restart of the datanode
// the partition is the operator's.
func (d *datanode) noteBlame() {
	count, meta, err := d.errorCount()
	before, _ := d.noted()
	if err != nil || count != before+1 {
		return
	}
	temporary := d.blamed() + ".new"
	if err = os.WriteFile(temporary, []byte(fmt.Sprintf("%d %08x\n", count, crc32.ChecksumIEEE(meta))), 0o600); err == nil {
		err = os.Rename(temporary, d.blamed())
	}
	if err != nil {
		_ = os.Remove(temporary) // as above
	}
}

// Blamed tells that a partition which is loaded was blamed by its log alone: the
// datanode is about to stop it for that.
func (d *datanode) Blamed() bool {
	noted, checksum := d.noted()
	if noted == 0 {
		return false
	}
	count, meta, err := d.errorCount()
	if err != nil {
		return false
	}
	alone := count == noted && crc32.ChecksumIEEE(meta) == checksum
	if !alone { // an operator has cleared it, or it has met more: it is not the log's any more
		_ = d.forgetBlame() // the next load tries again
	}
	return alone
}

// noted returns what is noted; 0 if there is nothing, or nothing that is understood.
func (d *datanode) noted() (count uint64, checksum uint32) {
	text, err := os.ReadFile(d.blamed())
	if err != nil {
		return 0, 0
	}
	if _, err = fmt.Sscanf(string(text), "%d %x\n", &count, &checksum); err != nil {
		return 0, 0
	}
	return count, checksum
}

func (d *datanode) forgetBlame() error {
	if err := os.Remove(d.blamed()); !os.IsNotExist(err) {
		return err
	}
	return nil
}

func (d *datanode) blamed() string { return filepath.Join(d.group.WalPath, blamedName) }
