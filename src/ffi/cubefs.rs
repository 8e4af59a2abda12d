//! CubeFS's own WAL directories: what is in one, import in place, undo, export.

use std::ffi::{c_char, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use super::boundary::boundary;
use super::codes::*;
use super::engine::OpenEngine;
use super::handles;
use super::memory::{self, invalid, OutSlice, OutStruct, Versioned};
use super::partition::{check_path, partition_config};
use super::report_error::copy_text;
use super::types::{bulkhead_engine, bulkhead_error, bulkhead_partition_config};
use crate::cubefs::{Conversion, Exported, Finding, Inspection, Progress, Report};
use crate::{Op, PartitionConfig, Result};

/// What a directory is, and what a CubeFS log in it holds.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct bulkhead_cubefs_report {
    /// sizeof(bulkhead_cubefs_report), set by the caller.
    pub struct_size: u32,
    /// BULKHEAD_CUBEFS_SHAPE_*
    pub shape: u32,
    /// BULKHEAD_CUBEFS_UNDOABLE, BULKHEAD_CUBEFS_ORIGINAL_KEPT, BULKHEAD_CUBEFS_BULKHEAD_KEPT
    pub flags: u32,
    /// What was found in the CubeFS log, and how much of it is damage.
    pub findings: u32,
    pub damages: u32,
    /// Written as 0.
    pub reserved: u32,
    /// CubeFS's log files, read or written, and their bytes.
    pub files: u64,
    pub file_bytes: u64,
    /// Entries above the compaction point, and the bytes of their payloads.
    pub entries: u64,
    pub bytes: u64,
    /// compaction_index + 1
    pub first_index: u64,
    pub first_term: u64,
    /// The last entry, or the compaction point of an empty log.
    pub last_index: u64,
    pub last_term: u64,
    /// Hard state.
    pub term: u64,
    pub vote: u64,
    pub commit: u64,
    pub compaction_index: u64,
    pub compaction_term: u64,
    /// Bytes behind the last entry that are no record: a last write that never finished.
    pub torn_bytes: u64,
}

/// One thing that was found in a CubeFS log.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bulkhead_cubefs_finding {
    /// BULKHEAD_CUBEFS_FOUND_*
    pub kind: u32,
    /// 1: damage, the log is not imported; 0: a note.
    pub damage: u32,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// The entries concerned; 0 and 0 if none.
    pub first_index: u64,
    pub last_index: u64,
    /// The term of the last sound entry before.
    pub term: u64,
    /// The file's name, NUL-terminated, cut if longer.
    pub file: [c_char; 64],
    /// UTF-8, NUL-terminated, cut if longer: what was found.
    pub message: [c_char; 384],
    /// The same: what CubeFS's own WAL does with it.
    pub cubefs: [c_char; 128],
}

/// How far a long call is; written while it runs. Read it from another thread by atomic loads. An import counts what
/// it reads back as well: its total is twice the log's bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct bulkhead_progress {
    pub done_bytes: u64,
    pub total_bytes: u64,
}

/// Says what a directory is, and reads and judges the CubeFS log in it. Changes nothing and takes no lock: the
/// directory may be in use.
///
/// config: path, partition_id and known_index count; an index that is known to be in the log makes a log that ends
/// below it damage. report: receives the result. findings: receives up to capacity findings, the first ones; may be
/// NULL if capacity is 0; report->findings says how many there are, at most 100 of damage and 100 others, and
/// report->damages how many of these are damage, beyond capacity as well. Damage is no error of this call.
///
/// Errors: BULKHEAD_INVALID_ARGUMENT, BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED, BULKHEAD_NOT_FOUND,
/// BULKHEAD_NOT_A_DIRECTORY, BULKHEAD_SYMLINK, BULKHEAD_PERMISSION_DENIED, BULKHEAD_FOREIGN, BULKHEAD_IO_ERROR,
/// BULKHEAD_RESOURCE_EXHAUSTED, BULKHEAD_PANIC.
/// Thread safety: any thread. Takes as long as reading the log does.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_cubefs_inspect(
    engine: bulkhead_engine,
    config: *const bulkhead_partition_config,
    report: *mut bulkhead_cubefs_report,
    findings: *mut bulkhead_cubefs_finding,
    capacity: usize,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(engine(handles::engine(engine)), Op::Import, err, |open| {
        // SAFETY: this function's callers promise null or good pointers.
        let report = unsafe { OutStruct::new(report, "report") }?;
        // SAFETY: as above.
        let mut findings = unsafe { OutSlice::new(findings, capacity, "findings") }?;
        // SAFETY: as above.
        let config = unsafe { partition_config(config) }?;
        let found = conversion(open, &config).inspect()?;
        for (i, finding) in found.report.findings.iter().take(findings.capacity()).enumerate() {
            findings.write(i, &[finding_as_c(finding)]);
        }
        report.write(&report_as_c(&found));
        Ok(())
    })
}

