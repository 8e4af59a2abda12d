//! F29: any sequence of calls through the C ABI, with handles that are open, closed or invented and arguments that fit or do not.
//! Every call is a status, writes nothing when it fails, and never more than there is room for; what is read is what was written.
#![no_main]

use std::ffi::{c_void, CStr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;

use bulkhead::ffi::*;
use bulkhead_fuzz::c_side::{check, Room, Sized};
use bulkhead_fuzz::input::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let two_threads = input.u8() % 4 == 0;
    let world = World::new();
    world.open_engine(&mut Input::new(&[]));
    let rest = input.rest();
    if two_threads {
        let (mine, other) = rest.split_at(rest.len() / 2);
        std::thread::scope(|scope| {
            scope.spawn(|| world.run(other, false));
            world.run(mine, false);
        });
    } else {
        world.run(rest, true);
    }
});

/// Handles that there ever were, for any thread to use.
struct World {
    directory: PathBuf,
    engines: Mutex<Vec<u64>>,
    partitions: Mutex<Vec<u64>>,
    /// By engine: what its log hook is given.
    hooks: Mutex<Vec<(u64, Box<u64>)>>,
}

impl World {
    fn new() -> World {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let directory = base.join(format!("bulkhead-fuzz-{}-{run}", std::process::id()));
        std::fs::create_dir(&directory).expect("a directory for the run");
        World { directory, engines: Mutex::default(), partitions: Mutex::default(), hooks: Mutex::default() }
    }

    fn run(&self, steps: &[u8], alone: bool) {
        let mut input = Input::new(steps);
        for _ in 0..64 {
            if input.is_empty() {
                return;
            }
            self.step(&mut input, alone);
        }
    }

    /// A handle from the list, or something near it.
    fn pick(&self, list: &Mutex<Vec<u64>>, input: &mut Input<'_>) -> u64 {
        let list = list.lock().unwrap();
        let known = list.get(input.below(list.len())).copied().unwrap_or(0);
        match input.u8() {
            0..=209 => list.last().copied().unwrap_or(0),
            210..=239 => known,
            240..=247 => known ^ 1 << (input.u8() % 64),
            _ => input.u64(),
        }
    }

    fn step(&self, input: &mut Input<'_>, alone: bool) {
        match input.u8() % 29 {
            0 => self.open_engine(input),
            1 | 2 => self.open_partition(input),
            3 => self.close(input),
            4..=9 => self.append(input, alone),
            10..=13 => self.read(input),
            14 => self.queues(input),
            15 => self.state(input),
            16 => self.hard_state(input),
            17 => self.plain("compact", input, |p, n, _, e| unsafe { bulkhead_compact(p, n, e) }),
            18 => self.plain("reset", input, |p, n, m, e| unsafe { bulkhead_reset(p, n, m, e) }),
            19 => self.plain("sync", input, |p, _, _, e| unsafe { bulkhead_sync(p, e) }),
            20 => self.plain("recover", input, |p, _, _, e| unsafe { bulkhead_recover(p, e) }),
            21 => self.term(input),
            22 => self.verify(input),
            23 => self.plain("fence", input, |p, state, length, e| {
                let reason = [b'a', 0xff, 0, b'z'];
                unsafe { bulkhead_fence(p, state as u32, reason.as_ptr().cast(), (length % 5) as usize, e) }
            }),
            24 => self.plain("release", input, |p, _, _, e| unsafe { bulkhead_release(p, e) }),
            25 => self.metrics(input),
            26 => self.limits(input),
            27 => self.log_hook(input),
            _ => drop(bulkhead_status_name(input.u64() as i32)),
        }
    }

