//! The `bulkhead` command. For people by default, for programs with `--json`: one line per directory.

mod args;
mod convert;
mod dump;
mod exit;
mod find;
mod show;
mod status;
mod verify;

use args::{Args, Command};
use clap::Parser;
use exit::Exit;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Args::parse();
    let exit = match &args.command {
        Command::Import(import) => convert::import(import, args.json),
        Command::Export(export) => convert::export(export, args.json),
        Command::Status(paths) => status::status(paths, args.json),
        Command::Stat(paths) => status::stat(paths, args.json),
        Command::Verify(verify) => verify::verify(verify, args.json),
        Command::Dump(dump) => dump::dump(dump, args.json),
    };
    ExitCode::from(exit.unwrap_or_else(|error| {
        eprintln!("bulkhead: {error}");
        Exit::of(&error)
    }) as u8)
}
