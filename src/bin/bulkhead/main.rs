//! The `bulkhead` command. For people by default, for programs with `--json`: one line per directory.

mod args;
mod backup;
mod bench;
mod convert;
mod ctl;
mod dump;
mod exit;
mod find;
mod http;
mod interrupt;
mod live;
mod repair;
mod shell;
mod show;
mod state_file;
mod status;
mod verify;

use args::{Args, Command};
use clap::Parser;
use exit::Exit;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Args::parse();
    interrupt::end_at_once();
    let json = args.json;
    let exit = match &args.command {
        Command::Status(status) => status::status(status, json),
        Command::Stat(paths) => status::stat(paths, json),
        Command::Verify(verify) => verify::verify(verify, json),
        Command::Dump(dump) => dump::dump(dump, json),
        Command::Repair(repair) => repair::repair(repair, json),
        Command::Backup(backup) => backup::backup(backup, json),
        Command::Import(import) => convert::import(import, json),
        Command::Export(export) => convert::export(export, json),
        Command::Bench(bench) => bench::bench(bench, json),
        Command::Ctl(ctl) => ctl::ctl(ctl, json),
        Command::Completions { shell } => Ok(shell::completions(*shell)),
        Command::Man { directory } => Ok(shell::man(directory)),
    };
    let exit = exit.unwrap_or_else(|error| {
        show::error(&error.path.clone(), &error, json);
        Exit::of(&error)
    });
    let shown = if show::has_failed() { Exit::System } else { Exit::Fine };
    ExitCode::from(exit.and(shown) as u8)
}
