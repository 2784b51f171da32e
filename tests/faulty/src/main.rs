//! `dm-worker` with armed fail points: the same flags, and what `DM_FAIL_POINT` and `DM_MUTANT` say happens.
//!
//! The only process that calls `arm`. A test build may compile the points into `dm-worker` as well; they stay asleep there.

use std::process::ExitCode;

use dm_worker::{
    boot, fail_point,
    flags::{self, Parsed},
};

fn main() -> ExitCode {
    let points: Vec<&str> = dm_mysql::fail_point::POINTS.into_iter().chain(fail_point::POINTS).collect();
    if let Err(error) = dm_mysql::fail_point::arm(&points) {
        eprintln!("dm-faulty: {error}");
        return ExitCode::from(2);
    }
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
            eprintln!("dm-faulty: {error:#}");
            ExitCode::FAILURE
        }
    }
}