    fn open_engine(&self, input: &mut Input<'_>) {
        let given = size::<bulkhead_engine_config>(input);
        let mut config = Sized::new(given, true);
        if given as usize >= std::mem::size_of::<bulkhead_engine_config>() {
            // SAFETY: there is room for it.
            let fields = unsafe { &mut *config.pointer::<bulkhead_engine_config>() };
            fields.max_entry_bytes = [0, 1, 5000, u32::MAX][input.below(4)];
            fields.segment_min_bytes = [65_536, 0, 65_535, u32::MAX][input.below(4)];
            fields.segment_max_bytes = [65_536, 0, 1 << 20, 65_535][input.below(4)];
            fields.interval_ms = [1, 0, 60_001][input.below(3)];
            fields.flush_threads_per_disk = [1, 2, 65][input.below(3)];
            fields.stall_limit_ms = [0, 100, 99, 600_001][input.below(4)];
            fields.heal_limit_ms = [0, BULKHEAD_NEVER, 1, 60_001][input.below(4)];
            fields.space_wait_ms = [1, BULKHEAD_NEVER, 60_001][input.below(3)];
            fields.probe_ms = [0, 1, BULKHEAD_NEVER, 60_001][input.below(4)];
            fields.slow_disk_ms = [0, 1, BULKHEAD_NEVER, 600_001][input.below(4)];
            fields.idle_check_ms = [0, 1, BULKHEAD_NEVER, 60_001][input.below(4)];
            fields.reserved_2 = u32::from(input.u8() > 250);
            fields.reserved = u32::from(input.u8() > 250);
            fields.read_cache_bytes = u64::from(input.u16());
        }
        let null = input.u8() > 230;
        let pointer = if null { std::ptr::null() } else { config.pointer() };
        let mut out = Room::new(usize::from(input.u8() <= 250), 7u64);
        let (mut err, valid) = error(input);
        // SAFETY: here and below, pointers are null or to memory of the size that is said.
        let status = unsafe { bulkhead_engine_open(pointer, out.pointer(), err.pointer()) };
        check("engine_open", status, &mut err, valid);
        match status {
            BULKHEAD_OK => self.engines.lock().unwrap().push(out.get()[0]),
            _ => assert!(out.get().iter().all(|n| *n == 7)),
        }
    }

    fn open_partition(&self, input: &mut Input<'_>) {
        let engine = self.pick(&self.engines, input);
        let place = input.below(3);
        let path = self.directory.join(place.to_string());
        let path: Box<[u8]> = path.to_str().expect("a plain path").as_bytes().into();
        let given = size::<bulkhead_partition_config>(input);
        let mut config = Sized::new(given, true);
        if given as usize >= std::mem::size_of::<bulkhead_partition_config>() {
            // SAFETY: there is room for it.
            let fields = unsafe { &mut *config.pointer::<bulkhead_partition_config>() };
            fields.mode = [1, 1, 2, 3, 0, 9][input.below(6)];
            fields.disposition = [0, 0, 0, 1, 2, 3][input.below(6)];
            fields.path = path.as_ptr();
            fields.path_length = path.len() as u32 - u32::from(input.u8() > 250);
            fields.partition_id = place as u64 + u64::from(input.u8() > 250);
            fields.known_index = if input.u8() > 240 { input.value(3) } else { 0 };
        }
        let mut out = Room::new(1, 7u64);
        let (mut err, valid) = error(input);
        let status = unsafe { bulkhead_partition_open(engine, config.pointer(), out.pointer(), err.pointer()) };
        check("partition_open", status, &mut err, valid);
        match status {
            BULKHEAD_OK => self.partitions.lock().unwrap().push(out.get()[0]),
            _ => assert_eq!(out.get()[0], 7),
        }
    }

    fn close(&self, input: &mut Input<'_>) {
        let (mut err, valid) = error(input);
        let status = if input.u8() < 220 {
            unsafe { bulkhead_partition_close(self.pick(&self.partitions, input), err.pointer()) }
        } else {
            unsafe { bulkhead_engine_close(self.pick(&self.engines, input), err.pointer()) }
        };
        check("close", status, &mut err, valid);
    }

