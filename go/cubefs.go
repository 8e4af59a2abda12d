package bulkhead

// #include "shim.h"
import "C"

import (
	"math"
	"sync/atomic"
	"time"
	"unsafe"
)

// CubeFSConfig names a directory for the calls that read, import and export logs
// of CubeFS's own WAL.
type CubeFSConfig struct {
	Path string
	// ID is the partition id that an import gives the log.
	ID uint64
	// KnownIndex is an index that must be in the log, applied or committed
	// elsewhere: a log that ends below it is damage. 0 if none is known.
	KnownIndex uint64
	// Progress, if it is set, is called every 100 ms while a call runs, from a
	// goroutine of its own, and never after the call has returned.
	Progress func(done, total uint64)
}

// CubeFSShape says whose a directory is.
type CubeFSShape uint32

const (
	CubeFSShapeEmpty     CubeFSShape = 1 // no log
	CubeFSShapeCubeFS    CubeFSShape = 2 // to be imported
	CubeFSShapeBulkhead  CubeFSShape = 3
	CubeFSShapeImporting CubeFSShape = 4 // an import was cut short; ImportCubeFS finishes it
	CubeFSShapeExporting CubeFSShape = 5 // an export in place was cut short; ImportCubeFS takes it back
	CubeFSShapeUnknown   CubeFSShape = 6 // a mixture that nothing here leaves; it is not touched
)

var shapeNames = []string{"unknown", "empty", "cubefs", "bulkhead", "importing", "exporting", "unknown"}

func (s CubeFSShape) String() string { return name(shapeNames, uint32(s)) }

// CubeFSFoundKind says what a CubeFSFinding is about. The numbers are those of
// BULKHEAD_CUBEFS_FOUND_* in bulkhead.h.
type CubeFSFoundKind uint32

const (
	CubeFSTornTail         CubeFSFoundKind = 1
	CubeFSBadRecord        CubeFSFoundKind = 2
	CubeFSMissingEntries   CubeFSFoundKind = 3
	CubeFSMissingFile      CubeFSFoundKind = 4
	CubeFSOutOfOrder       CubeFSFoundKind = 5
	CubeFSBadIndex         CubeFSFoundKind = 6
	CubeFSMetaAhead        CubeFSFoundKind = 7
	CubeFSMetaBehind       CubeFSFoundKind = 8
	CubeFSVoteLost         CubeFSFoundKind = 9
	CubeFSBadMeta          CubeFSFoundKind = 10
	CubeFSCommitBehind     CubeFSFoundKind = 11
	CubeFSSnapshotConflict CubeFSFoundKind = 12
	CubeFSStrangeFile      CubeFSFoundKind = 13
	CubeFSTooLarge         CubeFSFoundKind = 14
	CubeFSBelowKnown       CubeFSFoundKind = 15
)

var foundNames = []string{"unknown", "torn tail", "bad record", "missing entries", "missing file", "out of order", "bad index",
	"META ahead", "META behind", "vote lost", "bad META", "commit behind", "snapshot conflict", "strange file", "too large",
	"below known index"}

func (k CubeFSFoundKind) String() string { return name(foundNames, uint32(k)) }

// CubeFSFinding is one thing that was found in a CubeFS log.
type CubeFSFinding struct {
	Kind    CubeFSFoundKind
	Damage  bool // the log is not imported; otherwise it is a note
	File    string
	Offset  uint64
	Range   Range  // the entries concerned
	Term    uint64 // of the last sound entry before
	Message string
	CubeFS  string // what CubeFS's own WAL does with it
}

// CubeFSReport says what a directory is, and what a CubeFS log in it holds, or
// was read from it or written to it.
type CubeFSReport struct {
	Shape          CubeFSShape
	Undoable       bool // nothing has changed since the import
	CubeFSOriginal bool // CubeFS's files of before the import are kept
	BulkheadKept   bool // Bulkhead's files of before an export in place are kept

	Files     uint64
	FileBytes uint64
	Entries   uint64 // above the compaction point
	Bytes     uint64 // of their payloads

	FirstIndex, FirstTerm           uint64
	LastIndex, LastTerm             uint64 // the compaction point if there are no entries
	CompactionIndex, CompactionTerm uint64
	HardState                       HardState
	TornBytes                       uint64 // behind the last entry

	Findings []CubeFSFinding // of InspectCubeFS
}