/// Makes a CubeFS directory a Bulkhead partition, in place. CubeFS's files are kept in its subdirectory
/// cubefs-original until bulkhead_cubefs_discard_original. The directory must not be in use; CubeFS's own WAL takes
/// no lock, so that this cannot be checked.
///
/// First finishes or undoes what an earlier call was kept from; a directory that then is Bulkhead's is left as it is,
/// and the call succeeds. Killed at any system call, or by a power cut, it leaves a directory that is CubeFS's as before,
/// or Bulkhead's, or one that CubeFS and bulkhead_partition_open both refuse (BULKHEAD_NEEDS_IMPORT) until this is
/// called again. Needs space for a second copy of the log, and a filesystem that exchanges names (renameat2).
///
/// config: path, partition_id and known_index count. progress: may be NULL; written while the call runs. report: may
/// be NULL; receives what was imported.
///
/// Errors, with the directory as it was, or, if moving the files failed, as one that both refuse until this is called
/// again: BULKHEAD_DAMAGED with the range of entries (bulkhead_cubefs_inspect tells all), or without one if what was
/// written does not read back, BULKHEAD_NOT_FOUND (no log in it), BULKHEAD_ENTRY_TOO_LARGE, BULKHEAD_FOREIGN, BULKHEAD_ALREADY_OPEN,
/// BULKHEAD_LOCKED, BULKHEAD_BUSY (it changed meanwhile; or META is CubeFS's again, and that is perhaps not durable: it
/// must not be given to CubeFS before this has been called again), BULKHEAD_UNSUPPORTED_FILESYSTEM, those of
/// bulkhead_cubefs_inspect, and BULKHEAD_NO_SPACE, BULKHEAD_READ_ONLY_FILESYSTEM. Of faults only bad blocks under what is
/// written are healed here. BULKHEAD_STALLED: nothing came back from the disk for stall_limit_ms; the message says what
/// hangs. Nothing more of this call begins, but the directory stays locked until the kernel lets go: until then it is
/// BULKHEAD_BUSY (BULKHEAD_LOCKED in another engine) and must not be given to CubeFS. Then call again.
/// Thread safety: any thread. Takes about as long as copying the files does.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_cubefs_import(
    engine: bulkhead_engine,
    config: *const bulkhead_partition_config,
    progress: *mut bulkhead_progress,
    report: *mut bulkhead_cubefs_report,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(engine(handles::engine(engine)), Op::Import, err, |open| {
        // SAFETY: this function's callers promise null or good pointers.
        let report = unsafe { optional(report, "report") }?;
        // SAFETY: as above.
        let tell = unsafe { teller(progress) }?;
        // SAFETY: as above.
        let config = unsafe { partition_config(config) }?;
        let found = conversion(open, &config).progress(&tell).import()?;
        if let Some(report) = report {
            report.write(&report_as_c(&found));
        }
        Ok(())
    })
}

