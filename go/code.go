package bulkhead

// Code says which of the library's answers an error is. Codes are errors
// themselves: errors.Is(err, bulkhead.ErrGap) holds for every *Error with that
// code. Their numbers are those of the C ABI and are never reused.
type Code int32

// The codes, in the order of bulkhead.h.
const (
	ErrInvalidArgument       Code = 1  // an argument the call cannot take
	ErrInvalidHandle         Code = 2  // never opened
	ErrClosed                Code = 3  // the engine or the partition is closed
	ErrInvalidConfig         Code = 4  // a configuration value out of its range
	ErrNoEntries             Code = 5  // an empty batch
	ErrOutOfOrder            Code = 6  // indexes inside a batch are not consecutive
	ErrGap                   Code = 7  // the batch starts beyond the last entry + 1
	ErrCompacted             Code = 8  // an index at or below the compaction point
	ErrTermRegression        Code = 9  // a term lower than one before it
	ErrEntryTooLarge         Code = 10 // one entry over EngineConfig.MaxEntryBytes
	ErrBatchTooLarge         Code = 11 // a batch over the library's limit
	ErrOutOfRange            Code = 12 // an index beyond the last entry
	ErrCommitOutOfRange      Code = 13 // a commit beyond the last entry, or going back
	ErrBufferTooSmall        Code = 14 // never returned by this package
	ErrNotFound              Code = 15 // the directory, or the one above it, does not exist
	ErrNotADirectory         Code = 16
	ErrSymlink               Code = 17
	ErrPermissionDenied      Code = 18
	ErrAlreadyOpen           Code = 19 // in this process
	ErrLocked                Code = 20 // by another process
	ErrAlreadyExists         Code = 21 // with CreateNew
	ErrForeign               Code = 22 // the directory holds something that is not a Bulkhead log
	ErrVersionTooNew         Code = 23
	ErrWrongPartition        Code = 24 // the directory belongs to another partition id
	ErrDamaged               Code = 25
	ErrNoSpace               Code = 26
	ErrIO                    Code = 27
	ErrReadOnlyFilesystem    Code = 28
	ErrStalled               Code = 29 // the disk did not answer within EngineConfig.StallLimit
	ErrPanic                 Code = 30 // a defect of the library, confined to one partition
	ErrResourceExhausted     Code = 31 // descriptors or memory of the process
	ErrUnsupportedFilesystem Code = 32
	ErrBusy                  Code = 33 // an operation is still in the kernel
	ErrLostEntries           Code = 34 // acknowledged entries are missing after a recovery
	ErrNeedsImport           Code = 35 // a log of CubeFS's own WAL, or an import that was cut short: Engine.ImportCubeFS
	ErrFenced                Code = 36 // taken out of service by hand: Partition.Release
)

// None of these texts may contain Go's text of an errno: CubeFS takes a text
// that contains EIO's, EROFS's or EACCES's for a failed disk.
var codeText = [...]string{
	ErrInvalidArgument:       "invalid argument to the log",
	ErrInvalidHandle:         "unknown handle",
	ErrClosed:                "closed",
	ErrInvalidConfig:         "configuration value out of range",
	ErrNoEntries:             "no entries",
	ErrOutOfOrder:            "entries are not consecutive",
	ErrGap:                   "gap after the last entry",
	ErrCompacted:             "index is compacted",
	ErrTermRegression:        "term goes back",
	ErrEntryTooLarge:         "entry too large",
	ErrBatchTooLarge:         "batch too large",
	ErrOutOfRange:            "index beyond the last entry",
	ErrCommitOutOfRange:      "commit index out of range",
	ErrBufferTooSmall:        "buffer too small",
	ErrNotFound:              "directory not found",
	ErrNotADirectory:         "path is no directory",
	ErrSymlink:               "path is a symbolic link",
	ErrPermissionDenied:      "access to the directory refused",
	ErrAlreadyOpen:           "already open in this process",
	ErrLocked:                "locked by another process",
	ErrAlreadyExists:         "log already there",
	ErrForeign:               "directory holds something else",
	ErrVersionTooNew:         "written by a newer version",
	ErrWrongPartition:        "directory of another partition",
	ErrDamaged:               "log damaged",
	ErrNoSpace:               "no space for the log",
	ErrIO:                    "I/O failed",
	ErrReadOnlyFilesystem:    "filesystem does not take writes",
	ErrStalled:               "disk stalled",
	ErrPanic:                 "internal defect",
	ErrResourceExhausted:     "descriptors or memory of the process used up",
	ErrUnsupportedFilesystem: "filesystem not supported",
	ErrBusy:                  "operation still in the kernel",
	ErrLostEntries:           "acknowledged entries lost",
	ErrNeedsImport:           "directory needs an import",
	ErrFenced:                "fenced by hand",
}

// Error makes a Code usable as an error and with errors.Is.
func (c Code) Error() string {
	if c > 0 && int(c) < len(codeText) && codeText[c] != "" {
		return "bulkhead: " + codeText[c]
	}
	return "bulkhead: unknown status " + itoa(int64(c))
}