// Damage returns the first finding that keeps a log from being imported, nil if
// there is none.
func (r *CubeFSReport) Damage() *CubeFSFinding {
	for i := range r.Findings {
		if r.Findings[i].Damage {
			return &r.Findings[i]
		}
	}
	return nil
}

// findingsMax is how many the library keeps: 100 of damage, and 100 that are none.
const findingsMax = 200

// InspectCubeFS says what a directory is, and reads and judges the CubeFS log in
// it. It changes nothing and takes no lock: the directory may be in use. Damage
// is in the report and no error of the call.
func (e *Engine) InspectCubeFS(config CubeFSConfig) (CubeFSReport, error) {
	path, err := cubefsPath(&config, OpImport)
	if err != nil {
		return CubeFSReport{}, err
	}
	size := C.size_t(findingsMax) * C.sizeof_bulkhead_cubefs_finding
	findings := (*C.bulkhead_cubefs_finding)(C.calloc(1, size))
	if findings == nil {
		return CubeFSReport{}, &Error{Op: OpImport, Partition: config.ID, Code: ErrResourceExhausted, Path: config.Path, Message: "no memory for the findings"}
	}
	defer C.free(unsafe.Pointer(findings))
	out := C.bh_cubefs_inspect(e.handle, (*C.uint8_t)(bytesPointer(path)), C.uint32_t(len(path)), C.uint64_t(config.ID),
		C.uint64_t(config.KnownIndex), findings, findingsMax)
	if err := takeError(out.err); err != nil {
		return CubeFSReport{}, err
	}
	report := cubefsReport(&out.report)
	found := (*[findingsMax]C.bulkhead_cubefs_finding)(unsafe.Pointer(findings))
	for i := 0; i < int(out.report.findings) && i < findingsMax; i++ {
		report.Findings = append(report.Findings, cubefsFinding(&found[i]))
	}
	return report, nil
}

// ImportCubeFS makes a CubeFS directory a Bulkhead partition, in place. CubeFS's
// files are kept in its subdirectory cubefs-original until
// DiscardCubeFSOriginal. Nobody may have the directory open; CubeFS's WAL takes
// no lock, so that this cannot be checked.
//
// It first finishes or undoes what an earlier call was kept from. A directory
// that then is Bulkhead's is left as it is, and the call succeeds: it may be
// called whenever OpenPartition says ErrNeedsImport. Killed at any point it
// leaves a directory that is CubeFS's, or Bulkhead's, or refused by both until it
// is called again.
//
// A log that is damaged is refused with ErrDamaged and the range, and nothing is
// changed; InspectCubeFS tells all. ErrStalled, of this and the others that change
// a directory:
// nothing came back from the disk for the stall limit. Nothing more of the call
// begins, and until the kernel lets go the directory is locked, ErrBusy for others,
// and must not be given to CubeFS. Then call again. So it is with ErrBusy where
// moving the files failed, and whether that was taken back durably is not known.
func (e *Engine) ImportCubeFS(config CubeFSConfig) (CubeFSReport, error) {
	path, err := cubefsPath(&config, OpImport)
	if err != nil {
		return CubeFSReport{}, err
	}
	progress, stop := watchProgress(config.Progress)
	out := C.bh_cubefs_import(e.handle, (*C.uint8_t)(bytesPointer(path)), C.uint32_t(len(path)), C.uint64_t(config.ID),
		C.uint64_t(config.KnownIndex), progress)
	stop()
	if err := takeError(out.err); err != nil {
		return CubeFSReport{}, err
	}
	return cubefsReport(&out.report), nil
}

// UndoCubeFSImport makes an imported directory CubeFS's again, with its original
// files. Only as long as nothing has changed since: no append, no vote, no
// commit, no compaction. Otherwise the error is ErrOutOfOrder: use ExportCubeFS.
// So it is with ErrDamaged: the original files, which are read first, are not the
// log that was imported.
func (e *Engine) UndoCubeFSImport(config CubeFSConfig) error {
	path, err := cubefsPath(&config, OpImport)
	if err != nil {
		return err
	}
	return takeError(C.bh_cubefs_undo_import(e.handle, (*C.uint8_t)(bytesPointer(path)), C.uint32_t(len(path)), C.uint64_t(config.ID)))
}

// DiscardCubeFSOriginal removes what an import or an export in place has kept.
// It reads the whole log first, and removes nothing if that is not whole.
func (e *Engine) DiscardCubeFSOriginal(config CubeFSConfig) error {
	path, err := cubefsPath(&config, OpImport)
	if err != nil {
		return err
	}
	return takeError(C.bh_cubefs_discard_original(e.handle, (*C.uint8_t)(bytesPointer(path)), C.uint32_t(len(path)), C.uint64_t(config.ID)))
}