/// Makes an imported directory CubeFS's again, with its original files: only as long as nothing has changed since, no
/// append, no vote, no commit, no compaction. Those files are read first: they must be the log that was imported. As
/// safe against being cut short as the import.
///
/// Errors: BULKHEAD_OUT_OF_ORDER (the log has changed: export it), BULKHEAD_DAMAGED (the original files are not what
/// was imported: export the log), BULKHEAD_NOT_FOUND (no import to undo), BULKHEAD_WRONG_PARTITION, and those of
/// bulkhead_cubefs_import.
/// Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_cubefs_undo_import(
    engine: bulkhead_engine,
    config: *const bulkhead_partition_config,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(engine(handles::engine(engine)), Op::Import, err, |open| {
        // SAFETY: this function's callers promise null or a good pointer.
        let config = unsafe { partition_config(config) }?;
        conversion(open, &config).undo_import()
    })
}

/// Removes what an import (cubefs-original) or an export in place (bulkhead-original) has kept. Reads the whole log
/// first: nothing is removed if that is not whole. Afterwards the import cannot be undone.
///
/// Errors: BULKHEAD_NOT_FOUND (nothing is kept), BULKHEAD_DAMAGED, and those of bulkhead_cubefs_import.
/// Thread safety: any thread. Takes as long as reading the log does.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_cubefs_discard_original(
    engine: bulkhead_engine,
    config: *const bulkhead_partition_config,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(engine(handles::engine(engine)), Op::Import, err, |open| {
        // SAFETY: this function's callers promise null or a good pointer.
        let config = unsafe { partition_config(config) }?;
        conversion(open, &config).discard_original()
    })
}

/// Writes a closed partition's log in CubeFS's format.
///
/// target, target_length: a directory that does not exist yet; until it is whole a CubeFS binary refuses it. NULL and 0
/// (not another pointer with 0): in place; the directory becomes CubeFS's again, Bulkhead's files are kept in its
/// subdirectory bulkhead-original, and it is as safe against being cut short as an import. progress and report: as with
/// bulkhead_cubefs_import.
///
/// Errors: BULKHEAD_ALREADY_EXISTS (the target; or bulkhead-original of an earlier export: discard it first),
/// BULKHEAD_NOT_FOUND, BULKHEAD_DAMAGED and the other faults of a log that is not whole, and those of
/// bulkhead_cubefs_import.
/// Thread safety: any thread. Takes about as long as copying the files does.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_cubefs_export(
    engine: bulkhead_engine,
    config: *const bulkhead_partition_config,
    target: *const u8,
    target_length: u32,
    progress: *mut bulkhead_progress,
    report: *mut bulkhead_cubefs_report,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(engine(handles::engine(engine)), Op::Export, err, |open| {
        // SAFETY: this function's callers promise null or good pointers.
        let report = unsafe { optional(report, "report") }?;
        // SAFETY: as above.
        let tell = unsafe { teller(progress) }?;
        // SAFETY: as above.
        let config = unsafe { partition_config(config) }?;
        // SAFETY: as above.
        let target = unsafe { export_target(target, target_length as usize) }?;
        let conversion = conversion(open, &config).progress(&tell);
        let exported = if target.is_empty() {
            conversion.export_in_place()?
        } else {
            conversion.export(&PathBuf::from(OsStr::from_bytes(target)))?
        };
        if let Some(report) = report {
            report.write(&exported_as_c(&exported, target.is_empty()));
        }
        Ok(())
    })
}

/// Empty: in place. A path that happens to be empty is not to change the directory itself.
///
/// # Safety
/// As for `memory::slice`.
unsafe fn export_target<'a>(target: *const u8, length: usize) -> Result<&'a [u8]> {
    if length == 0 && !target.is_null() {
        return Err(invalid("target_length is 0; give the path's length, or NULL as target to export in place".into()));
    }
    // SAFETY: the caller's promise.
    let path = unsafe { memory::slice(target, length, "target") }?;
    if length > 0 {
        check_path(path, "target")?;
    }
    Ok(path)
}

fn conversion<'a>(open: &'a OpenEngine, config: &PartitionConfig) -> Conversion<'a> {
    Conversion::new(&open.engine, &config.path, config.partition_id).known_index(config.known_index)
}

/// # Safety
/// As `OutStruct::new`, or null.
unsafe fn optional<T: Versioned>(pointer: *mut T, name: &str) -> Result<Option<OutStruct<T>>> {
    // SAFETY: the caller's promise.
    (!pointer.is_null()).then(|| unsafe { OutStruct::new(pointer, name) }).transpose()
}

