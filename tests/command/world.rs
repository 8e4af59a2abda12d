//! A directory to work in, CubeFS logs in it, and the command.

use bulkhead::cubefs::{Conversion, Shape};
use bulkhead::format::cubefs::{encode_seal, Entry, IndexItem, LogName, Meta};
use bulkhead::io::real::RealStorage;
use bulkhead::{Engine, EngineConfig, Survey};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

pub struct World {
    dir: tempfile::TempDir,
}

pub struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// A process that does nothing, until it is dropped.
pub struct Stopped(String);

impl Stopped {
    pub fn begin(pid: u32) -> Stopped {
        let stopped = Stopped(pid.to_string());
        stopped.signal("-STOP");
        // It stops when it comes to it, or has ended.
        let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        while !state().rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 'Z'])) {
            std::thread::yield_now();
        }
        stopped
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.0]).status().unwrap().success());
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.signal("-CONT");
    }
}

pub struct Run {
    what: String,
    exit: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl World {
    pub fn new() -> World {
        World { dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Entries 11 to 40 in three files, compacted up to 10; returns the files.
    pub fn cubefs(&self, name: &str) -> Vec<PathBuf> {
        let dir = self.path(name);
        std::fs::create_dir(&dir).unwrap();
        let meta = Meta { term: 5, commit: 38, vote: 3, compaction_index: 10, compaction_term: 2 };
        std::fs::write(dir.join("META"), meta.encode()).unwrap();
        let mut files = Vec::new();
        for (i, indexes) in [11..=20u64, 21..=30, 31..=40].into_iter().enumerate() {
            let (mut bytes, mut items) = (Vec::new(), Vec::new());
            let path = dir.join(LogName { sequence: 4 + i as u64, first: *indexes.start() }.to_string());
            for index in indexes {
                let term = 2 + index / 15;
                items.push(IndexItem { index, term, offset: bytes.len() as u32 });
                let data = vec![index as u8; 10 * index as usize];
                Entry { kind: (index % 7 == 0) as u8, term, index, data: &data }.encode_record(&mut bytes);
            }
            if i < 2 {
                encode_seal(&items, bytes.len() as u64, &mut bytes);
            }
            std::fs::write(&path, bytes).unwrap();
            files.push(path);
        }
        files
    }

    /// Entries 1 to `last` of 2,000 bytes, one file.
    pub fn large_cubefs(&self, name: &str, last: u64) {
        let dir = self.path(name);
        std::fs::create_dir(&dir).unwrap();
        let meta = Meta { term: 3, commit: last, vote: 1, compaction_index: 0, compaction_term: 0 };
        std::fs::write(dir.join("META"), meta.encode()).unwrap();
        let mut bytes = Vec::new();
        for index in 1..=last {
            Entry { kind: 0, term: 3, index, data: &[index as u8; 2000] }.encode_record(&mut bytes);
        }
        std::fs::write(dir.join(LogName { sequence: 1, first: 1 }.to_string()), bytes).unwrap();
    }

    /// Starts the command and kills it after a while.
    pub fn kill(&self, args: &str, after: Duration) {
        let mut command = self.command(args);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(after);
        let _ = child.kill();
        child.wait().unwrap();
    }

    /// Whoever may open the directory finds the whole log in it.
    pub fn check_large(&self, name: &str, last: u64) -> Shape {
        let engine = Engine::open(EngineConfig::default()).unwrap();
        let conversion = Conversion::new(&engine, self.path(name), name[4..].parse().unwrap());
        let shape = conversion.shape().unwrap();
        match shape {
            Shape::Cubefs => {
                let report = conversion.inspect().unwrap().report;
                assert_eq!((report.entries, report.last_index, report.findings), (last, last, Vec::new()));
            }
            Shape::Bulkhead => {
                let survey = Survey::of(&RealStorage, &self.path(name)).unwrap();
                let mut entries = 0;
                let bad = survey.read(1, last, &mut |index, _, _, data| {
                    entries += 1;
                    data == [index as u8; 2000]
                });
                assert_eq!((entries, bad), (last, Ok(Vec::new())));
            }
            Shape::Importing | Shape::Exporting => {
                assert!(self.path(name).join("META").is_dir(), "CubeFS would open it")
            }
            Shape::Empty | Shape::Unknown => panic!("{name} is {shape:?}"),
        }
        shape
    }

    pub fn tree(&self, name: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = std::fs::read_dir(self.path(name)).unwrap().flatten().map(|e| e.path());
        files.map(|f| (f.clone(), std::fs::read(&f).unwrap_or_default())).collect()
    }

    /// Flips a bit of the first place in a file that holds these bytes.
    pub fn flip(&self, name: &str, pattern: &[u8]) {
        let mut bytes = std::fs::read(self.path(name)).unwrap();
        let at = bytes.windows(pattern.len()).position(|w| w == pattern).expect("the bytes are there");
        bytes[at] ^= 1;
        std::fs::write(self.path(name), &bytes).unwrap();
    }

    pub fn names(&self, name: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(name)).unwrap().flatten();
        let mut names: Vec<String> = entries.map(|e| e.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Starts the command and sends it SIGINT after a while. What it ended with, and its stderr.
    pub fn interrupt(&self, args: &str, after: Duration) -> (Option<i32>, String) {
        let child = self.command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(after);
        let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    /// What a test cannot be done without is not there: it is left out, and said; in CI that is a failure.
    pub fn leave_out(&self, what: &str) {
        assert!(std::env::var_os("CI").is_none(), "in CI a skip is a failure: {what}");
        eprintln!("skipped: {what}");
    }

    /// A filesystem of so many MiB, mounted at `name`, until it is dropped; none for who is not root.
    pub fn small_disk(&self, name: &str, mib: u64) -> Option<Mounted> {
        let (image, at) = (self.path("image"), self.path(name));
        std::fs::File::create(&image).unwrap().set_len((mib + 4) << 20).unwrap();
        std::fs::create_dir(&at).unwrap();
        let run =
            |program: &str, args: &[&str]| Command::new(program).args(args).output().is_ok_and(|o| o.status.success());
        let (image, path) = (image.to_str()?, at.to_str()?);
        let made = run("mkfs.ext4", &["-q", "-F", "-m", "0", image]) && run("mount", &["-o", "loop", image, path]);
        if !made {
            return None;
        }
        std::fs::remove_dir(at.join("lost+found")).unwrap();
        Some(Mounted(at))
    }

    pub fn deny(&self, name: &str) {
        std::fs::set_permissions(self.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o000)).unwrap();
    }

    pub fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bulkhead"));
        command.args(args.split(' ')).current_dir(self.dir.path());
        command
    }

    fn done(&self, args: &str, output: Output) -> Run {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Run { what: args.into(), exit: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    pub fn run(&self, args: &str) -> Run {
        self.done(args, self.command(args).output().unwrap())
    }

    /// As a user who is not root; as the one who runs the tests if that is not root. `None` if the command cannot be reached that way.
    pub fn run_as_nobody(&self, args: &str) -> Option<Run> {
        const NOBODY: u32 = 65_534;
        const ETXTBSY: i32 = 26;
        let mut command = self.command(args);
        if std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0) {
            let copy = self.path("bulkhead");
            if !copy.exists() {
                std::fs::copy(env!("CARGO_BIN_EXE_bulkhead"), &copy).unwrap();
            }
            command = Command::new(copy);
            command.args(args.split(' ')).current_dir(self.dir.path()).uid(NOBODY).gid(NOBODY);
        }
        loop {
            match command.output() {
                // A child of another test's, between its fork and its exec, has the copy open for writing still.
                Err(e) if e.raw_os_error() == Some(ETXTBSY) => std::thread::sleep(Duration::from_millis(10)),
                output => return Some(self.done(args, output.ok()?)),
            }
        }
    }
}

impl Run {
    pub fn code(self, want: i32) -> Run {
        assert_eq!(self.exit, Some(want), "bulkhead {}\n{}{}", self.what, self.stdout, self.stderr);
        self
    }

    /// Compares what was printed, times aside.
    pub fn golden(self, name: &str) -> Run {
        let text = format!("$ bulkhead {}\n{}{}", self.what, self.stdout, self.stderr);
        let text = text.lines().map(without_times).collect::<Vec<_>>().join("\n") + "\n";
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/command/golden").join(format!("{name}.txt"));
        if std::env::var_os("BULKHEAD_BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let want = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            text,
            want,
            "{}; if the change is meant: BULKHEAD_BLESS=1 cargo test -p bulkhead-command",
            path.display()
        );
        self
    }
}

/// `1.2 s` at the end of a line says how long it took. Whether housekeeping came in between shows in numbers of records and roots.
fn without_times(line: &str) -> String {
    if let Some((before, _)) = line.split_once("kept: kept/repair-") {
        return format!("{before}kept: NAMES");
    }
    if let Some((before, after)) = line.split_once("up to lsn ") {
        let rest = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == ',');
        return format!("{before}up to lsn N{rest}");
    }
    match line.rsplit_once(", ") {
        Some((before, time)) if time.ends_with(" s") && time.len() < 10 => format!("{before}, T s"),
        _ => line.to_string(),
    }
}