// ExportCubeFS writes a closed partition's log in CubeFS's format to target, a
// directory that does not exist yet. With an empty target it is done in place:
// the directory becomes CubeFS's again, and Bulkhead's files are kept in its
// subdirectory bulkhead-original. As safe against being killed as an import.
func (e *Engine) ExportCubeFS(config CubeFSConfig, target string) (CubeFSReport, error) {
	path, err := cubefsPath(&config, OpExport)
	if err != nil {
		return CubeFSReport{}, err
	}
	if len(target) > math.MaxUint32 {
		return CubeFSReport{}, &Error{Op: OpExport, Partition: config.ID, Code: ErrInvalidArgument, Message: "the target's path is over 4 GiB"}
	}
	to := []byte(target)
	progress, stop := watchProgress(config.Progress)
	out := C.bh_cubefs_export(e.handle, (*C.uint8_t)(bytesPointer(path)), C.uint32_t(len(path)), C.uint64_t(config.ID),
		C.uint64_t(config.KnownIndex), (*C.uint8_t)(bytesPointer(to)), C.uint32_t(len(to)), progress)
	stop()
	if err := takeError(out.err); err != nil {
		return CubeFSReport{}, err
	}
	return cubefsReport(&out.report), nil
}

func cubefsPath(config *CubeFSConfig, op Op) ([]byte, error) {
	maybeGC()
	if len(config.Path) > math.MaxUint32 {
		return nil, &Error{Op: op, Partition: config.ID, Code: ErrInvalidArgument, Message: "the path is over 4 GiB"}
	}
	return []byte(config.Path), nil
}

// watchProgress gives the library a place to count in, and looks at it until
// stop is called.
func watchProgress(tell func(done, total uint64)) (progress *C.bulkhead_progress, stop func()) {
	if tell == nil {
		return nil, func() {}
	}
	progress = (*C.bulkhead_progress)(C.calloc(1, C.sizeof_bulkhead_progress))
	if progress == nil {
		return nil, func() {}
	}
	look := func() {
		done := atomic.LoadUint64((*uint64)(unsafe.Pointer(&progress.done_bytes)))
		if total := atomic.LoadUint64((*uint64)(unsafe.Pointer(&progress.total_bytes))); total > 0 {
			tell(done, total)
		}
	}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				look()
			case <-quit:
				look()
				return
			}
		}
	}()
	return progress, func() {
		close(quit)
		<-ended
		C.free(unsafe.Pointer(progress))
	}
}

func cubefsReport(c *C.bulkhead_cubefs_report) CubeFSReport {
	return CubeFSReport{
		Shape:           CubeFSShape(c.shape),
		Undoable:        c.flags&C.BULKHEAD_CUBEFS_UNDOABLE != 0,
		CubeFSOriginal:  c.flags&C.BULKHEAD_CUBEFS_ORIGINAL_KEPT != 0,
		BulkheadKept:    c.flags&C.BULKHEAD_CUBEFS_BULKHEAD_KEPT != 0,
		Files:           uint64(c.files),
		FileBytes:       uint64(c.file_bytes),
		Entries:         uint64(c.entries),
		Bytes:           uint64(c.bytes),
		FirstIndex:      uint64(c.first_index),
		FirstTerm:       uint64(c.first_term),
		LastIndex:       uint64(c.last_index),
		LastTerm:        uint64(c.last_term),
		CompactionIndex: uint64(c.compaction_index),
		CompactionTerm:  uint64(c.compaction_term),
		HardState:       HardState{uint64(c.term), uint64(c.vote), uint64(c.commit)},
		TornBytes:       uint64(c.torn_bytes),
	}
}

func cubefsFinding(c *C.bulkhead_cubefs_finding) CubeFSFinding {
	return CubeFSFinding{
		Kind:    CubeFSFoundKind(c.kind),
		Damage:  c.damage != 0,
		File:    boundedString(unsafe.Pointer(&c.file[0]), len(c.file)),
		Offset:  uint64(c.offset),
		Range:   Range{uint64(c.first_index), uint64(c.last_index)},
		Term:    uint64(c.term),
		Message: boundedString(unsafe.Pointer(&c.message[0]), len(c.message)),
		CubeFS:  boundedString(unsafe.Pointer(&c.cubefs[0]), len(c.cubefs)),
	}
}
