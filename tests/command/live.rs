//! `bulkhead status --url`: a process that serves its metrics.

use crate::user::logs;
use crate::world::*;
use bulkhead::*;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

/// Serves the metrics at /metrics for two requests: the command asks for the handler first.
fn serve(text: String) -> (String, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            let mut stream = stream.unwrap();
            let head: Vec<String> =
                BufReader::new(&stream).lines().map_while(|l| l.ok().filter(|l| !l.is_empty())).collect();
            let (code, body) = match head[0].split(' ').nth(1) {
                Some("/metrics") => ("200 OK", text.as_str()),
                _ => ("404 Not Found", ""),
            };
            write!(stream, "HTTP/1.1 {code}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
                .unwrap();
        }
    });
    (url, serving)
}

/// raft closes a log at its first error: it is out of service, and the table must not look as if all were well.
#[test]
fn what_was_closed_with_a_fault_is_in_the_table() {
    let world = World::new();
    logs(&world, 2, 5);
    let engine = Engine::open(EngineConfig::default()).unwrap();
    let open = |id: u64, known_index: u64| {
        let config = PartitionConfig { known_index, ..PartitionConfig::new(world.path(&format!("wal_{id}")), id) };
        engine.open_partition(config).unwrap()
    };
    let (bad, _good) = (open(1, 100), open(2, 5)); // the first log ends below what its owner has applied
    bad.close().unwrap();
    let (url, serving) = serve(engine.metrics_text());
    let run = world.run(&format!("status --url {url}"));
    serving.join().unwrap();
    let rows: Vec<Vec<&str>> = run.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let of =
        |head: &str| rows[1][rows[0].iter().position(|h| *h == head).unwrap_or_else(|| panic!("no {head}: {rows:?}"))];
    assert_eq!((of("READWRITE"), of("CLOSED")), ("1", "1"), "{}", run.stdout);
    assert!(run.stdout.contains("1: Closed: "), "{}", run.stdout);
    run.code(1);
}
