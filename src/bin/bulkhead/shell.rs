//! `bulkhead completions` and `bulkhead man`: made from what the command line takes.

use crate::args::Args;
use crate::exit::Exit;
use crate::{aside, show};
use clap::CommandFactory;
use clap_complete::Shell;
use std::io::{self, Write};
use std::path::Path;

pub fn completions(shell: Shell) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "bulkhead", &mut text);
    show::written(io::stdout().lock().write_all(&text));
    Exit::Fine
}

/// One page for the command and one for each of its parts: `bulkhead.1`, `bulkhead-verify.1`.
pub fn man(directory: &Path) -> Exit {
    match clap_mangen::generate_to(Args::command(), directory) {
        Ok(()) => Exit::Fine,
        Err(e) => {
            aside!("{}: {e}", directory.display());
            match e.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Exit::Unfit,
                _ => Exit::System,
            }
        }
    }
}
