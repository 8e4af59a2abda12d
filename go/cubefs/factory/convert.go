package factory

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
	"github.com/bulkhead-wal/bulkhead/go/cubefs"
	"github.com/bulkhead-wal/bulkhead/go/cubefs/shadow"
)

// declines are the errors of an import that are about this log: it stays with
// CubeFS's WAL, where it has been, and the group runs on; a file that cannot be
// read may be one that the group never reads. Others are about the process, or
// say that somebody else is at the directory (ErrLocked, ErrAlreadyOpen, ErrBusy),
// or what this one has begun (ErrStalled): its files may be about to move.
var declines = []bulkhead.Code{
	bulkhead.ErrDamaged, bulkhead.ErrEntryTooLarge, bulkhead.ErrForeign, bulkhead.ErrNotFound, bulkhead.ErrIO,
	bulkhead.ErrUnsupportedFilesystem, bulkhead.ErrNoSpace,
}

func declined(err error) bool {
	for _, code := range declines {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

// shadowLag is how long an import waits for the shadow of a log that was just closed.
const shadowLag = 2 * time.Second

// imported makes a log of CubeFS's WAL Bulkhead's by running an import; false if it
// stays as it is.
func (l *log) imported(run func() (bulkhead.CubeFSReport, error)) (bool, error) {
	if !shadow.Finished(l.shadowRoot(), l.source.ID, shadowLag) {
		warn(fmt.Sprintf("bulkhead: the log of group %d is not imported, its shadow has not compared all yet; load it again later", l.source.ID))
		return false, nil
	}
	if why := shadow.Blemish(l.shadowRoot(), l.source.ID); why != "" {
		warn(fmt.Sprintf("bulkhead: the log of group %d is not imported, its shadow was not clean: %s", l.source.ID, why))
		return false, nil
	}
	report, err := run()
	if err == nil {
		warn(fmt.Sprintf("bulkhead: the log of group %d is imported, entries %d to %d", l.source.ID, report.FirstIndex, report.LastIndex))
		return true, nil
	}
	if !declined(err) {
		return false, err
	}
	// An import that failed late may have left the directory half Bulkhead's.
	if holds, inspectErr := inspect(l.dir); inspectErr != nil || holds != cubefsLog {
		return false, err
	}
	warn(fmt.Sprintf("bulkhead: the log of group %d is not imported and stays with CubeFS's WAL: %v", l.source.ID, err))
	return false, nil
}

// runImport also finishes, or takes back, what an import or export was kept from.
func (l *log) runImport() (bulkhead.CubeFSReport, error) {
	engine, err := cubefs.SharedEngine()
	if err != nil {
		return bulkhead.CubeFSReport{}, err
	}
	return engine.ImportCubeFS(l.conversion("import"))
}

// settled makes durable that a log is CubeFS's beside which a conversion has left
// something: it may have given META back to CubeFS, or failed to, and not have seen
// that reach the disk. What is written to the log before would go with a power cut
// that brings the exchange of META back.
func (l *log) settled() error {
	if !left(l.dir, "cubefs-import", "cubefs-export") {
		return nil
	}
	engine, err := cubefs.SharedEngine()
	if err == nil {
		// Of CubeFS's log there is nothing to undo: it ends with what all conversions begin with.
		err = engine.UndoCubeFSImport(l.conversion("check"))
	}
	if errors.Is(err, bulkhead.ErrNotFound) || errors.Is(err, bulkhead.ErrForeign) { // names that no conversion leaves
		return nil
	}
	return err
}

// left tells whether one of these is in a directory.
func left(dir string, names ...string) bool {
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// exported makes a log CubeFS's again; false if it stays Bulkhead's.
func (l *log) exported() bool {
	engine, err := cubefs.SharedEngine()
	if err == nil {
		config := l.conversion("export")
		_, err = engine.ExportCubeFS(config, "")
		if errors.Is(err, bulkhead.ErrAlreadyExists) { // of an earlier export; the log has been Bulkhead's since, and has gone on
			if err = engine.DiscardCubeFSOriginal(config); err == nil {
				_, err = engine.ExportCubeFS(config, "")
			}
		}
	}
	if err != nil {
		warn(fmt.Sprintf("bulkhead: the log of group %d is not exported and stays Bulkhead's: %v", l.source.ID, err))
		return false
	}
	warn(fmt.Sprintf("bulkhead: the log of group %d is exported to CubeFS's WAL", l.source.ID))
	return true
}

// discard removes what an earlier conversion has kept. What cannot be removed stays:
// the log is opened in any case.
func (l *log) discard() {
	if !left(l.dir, "cubefs-original", "bulkhead-original") {
		return
	}
	engine, err := cubefs.SharedEngine()
	if err == nil {
		err = engine.DiscardCubeFSOriginal(l.conversion("check"))
	}
	if err != nil {
		warn(fmt.Sprintf("bulkhead: what a conversion of the log of group %d has kept is not discarded: %v", l.source.ID, err))
		return
	}
	warn(fmt.Sprintf("bulkhead: what a conversion of the log of group %d has kept is discarded", l.source.ID))
}

// progressInterval is how often a conversion that takes long says how far it is.
const progressInterval = 5 * time.Second

func (l *log) conversion(what string) bulkhead.CubeFSConfig {
	said := time.Now()
	return bulkhead.CubeFSConfig{Path: l.dir, ID: l.source.ID, KnownIndex: l.config.AppliedIndex,
		Progress: func(done, total uint64) {
			if now := time.Now(); now.Sub(said) >= progressInterval {
				said = now
				warn(fmt.Sprintf("bulkhead: %s of the log of group %d: %d of %d bytes", what, l.source.ID, done, total))
			}
		}}
}