    fn append(&self, input: &mut Input<'_>, alone: bool) {
        let partition = self.pick(&self.partitions, input);
        let last = bounds(partition).map_or(0, |b| b.1);
        let mut index = if input.u8() < 200 { last.wrapping_add(1) } else { input.value(last) };
        let mut term = if input.u8() < 200 { 1 } else { input.value(1) };
        let count = [1, 1, 1, 2, 3, 70, 0][input.below(7)];
        let packed = input.below(3);
        let mut data: Vec<Box<[u8]>> = Vec::new();
        let mut entries = Room::new(count, EMPTY);
        for i in 0..count {
            let length = [0, 1, 7, 300, 5001, 9000][input.below(if count > 3 { 4 } else { 6 })];
            data.push(vec![byte(index, term); length].into());
            let kind = if input.u8() > 252 { 256 } else { index as u32 & 0xff };
            // SAFETY: inside of the room.
            unsafe {
                entries.pointer().add(i).write(bulkhead_entry {
                    index,
                    term,
                    data: data[i].as_ptr(),
                    length: length as u32,
                    kind,
                })
            };
            index = if input.u8() > 252 { input.value(index) } else { index.wrapping_add(1) };
            term = if input.u8() > 250 { input.value(term) } else { term };
        }
        let all: Box<[u8]> = data.concat().into();
        let said = all.len() - usize::from(input.u8() > 250 && !all.is_empty());
        let (mut err, valid) = error(input);
        let (list, token) = (entries.pointer(), input.u64());
        let status = unsafe {
            match packed {
                0 => bulkhead_append(partition, list, count, err.pointer()),
                1 => bulkhead_append_packed(partition, list, count, all.as_ptr(), said, err.pointer()),
                _ => bulkhead_submit_packed(partition, list, count, all.as_ptr(), said, token, err.pointer()),
            }
        };
        check("append", status, &mut err, valid);
        if status == BULKHEAD_OK && alone {
            let last = entries.get().last().expect("an empty batch is refused").index;
            assert_eq!(bounds(partition).map(|b| b.1), Some(last), "the last entry after an append");
        }
    }

    fn read(&self, input: &mut Input<'_>) {
        let partition = self.pick(&self.partitions, input);
        let (first, last) = bounds(partition).unwrap_or((1, 0));
        let lo = if input.u8() < 180 { first } else { input.value(last) };
        let hi = if input.u8() < 180 { last.wrapping_add(1) } else { input.value(lo) };
        let most = [u64::MAX, 0, 1, 4096][input.below(4)];
        let mut headers = Room::new([8, 100, 1, 0][input.below(4)], bulkhead_entry_header::default());
        let mut data = Room::new([9000, 64, 1 << 17, 0, 1][input.below(5)], 0xa5u8);
        let given = size::<bulkhead_read_result>(input);
        let mut result = Sized::new(given, false);
        let (mut err, valid) = error(input);
        let (capacity, room) = (headers.get().len(), data.get().len());
        let status = unsafe {
            bulkhead_read(
                partition,
                lo,
                hi,
                most,
                headers.pointer(),
                capacity,
                data.pointer(),
                room,
                result.pointer(),
                err.pointer(),
            )
        };
        check("read", status, &mut err, valid);
        if status == BULKHEAD_BUFFER_TOO_SMALL {
            return;
        }
        if status != BULKHEAD_OK {
            return assert!(result.untouched() && data.get().iter().all(|b| *b == 0xa5), "a failed read wrote");
        }
        // SAFETY: a read that succeeds has found a result of the right size.
        let result: bulkhead_read_result = unsafe { result.pointer::<bulkhead_read_result>().read() };
        let mut at = 0;
        for (i, header) in headers.get()[..result.count as usize].iter().enumerate() {
            assert_eq!((header.index, header.kind), (lo + i as u64, header.index as u32 & 0xff));
            let payload = &data.get()[at..at + header.length as usize];
            assert!(payload.iter().all(|b| *b == byte(header.index, header.term)), "another entry's data");
            at += payload.len();
        }
        assert_eq!(at as u64, result.data_bytes);
    }

