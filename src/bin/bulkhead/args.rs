//! What can be asked on the command line.

use clap::{Args as Group, Parser, Subcommand};
use std::path::PathBuf;

const AFTER: &str = "\
Exit codes:
  0  done, and nothing is wrong
  1  damage: a log that is not whole, or one that is not imported for that reason
  2  the command line is wrong
  3  the system failed: I/O error, no space, no permission
  4  in use: locked by a process, or changed meanwhile
  5  not what the command needs: no log there, another partition's, the target exists, the log has changed since its import";

/// Import, export and inspect the directories of Bulkhead partitions, a write-ahead log for storage datanodes.
#[derive(Parser)]
#[command(name = "bulkhead", version, after_help = AFTER)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
    /// Print one JSON object per directory, for programs
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Subcommand)]
pub enum Command {
    /// Make CubeFS WAL directories Bulkhead partitions, in place
    ///
    /// CubeFS's files are kept in the subdirectory `cubefs-original`. The raft group must be closed: CubeFS's WAL takes no lock. Cut short at
    /// any moment, the directory is CubeFS's or Bulkhead's, or the next import finishes it. A damaged log is reported and left as it is.
    Import(Import),
    /// Write a partition's log in CubeFS's format
    Export(Export),
    /// Say what directories are and how they are, without disturbing who has them open
    Status(Paths),
    /// List the segments of partitions
    Stat(Paths),
    /// Read and check every record, without disturbing who has the directories open
    Verify(Verify),
    /// Print the entries of a partition
    Dump(Dump),
}

#[derive(Group)]
pub struct Import {
    /// Directories, such as /disk/datapartition_7_128849018880/wal_7
    #[arg(required = true)]
    pub directories: Vec<PathBuf>,
    /// Partition id; otherwise the number that the directory's name ends in
    #[arg(long)]
    pub id: Option<u64>,
    /// An index that must be in the log (applied, or committed elsewhere): a log that ends below it is damaged
    #[arg(long, default_value_t = 0, value_name = "INDEX")]
    pub known_index: u64,
    /// Only say what an import would find
    #[arg(long, conflicts_with_all = ["undo", "discard_original"])]
    pub check: bool,
    /// Go back to the original files, as long as nothing has changed since the import
    #[arg(long, conflicts_with = "discard_original")]
    pub undo: bool,
    /// Remove the original files that an import or an export has kept, after reading the log in full
    #[arg(long)]
    pub discard_original: bool,
}

#[derive(Group)]
pub struct Export {
    /// Directory of the partition; it must be closed
    pub directory: PathBuf,
    /// Directory to be made
    #[arg(required_unless_present = "in_place", conflicts_with = "in_place")]
    pub target: Option<PathBuf>,
    /// Make the partition's own directory CubeFS's; Bulkhead's files are kept in `bulkhead-original`
    #[arg(long)]
    pub in_place: bool,
}

#[derive(Group)]
pub struct Paths {
    /// Partition directories, or directories that hold some, up to four levels down
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
}

#[derive(Group)]
pub struct Verify {
    #[command(flatten)]
    pub paths: Paths,
    /// Directories that are read at the same time; otherwise one per processor
    #[arg(long, short)]
    pub jobs: Option<usize>,
}

#[derive(Group)]
pub struct Dump {
    /// Directory of the partition
    pub directory: PathBuf,
    /// First index
    #[arg(long, default_value_t = 0, value_name = "INDEX")]
    pub from: u64,
    /// Last index
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true, value_name = "INDEX")]
    pub to: u64,
    /// Bytes of each payload to show
    #[arg(long, default_value_t = 16, value_name = "BYTES")]
    pub data: usize,
}
