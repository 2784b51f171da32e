//! Golden scripts: source events in, commands out.