    fn queues(&self, input: &mut Input<'_>) {
        let engine = self.pick(&self.engines, input);
        let capacity = [4, 1, 0, 1000][input.below(4)];
        let mut events = Room::new(capacity, bulkhead_event::default());
        let mut completions = Room::new(capacity, bulkhead_completion::default());
        let (mut count, mut fd) = (usize::MAX, 77);
        let (mut err, valid) = error(input);
        let (what, status) = match input.below(4) {
            0 => ("events", unsafe {
                bulkhead_engine_events(engine, events.pointer(), capacity, &mut count, err.pointer())
            }),
            1 => ("completions", unsafe {
                bulkhead_engine_completions(engine, completions.pointer(), capacity, &mut count, err.pointer())
            }),
            2 => ("event_fd", unsafe { bulkhead_engine_event_fd(engine, &mut fd, err.pointer()) }),
            _ => ("completion_fd", unsafe { bulkhead_engine_completion_fd(engine, &mut fd, err.pointer()) }),
        };
        check(what, status, &mut err, valid);
        assert!(count == usize::MAX || (status == BULKHEAD_OK && count <= capacity), "{what}");
        if what == "events" && status == BULKHEAD_OK {
            events.get().iter().take(count).for_each(|event| event_limits(engine, event));
        }
        assert!(fd == 77 || status == BULKHEAD_OK, "{what}");
    }

    fn metrics(&self, input: &mut Input<'_>) {
        let engine = self.pick(&self.engines, input);
        let capacity = [0, 1, 4096, 1 << 18][input.below(4)];
        let mut text = Room::new(capacity, 0x55u8);
        let mut needed = 0;
        let (mut err, valid) = error(input);
        let buffer = text.pointer().cast();
        let status = unsafe { bulkhead_metrics_text(engine, buffer, capacity, &mut needed, err.pointer()) };
        check("metrics_text", status, &mut err, valid);
        assert!(status == BULKHEAD_OK || text.get().iter().all(|b| *b == 0x55), "a failed metrics_text wrote");
        assert!(status != BULKHEAD_OK || text.get().get(needed - 1) == Some(&0), "metrics_text: no NUL where it says");
    }

    /// What a hook is given is freed as soon as the call says that it has ended.
    fn log_hook(&self, input: &mut Input<'_>) {
        let engine = self.pick(&self.engines, input);
        let user = (input.u8() % 4 != 0).then(|| Box::new(engine));
        let given = user.as_deref().map_or(std::ptr::null(), |engine| engine as *const u64).cast_mut().cast();
        let hook = user.is_some().then_some(hook as unsafe extern "C" fn(_, _));
        let (mut err, valid) = error(input);
        let mut hooks = self.hooks.lock().unwrap();
        let status = unsafe { bulkhead_engine_set_log_hook(engine, hook, given, err.pointer()) };
        check("engine_set_log_hook", status, &mut err, valid);
        if status == BULKHEAD_OK {
            hooks.retain(|(of, _)| *of != engine);
            hooks.extend(user.map(|user| (engine, user)));
        }
    }

    fn limits(&self, input: &mut Input<'_>) {
        let (engine, partition) = (self.pick(&self.engines, input), self.pick(&self.partitions, input));
        let device = [0, 1, input.u64()][input.below(3)];
        let capacity = [0, 1, 16][input.below(3)];
        let mut limits = Room::new(capacity, bulkhead_limit::default());
        // SAFETY: inside of the room.
        (0..capacity).for_each(|i| unsafe {
            let value =
                [0, 1, 100, 5000, 65_536, u64::from(BULKHEAD_NEVER), BULKHEAD_INHERIT, u64::MAX][input.below(8)];
            let limit = u32::from(input.u8() % 16);
            limits.pointer().add(i).write(bulkhead_limit { limit, value, ..bulkhead_limit::default() });
        });
        let mut disks = Room::new(capacity, bulkhead_disk { device: 7, partitions: 7, mount: [7; 256] });
        let mut count = usize::MAX;
        let (mut err, valid) = error(input);
        let (list, e) = (limits.pointer(), err.pointer());
        let (what, status) = unsafe {
            match input.below(7) {
                0 => ("engine_set_limits", bulkhead_engine_set_limits(engine, list, capacity, e)),
                1 => ("disk_set_limits", bulkhead_disk_set_limits(engine, device, list, capacity, e)),
                2 => ("set_limits", bulkhead_set_limits(partition, list, capacity, e)),
                3 => ("engine_get_limits", bulkhead_engine_get_limits(engine, list, capacity, &mut count, e)),
                4 => ("disk_get_limits", bulkhead_disk_get_limits(engine, device, list, capacity, &mut count, e)),
                5 => ("get_limits", bulkhead_get_limits(partition, list, capacity, &mut count, e)),
                _ => ("engine_disks", bulkhead_engine_disks(engine, disks.pointer(), capacity, &mut count, e)),
            }
        };
        check(what, status, &mut err, valid);
        assert!(count == usize::MAX || status == BULKHEAD_OK, "a failed {what} wrote");
        assert!(status == BULKHEAD_OK || disks.get().iter().all(|d| d.device == 7), "a failed {what} wrote");
        let _ = bulkhead_limit_name(input.u64() as u32);
    }

