//! The committed header is what the sources say. A change of the ABI that nobody noticed would reach programs that
//! were built against the old header.
//!
//! `BULKHEAD_BLESS=1 cargo test -p bulkhead-header` writes it anew.

use std::path::{Path, PathBuf};

/// The order of the header. `testing` is left out: it is in no released library.
const SOURCES: &[&str] = &[
    "codes",
    "types",
    "reports",
    "library",
    "engine",
    "events",
    "log_hook",
    "metrics",
    "limits",
    "event_limits",
    "partition",
    "entries",
    "read",
    "log",
    "hard_state",
    "cubefs",
];

#[test]
fn header_is_what_the_sources_say() {
    let root = root();
    let generated = generate(&root);
    let path = root.join("include/bulkhead.h");
    if std::env::var_os("BULKHEAD_BLESS").is_some() {
        std::fs::create_dir_all(root.join("include")).unwrap();
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    if generated != committed {
        let line = generated
            .lines()
            .zip(committed.lines())
            .position(|(a, b)| a != b)
            .unwrap_or(generated.lines().count().min(committed.lines().count()));
        panic!(
            "include/bulkhead.h is not what src/ffi says; first difference in line {}:\n  sources: {:?}\n  header:  {:?}\n\
             If the change is meant: BULKHEAD_BLESS=1 cargo test -p bulkhead-header",
            line + 1,
            generated.lines().nth(line),
            committed.lines().nth(line)
        );
    }
}

/// A function in a file that is not listed above would be exported and missing in the header.
#[test]
fn every_source_with_an_exported_function_is_listed() {
    let ffi = root().join("src/ffi");
    for entry in std::fs::read_dir(ffi).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if std::fs::read_to_string(&path).unwrap().contains("#[no_mangle]") && name != "testing" {
            assert!(
                SOURCES.contains(&name.as_str()),
                "src/ffi/{name}.rs exports functions and is not part of the header"
            );
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn generate(root: &Path) -> String {
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml");
    let mut builder = cbindgen::Builder::new().with_config(config);
    for name in SOURCES {
        builder = builder.with_src(root.join(format!("src/ffi/{name}.rs")));
    }
    let mut text = Vec::new();
    builder.generate().expect("cbindgen").write(&mut text);
    String::from_utf8(text).expect("a header in UTF-8")
}
