//! dmctl: the operator's commands. One command per call, or commands on standard input.
//!
//! Holds no state and decides nothing: it reads files, asks a master, prints the answer. Exit code 1 when the command could
//! not be carried out; an answer with `"result": false` is an answer (exit 0), unless `--strict-exit` is given.

mod app;
mod client;
mod commands;
mod files;
mod json;
mod out;
mod prompt;
mod summary;

use std::process::ExitCode;

use app::Parsed;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            out::complain(&format!("Error: cannot start: {error}\n"));
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(run())
}

async fn run() -> ExitCode {
    match app::parse(std::env::args().skip(1).collect()) {
        Parsed::Print(text) => {
            out::print(&text);
            ExitCode::SUCCESS
        }
        Parsed::Refused(text) => {
            out::complain(&text);
            ExitCode::FAILURE
        }
        Parsed::Once(globals, command) => exit_code(commands::run(&globals, command).await, globals.strict_exit),
        Parsed::Prompt(globals) => prompt::run(globals).await,
    }
}

/// Prints a failure and says what the process ends with.
fn exit_code(outcome: anyhow::Result<commands::Answer>, strict: bool) -> ExitCode {
    match outcome {
        Ok(commands::Answer { ok, text }) => {
            out::line(&text);
            if strict && !ok { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            out::complain(&format!("Error: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}