    fn state(&self, input: &mut Input<'_>) {
        let partition = self.pick(&self.partitions, input);
        let mut out = Sized::new(size::<bulkhead_partition_status>(input), false);
        let (mut err, valid) = error(input);
        let status = unsafe { bulkhead_get_status(partition, out.pointer(), err.pointer()) };
        check("get_status", status, &mut err, valid);
        assert!(status == BULKHEAD_OK || out.untouched(), "a failed get_status wrote");
        let mut fault = Sized::new(size::<bulkhead_error>(input), false);
        let status = unsafe { bulkhead_last_fault(partition, fault.pointer()) };
        assert!((BULKHEAD_OK..=BULKHEAD_LOST_ENTRIES).contains(&status) && status != BULKHEAD_PANIC);
    }

    fn hard_state(&self, input: &mut Input<'_>) {
        let partition = self.pick(&self.partitions, input);
        let (mut err, valid) = error(input);
        let mut now = Room::new(1, bulkhead_hard_state { term: 99, vote: 99, commit: 99 });
        let status = unsafe { bulkhead_get_hard_state(partition, now.pointer(), err.pointer()) };
        check("get_hard_state", status, &mut err, valid);
        assert!(status == BULKHEAD_OK || now.get()[0].vote == 99);
        let was = now.get()[0];
        let wish =
            bulkhead_hard_state { term: input.value(was.term), vote: input.u64(), commit: input.value(was.commit) };
        let null = input.u8() > 250;
        let (mut err, valid) = error(input);
        let status =
            unsafe { bulkhead_set_hard_state(partition, if null { std::ptr::null() } else { &wish }, err.pointer()) };
        check("set_hard_state", status, &mut err, valid);
    }

    fn plain(
        &self,
        what: &str,
        input: &mut Input<'_>,
        call: fn(u64, u64, u64, *mut bulkhead_error) -> bulkhead_status,
    ) {
        let partition = self.pick(&self.partitions, input);
        let last = bounds(partition).map_or(0, |b| b.1);
        let (index, term) = (input.value(last), input.value(1));
        let (mut err, valid) = error(input);
        let status = call(partition, index, term, err.pointer());
        check(what, status, &mut err, valid);
    }

    fn term(&self, input: &mut Input<'_>) {
        let partition = self.pick(&self.partitions, input);
        let index = input.value(bounds(partition).map_or(0, |b| b.1));
        let mut out = Room::new(usize::from(input.u8() <= 250), 99u64);
        let (mut err, valid) = error(input);
        let status = unsafe { bulkhead_term(partition, index, out.pointer(), err.pointer()) };
        check("term", status, &mut err, valid);
        assert!(status == BULKHEAD_OK || out.get().iter().all(|n| *n == 99));
    }

    fn verify(&self, input: &mut Input<'_>) {
        let partition = self.pick(&self.partitions, input);
        let mut out = Sized::new(size::<bulkhead_verify_report>(input), false);
        let (mut err, valid) = error(input);
        let status = unsafe { bulkhead_verify(partition, out.pointer(), err.pointer()) };
        check("verify", status, &mut err, valid);
        assert!(status == BULKHEAD_OK || out.untouched(), "a failed verify wrote");
        if status == BULKHEAD_OK {
            // SAFETY: a verify that succeeds has found a report of the right size.
            let report: bulkhead_verify_report = unsafe { out.pointer::<bulkhead_verify_report>().read() };
            assert_eq!(report.bad_records, 0, "nothing damaged these files");
        }
    }
}