/// # Safety
/// `progress` is null, or a good pointer for as long as the result is used.
unsafe fn teller<'a>(progress: *mut bulkhead_progress) -> Result<impl Fn(Progress) + 'a> {
    if progress as usize % std::mem::align_of::<bulkhead_progress>() != 0 {
        return Err(invalid("progress is not aligned; pass the address of a bulkhead_progress".into()));
    }
    // SAFETY: not null and aligned; the caller promises that it is there, and that others read it by atomic loads only.
    let cells = (!progress.is_null()).then(|| unsafe {
        let (done, total) =
            (std::ptr::addr_of_mut!((*progress).done_bytes), std::ptr::addr_of_mut!((*progress).total_bytes));
        (AtomicU64::from_ptr(done), AtomicU64::from_ptr(total))
    });
    Ok(move |now: Progress| {
        if let Some((done, total)) = cells {
            total.store(now.total_bytes, Ordering::Relaxed);
            done.store(now.done_bytes, Ordering::Relaxed);
        }
    })
}

fn report_as_c(found: &Inspection) -> bulkhead_cubefs_report {
    let Report { files, file_bytes, entries, bytes, .. } = found.report;
    let report = &found.report;
    let flag = |set: bool, flag: u32| if set { flag } else { 0 };
    bulkhead_cubefs_report {
        struct_size: 0,
        shape: found.shape as u32,
        flags: flag(found.undoable, BULKHEAD_CUBEFS_UNDOABLE)
            | flag(found.cubefs_original, BULKHEAD_CUBEFS_ORIGINAL_KEPT)
            | flag(found.bulkhead_original, BULKHEAD_CUBEFS_BULKHEAD_KEPT),
        findings: report.findings.len() as u32,
        damages: report.findings.iter().filter(|f| f.damage).count() as u32,
        reserved: 0,
        files,
        file_bytes,
        entries,
        bytes,
        first_index: report.first_index,
        first_term: report.first_term,
        last_index: report.last_index,
        last_term: report.last_term,
        term: report.hard_state.term,
        vote: report.hard_state.vote,
        commit: report.hard_state.commit,
        compaction_index: report.compaction_index,
        compaction_term: report.compaction_term,
        torn_bytes: report.torn_bytes,
    }
}

fn exported_as_c(exported: &Exported, in_place: bool) -> bulkhead_cubefs_report {
    bulkhead_cubefs_report {
        shape: if in_place { BULKHEAD_CUBEFS_SHAPE_CUBEFS } else { BULKHEAD_CUBEFS_SHAPE_BULKHEAD },
        files: exported.files,
        file_bytes: exported.file_bytes,
        entries: exported.entries,
        first_index: exported.first_index,
        last_index: exported.last_index,
        ..bulkhead_cubefs_report::default()
    }
}

fn finding_as_c(finding: &Finding) -> bulkhead_cubefs_finding {
    bulkhead_cubefs_finding {
        kind: finding.kind as u32,
        damage: u32::from(finding.damage),
        offset: finding.offset,
        first_index: finding.range.0,
        last_index: finding.range.1,
        term: finding.term,
        file: text(&finding.file),
        message: text(&finding.message),
        cubefs: text(finding.cubefs),
    }
}

fn text<const N: usize>(from: &str) -> [c_char; N] {
    let mut to = [0; N];
    copy_text(&mut to, from.as_bytes());
    to
}

// SAFETY: repr(C), starts with struct_size and consists of integers only.
unsafe impl Versioned for bulkhead_cubefs_report {
    const NAME: &'static str = "bulkhead_cubefs_report";
    const FIRST_BYTES: usize = 136;
}

// A layout that moved without notice would break every program already built.
const _: () = {
    use std::mem::size_of;
    assert!(size_of::<bulkhead_cubefs_report>() == bulkhead_cubefs_report::FIRST_BYTES);
    assert!(size_of::<bulkhead_cubefs_finding>() == 616);
    assert!(size_of::<bulkhead_progress>() == 16);
};
