//! What the process prints. A reader that has gone (`dmctl … | head`) is no error of ours and ends nothing in a panic.

use std::io::{self, Write};

/// To standard output.
pub(crate) fn print(text: &str) {
    // whoever closed the pipe does not want to know
    let _gone = write(io::stdout().lock(), text);
}

/// To standard output, with a line's end.
pub(crate) fn line(text: &str) {
    print(text);
    print("\n");
}

/// To standard error.
pub(crate) fn complain(text: &str) {
    let _gone = write(io::stderr().lock(), text);
}

fn write(mut to: impl Write, text: &str) -> io::Result<()> {
    to.write_all(text.as_bytes())?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_an_error_and_no_panic() {
        assert_eq!(write(Closed, "text").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(write(Vec::new(), "text").is_ok());
    }
}