/// Events that set limits say which, others that they set none.
fn event_limits(engine: u64, event: &bulkhead_event) {
    let mut limits = Room::new(16, bulkhead_limit_changed::default());
    let (out, mut count) = (limits.pointer(), 0);
    // SAFETY: there is room for 16, and there are 11 limits.
    let status = unsafe { bulkhead_event_limits(engine, event.sequence, out, 16, &mut count, std::ptr::null_mut()) };
    let set = event.operation == BULKHEAD_OP_SET_LIMITS;
    assert!(status == BULKHEAD_CLOSED || (status == BULKHEAD_OK) == set || status == BULKHEAD_NOT_FOUND, "{status}");
    assert!(status != BULKHEAD_OK || (1..=11).contains(&count) && limits.get()[0].limit != 0);
}

/// Looks at every byte of its line, and calls what it may and may not call.
unsafe extern "C" fn hook(user: *mut c_void, line: *const bulkhead_log_line) {
    // SAFETY: what the fuzzer gave, and what the library says it gives.
    let (engine, line) = unsafe { (*user.cast::<u64>(), *line) };
    let text = |text, length| {
        let text = unsafe { CStr::from_ptr(text) };
        assert_eq!(text.to_bytes().len(), length);
        text
    };
    text(line.path, line.path_length);
    let message = text(line.message, line.message_length).to_str().expect("UTF-8");
    assert!(!message.contains(char::is_control) && (1..=3).contains(&line.level), "{line:?}: {message}");
    let mut needed = 0;
    unsafe {
        bulkhead_metrics_text(engine, std::ptr::null_mut(), 0, &mut needed, std::ptr::null_mut());
        // Closed if its handle is being closed meanwhile.
        let status = bulkhead_engine_set_log_hook(engine, None, std::ptr::null_mut(), std::ptr::null_mut());
        assert!(matches!(status, BULKHEAD_BUSY | BULKHEAD_CLOSED), "set by its own hook: {status}");
        let status = bulkhead_engine_close(engine, std::ptr::null_mut());
        assert!(matches!(status, BULKHEAD_BUSY | BULKHEAD_CLOSED), "closed by its own hook: {status}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for engine in std::mem::take(&mut *self.engines.lock().unwrap()) {
            // SAFETY: no pointer but null.
            unsafe { bulkhead_engine_close(engine, std::ptr::null_mut()) };
        }
        for partition in std::mem::take(&mut *self.partitions.lock().unwrap()) {
            assert_eq!(bounds(partition), None, "closing the engines closes the partitions");
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

const EMPTY: bulkhead_entry = bulkhead_entry { index: 0, term: 0, data: std::ptr::null(), length: 0, kind: 0 };

/// What an entry's payload consists of.
fn byte(index: u64, term: u64) -> u8 {
    (index.wrapping_mul(31) ^ term) as u8
}

/// A struct_size: right mostly, else a smaller, larger or absurd one.
fn size<T>(input: &mut Input<'_>) -> u32 {
    let right = std::mem::size_of::<T>() as u32;
    match input.u8() {
        0..=235 => right,
        236..=239 => right - 8,
        240..=243 => right + 8,
        244..=247 => 4096,
        248..=251 => 4104,
        252 | 253 => 4,
        _ => 0,
    }
}

/// An error struct, and whether its size is one that the library takes.
fn error(input: &mut Input<'_>) -> (Sized, bool) {
    let given = size::<bulkhead_error>(input);
    let right = std::mem::size_of::<bulkhead_error>() as u32;
    (Sized::new(given, false), (right..=4096).contains(&given))
}

fn bounds(partition: u64) -> Option<(u64, u64)> {
    let (mut first, mut last) = (0, 0);
    // SAFETY: pointers to local variables.
    let status = unsafe { bulkhead_bounds(partition, &mut first, &mut last, std::ptr::null_mut()) };
    (status == BULKHEAD_OK).then_some((first, last))
}
