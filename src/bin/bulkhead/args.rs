//! What can be asked on the command line.

use bulkhead::{Mode, RepairWay};
use clap::{Args as Group, CommandFactory, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const AFTER: &str = "\
Exit codes:
  0  done, and nothing is wrong
  1  damage: a log that is not whole, or one that is not imported for that reason; of a process: a partition is not ReadWrite
  2  the command line is wrong
  3  the system failed: I/O error, no space (also for what is printed), no permission, no answer over HTTP
  4  in use: locked by a process, or changed meanwhile; over HTTP: the library refused
  5  not what the command needs: no log there, another partition's, the target exists, the log has changed since its import, a repair
     that the facts do not allow
  130  ended by Ctrl-C or SIGTERM";

/// Look after the partitions of Bulkhead, a write-ahead log for storage datanodes.
///
/// Commands that only read work on a directory that a process has open, and never disturb it.
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
    /// Say what directories are and how they are, or how a running process is
    #[command(after_help = STATUS_EXAMPLES)]
    Status(Status),
    /// List the segments of partitions
    #[command(after_help = "Example:\n  bulkhead stat /disk/datapartition_7_128849018880/wal_7")]
    Stat(Paths),
    /// Read and check every record, without disturbing who has the directories open
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(Verify),
    /// Print the entries of a partition
    #[command(after_help = "Example:\n  bulkhead dump wal_7 --from 1000 --to 1010 --data 64")]
    Dump(Dump),
    /// Say what can be made of a damaged partition, and make it so
    ///
    /// Without --apply nothing is changed. A repair writes no entry: it is a new root over the segments that are there. What it leaves out is in
    /// `kept/` of the directory afterwards. The partition must be closed.
    #[command(after_help = REPAIR_EXAMPLES)]
    Repair(Repair),
    /// Copy a partition, also one that a process has open, as it is at one moment
    ///
    /// The copy is durable and read back when the command ends; until then it cannot be opened. It is a partition directory like any other.
    #[command(after_help = "Example:\n  bulkhead backup /disk/datapartition_7_128849018880/wal_7 /backup/wal_7")]
    Backup(Backup),
    /// Make CubeFS WAL directories Bulkhead partitions, in place
    ///
    /// CubeFS's files are kept in the subdirectory `cubefs-original`. The raft group must be closed: CubeFS's WAL takes no lock. Cut short at
    /// any moment, the directory is CubeFS's or Bulkhead's, or the next import finishes it. A damaged log is reported and left as it is.
    #[command(
        after_help = "Examples:\n  bulkhead import --check /disk/*/wal_*\n  bulkhead import /disk/datapartition_7_128849018880/wal_7"
    )]
    Import(Import),
    /// Write a partition's log in CubeFS's format
    #[command(after_help = "Example:\n  bulkhead export wal_7 /tmp/wal_7")]
    Export(Export),
    /// Measure appends on a directory's filesystem with the library itself
    ///
    /// All it makes is in one new subdirectory, which is removed at the end, also after Ctrl-C. Nothing else is touched.
    #[command(after_help = "Example:\n  bulkhead bench /disk --mode sync --partitions 1,64")]
    Bench(Bench),
    /// Ask a running process, and give it orders, through the handler of go/admin
    #[command(after_help = CTL_EXAMPLES)]
    Ctl(Ctl),
    /// Print a shell's completions of this command
    #[command(after_help = "Example:\n  bulkhead completions bash > /usr/share/bash-completion/completions/bulkhead")]
    Completions { shell: clap_complete::Shell },
    /// Write the manual pages of this command into a directory
    #[command(after_help = "Example:\n  bulkhead man /usr/local/share/man/man1")]
    Man { directory: PathBuf },
}

/// Ends as any other mistake on the command line does.
pub fn refuse(message: &str) -> ! {
    Args::command().error(clap::error::ErrorKind::ValueValidation, message).exit()
}

const STATUS_EXAMPLES: &str = "\
Examples:
  bulkhead status /disk
  bulkhead status --url http://node:port/bulkhead/admin --watch
  bulkhead status --url http://node:port/metrics --json";

const VERIFY_EXAMPLES: &str = "\
Examples:
  bulkhead verify /disk --state /tmp/verify.state
  bulkhead verify /disk/datapartition_7_128849018880/wal_7 --json";

const REPAIR_EXAMPLES: &str = "\
Examples:
  bulkhead repair wal_7
  bulkhead repair wal_7 --apply cut
  bulkhead repair wal_7 --applied 1200 --apply compact
  bulkhead repair wal_7 --term 31 --apply keep";

const CTL_EXAMPLES: &str = "\
Examples:
  bulkhead ctl --url http://node:port/bulkhead/admin list --faulted
  bulkhead ctl --url http://node:port/bulkhead/admin fence 7 read-only --reason 'disk is to be replaced'
  bulkhead ctl --url http://node:port/bulkhead/admin release 7
  bulkhead ctl --url http://node:port/bulkhead/admin limits heal_limit_ms=500";

#[derive(Group)]
pub struct Status {
    /// Partition directories, or directories that hold some, up to four levels down
    #[arg(required_unless_present = "url", conflicts_with = "url")]
    pub paths: Vec<PathBuf>,
    /// A running process: where it serves metrics, or where the handler of go/admin is mounted
    #[arg(long)]
    pub url: Option<String>,
    /// Show it again every so many seconds, until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2")]
    pub watch: Option<u64>,
}

