//! The dm-worker process.

use std::process::ExitCode;

use dm_model::error::{Report, Retry};
use dm_worker::{
    boot,
    flags::{self, Parsed},
};

fn main() -> ExitCode {
    let (file, flags) = match flags::parse(std::env::args().collect()) {
        Parsed::Run { file, flags } => (file, *flags),
        Parsed::Print(text) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Parsed::Refused(text) => {
            eprint!("{text}");
            return ExitCode::from(2);
        }
    };
    match boot::start(file, flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let coded = error.chain().find_map(|cause| cause.downcast_ref::<dm_config::Error>());
            match coded {
                Some(coded) => eprintln!("dm-worker: {error}: {}", Report::of(coded, Retry::Never)),
                None => eprintln!("dm-worker: {error:#}"),
            }
            tracing::error!(error = format!("{error:#}"), "dm-worker ends");
            ExitCode::FAILURE
        }
    }
}
