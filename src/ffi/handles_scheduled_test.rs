//! The table under a scheduler that decides at every lock who goes on (`tests/shuttle`): opening, using, closing and stale handles
//! at the same time.

use super::*;
use shuttle::sync::Mutex as TestMutex;
use shuttle::thread;

const SCHEDULES: usize = 2_000;

fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    let schedules = std::env::var("BULKHEAD_SCHEDULES").ok().and_then(|n| n.parse().ok()).unwrap_or(SCHEDULES);
    let mut config = shuttle::Config::new();
    config.stack_size = 1 << 20; // a table is made on it
    shuttle::Runner::new(shuttle::scheduler::RandomScheduler::new(schedules), config).run(scenario);
}

fn status<T>(result: Result<T>) -> Status {
    result.map(|_| Status::Ok).unwrap_or_else(|e| e.status)
}

fn table() -> Arc<Table<u32>> {
    Arc::new(Table::new(2, "a thing"))
}

/// Of two threads that close one handle, one gets the value; one that uses it gets the value or `Closed`, never another's.
#[test]
fn shuttle_one_taker_wins_and_users_never_meet_a_stranger() {
    explore(|| {
        let table = table();
        let handle = table.insert(Arc::new(1)).unwrap();
        let takers: Vec<_> = (0..2)
            .map(|_| {
                let table = Arc::clone(&table);
                thread::spawn(move || status(table.take(handle)) == Status::Ok)
            })
            .collect();
        let user = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.get(handle).map(|value| *value).map_err(|e| e.status))
        };
        // The slot may be used again at once; the old number must not reach what is in it now.
        let next = table.insert(Arc::new(2)).unwrap();
        assert_ne!(next, handle);
        let used = user.join().unwrap();
        assert!(matches!(used, Ok(1) | Err(Status::Closed)), "{used:?}");
        let wins = takers.into_iter().map(|t| t.join().unwrap() as usize).sum::<usize>();
        assert_eq!(wins, 1);
        assert_eq!(status(table.get(handle)), Status::Closed);
        assert_eq!(*table.get(next).unwrap(), 2);
    });
}

/// Threads that open and close share slots: a number is issued once, and each finds its own value under it.
#[test]
fn shuttle_numbers_are_issued_once() {
    explore(|| {
        let table = table();
        let issued = Arc::new(TestMutex::new(std::collections::BTreeSet::new()));
        let threads: Vec<_> = (0..3u32)
            .map(|own| {
                let (table, issued) = (Arc::clone(&table), Arc::clone(&issued));
                thread::spawn(move || {
                    for _ in 0..2 {
                        let handle = table.insert(Arc::new(own)).unwrap();
                        assert!(issued.lock().unwrap().insert(handle), "{handle:#x} was issued twice");
                        assert_eq!(*table.get(handle).unwrap(), own);
                        assert_eq!(*table.take(handle).unwrap(), own);
                        assert_eq!(status(table.get(handle)), Status::Closed);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
    });
}
