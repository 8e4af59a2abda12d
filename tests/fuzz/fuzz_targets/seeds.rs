//! Writes a target's first inputs: `seeds <target> <directory>`.

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(target), Some(directory)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: seeds <target> <directory>");
        std::process::exit(2);
    };
    for (i, seed) in bulkhead_fuzz::seeds::of(&target).into_iter().enumerate() {
        let path = std::path::Path::new(&directory).join(format!("seed-{i:03}"));
        if let Err(e) = std::fs::write(&path, seed) {
            eprintln!("cannot write {}: {e}", path.display());
            std::process::exit(1);
        }
    }
}
