//! Commands on standard input: with a prompt and history on a terminal, line by line from a pipe.
//!
//! A failing command prints its error and the next one is read; `exit`, ^C, ^D or the end of the input leaves. From a pipe the
//! exit code tells whether every command could be carried out.

use std::{
    io::{BufRead, IsTerminal},
    process::ExitCode,
};

use rustyline::{DefaultEditor, error::ReadlineError};

use crate::{
    app::{self, Globals, Parsed},
    commands, out,
};

const HISTORY: &str = "/tmp/dmctlreadline.tmp";

pub(crate) async fn run(globals: Globals) -> ExitCode {
    if std::io::stdin().is_terminal() { on_terminal(&globals).await } else { from_pipe(&globals).await }
}

async fn on_terminal(globals: &Globals) -> ExitCode {
    out::line(&format!("Welcome to dmctl\n{}", dm_runtime::version::text()));
    let mut editor = match DefaultEditor::new() {
        Ok(editor) => editor,
        Err(error) => {
            out::complain(&format!("Error: cannot open the prompt: {error}\n"));
            return ExitCode::FAILURE;
        }
    };
    // no history yet is no trouble
    let _ = editor.load_history(HISTORY);
    loop {
        match editor.readline("\u{1b}[31m»\u{1b}[0m ") {
            Ok(line) if line.trim() == "exit" => break,
            Ok(line) => {
                let _ = editor.add_history_entry(line.trim());
                one(globals, &line).await;
            }
            Err(ReadlineError::Interrupted | ReadlineError::Eof) => break,
            Err(error) => {
                out::complain(&format!("Error: {error}\n"));
                break;
            }
        }
    }
    let _ = editor.save_history(HISTORY);
    ExitCode::SUCCESS
}

async fn from_pipe(globals: &Globals) -> ExitCode {
    let mut all_done = true;
    for line in std::io::stdin().lock().lines() {
        match line {
            Ok(line) if line.trim() == "exit" => break,
            Ok(line) => all_done &= one(globals, &line).await,
            Err(error) => {
                out::complain(&format!("Error: cannot read standard input: {error}\n"));
                return ExitCode::FAILURE;
            }
        }
    }
    if all_done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// True when the command could be carried out.
async fn one(globals: &Globals, line: &str) -> bool {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return true;
    }
    let Some(words) = shlex::split(line) else {
        out::complain(&format!("Error: a quote is not closed in: {line}\n"));
        return false;
    };
    match app::parse_line(globals, words) {
        Parsed::Once(globals, command) => match commands::run(&globals, command).await {
            Ok(answer) => {
                out::line(&answer.text);
                answer.ok || !globals.strict_exit
            }
            Err(error) => {
                out::complain(&format!("Error: {error:#}\n"));
                false
            }
        },
        Parsed::Print(text) => {
            out::print(&text);
            true
        }
        Parsed::Refused(text) => {
            out::complain(&text);
            false
        }
        Parsed::Prompt(_) => true,
    }
}