#[derive(Group)]
pub struct Repair {
    /// Directory of the partition; it must be closed
    pub directory: PathBuf,
    /// Entries up to here the owner has applied, durably: they are not needed any more
    #[arg(long, default_value_t = 0, value_name = "INDEX")]
    pub applied: u64,
    /// The highest term that any member of the group has seen; needed where the root is lost, and the vote with it
    #[arg(long, default_value_t = 0, value_name = "TERM")]
    pub term: u64,
    /// Do it
    #[arg(long, value_name = "WAY")]
    pub apply: Option<Way>,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Way {
    /// All entries stay; the root is made anew
    Keep,
    /// The entries before the damage stay
    Cut,
    /// The entries behind the damage stay
    Compact,
}

impl From<Way> for RepairWay {
    fn from(way: Way) -> RepairWay {
        match way {
            Way::Keep => RepairWay::Keep,
            Way::Cut => RepairWay::Cut,
            Way::Compact => RepairWay::Compact,
        }
    }
}

#[derive(Group)]
pub struct Backup {
    /// Directory of the partition
    pub directory: PathBuf,
    /// Directory for the copy: empty, or to be made
    pub target: PathBuf,
}

#[derive(Group)]
pub struct Bench {
    /// A directory on the disk to measure
    pub directory: PathBuf,
    /// Durability modes
    #[arg(long, value_delimiter = ',', default_value = "sync,interval,none")]
    pub mode: Vec<BenchMode>,
    /// Bytes of an entry
    #[arg(long, value_delimiter = ',', default_value = "4096,65536", value_parser = clap::value_parser!(u64).range(1..=16 << 20))]
    pub size: Vec<u64>,
    /// Partitions that are appended to at the same time
    #[arg(long, value_delimiter = ',', default_value = "1,16", value_parser = clap::value_parser!(u64).range(1..=256))]
    pub partitions: Vec<u64>,
    /// Time of each row
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub seconds: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "give a number of seconds".to_string())?;
    if (0.01..=3600.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("give 0.01 to 3600 seconds".into())
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub enum BenchMode {
    Sync,
    Interval,
    None,
}

impl From<BenchMode> for Mode {
    fn from(mode: BenchMode) -> Mode {
        match mode {
            BenchMode::Sync => Mode::Sync,
            BenchMode::Interval => Mode::Interval,
            BenchMode::None => Mode::None,
        }
    }
}

#[derive(Group)]
pub struct Ctl {
    /// Where the process has mounted the handler of go/admin
    #[arg(long)]
    pub url: String,
    #[command(subcommand)]
    pub command: CtlCommand,
}

#[derive(Subcommand)]
pub enum CtlCommand {
    /// The open partitions
    List {
        /// Only those that are not ReadWrite
        #[arg(long)]
        faulted: bool,
    },
    /// The disks with open partitions
    Disks,
    /// All that is known of one partition
    Show { id: u64 },
    /// The latest events, oldest first
    Events,
    /// Make a partition refuse writes
    Fence {
        id: u64,
        state: FenceState,
        /// What refused calls are told
        #[arg(long, default_value = "by hand")]
        reason: String,
    },
    /// End a fence
    Release { id: u64 },
    /// Try to heal a partition now
    Recover { id: u64 },
    /// Say which limits are in force, of the engine or of a part of it, and change them: NAME=NUMBER in the unit of
    /// its name, NAME=never, NAME=inherit
    Limits {
        /// Of a disk, by its device number as `ls -l /dev` shows it, such as 8:17
        #[arg(long, value_name = "DEVICE", conflicts_with = "partition")]
        disk: Option<String>,
        /// Of a partition
        #[arg(long, value_name = "ID")]
        partition: Option<u64>,
        /// What to change; nothing: only say
        #[arg(value_name = "NAME=VALUE", value_parser = assignment)]
        changes: Vec<(String, serde_json::Value)>,
    },
}

/// A number stays one; everything else is a word.
fn assignment(text: &str) -> Result<(String, serde_json::Value), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, such as heal_limit_ms=500")?;
    let value = value.parse::<u64>().map_or_else(|_| value.into(), serde_json::Value::from);
    Ok((name.to_string(), value))
}

#[derive(Clone, Copy, ValueEnum)]
pub enum FenceState {
    /// Appends are refused
    ReadOnly,
    /// Votes and compaction as well
    Unavailable,
}

impl FenceState {
    pub fn name(self) -> &'static str {
        match self {
            FenceState::ReadOnly => "ReadOnly",
            FenceState::Unavailable => "Unavailable",
        }
    }
}

#[derive(Group)]
pub struct Import {
    /// Directories, such as /disk/datapartition_7_128849018880/wal_7
    #[arg(required = true)]
    pub directories: Vec<PathBuf>,
    /// Partition id, of one directory; otherwise the number that the directory's name ends in
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub id: Option<u64>,
    /// An index that must be in the log (applied, or committed elsewhere), of one directory: a log that ends below it is damaged
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
    /// Directories that are read at the same time; otherwise one per processor, and four at least
    #[arg(long, short)]
    pub jobs: Option<usize>,
    /// Note here what is sound, and after an interruption go on from there; removed at the end
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
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
