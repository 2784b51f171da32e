//! Row decoding: dm-binlog against the rows of mysql_async's own binlog reader (mysql_common), over the same bytes.
//!
//! Both sides get events that were cut and parsed to rows events beforehand where they allow it; measured is from rows event to
//! values. Events the library cannot read are left out on both sides.

use std::{io::Write, sync::Arc};

use anyhow::{Context, Result};
use dm_binlog::{Body, Decoder, Header, Rows, Table, Tables, Value};
use dm_model::Flavor;
use mysql_async::binlog::{
    BinlogVersion,
    events::{Event, EventData, FormatDescriptionEvent, RowsEventData, TableMapEvent},
};

use super::Pace;

const RECORDED: [(&str, Flavor, &[u8]); 3] = [
    (
        "four common columns, MySQL 9.7",
        Flavor::MySql,
        include_bytes!("../../../worker/binlog/testdata/events-mysql.binlog"),
    ),
    (
        "every column type, MySQL 9.7",
        Flavor::MySql,
        include_bytes!("../../../worker/binlog/testdata/types-mysql.binlog"),
    ),
    (
        "every column type, MariaDB 10.11",
        Flavor::MariaDb,
        include_bytes!("../../../worker/binlog/testdata/types-mariadb.binlog"),
    ),
];

/// # Errors
/// Our decoder cannot read what was recorded.
pub fn run(pace: Pace, out: &mut dyn Write) -> Result<()> {
    for (name, flavor, file) in RECORDED {
        let frames = frames(file)?;
        let mut ours = Ours::prepare(flavor, &frames)?;
        let mut theirs = Theirs::prepare(&frames);
        let n_events = ours.events.len();
        theirs.keep_readable();
        ours.events.retain(|(frame, ..)| theirs.events.iter().any(|(other, ..)| other == frame));
        let (n_ours, n_theirs) = (ours.round()?, theirs.round());
        if n_ours == 0 {
            writeln!(out, "  {name}: nothing that both can read")?;
            continue;
        }
        let (mut best_ours, mut best_theirs) = (0.0_f64, 0.0_f64);
        for _ in 0..pace.n_rounds {
            best_ours = best_ours.max(pace.rows_per_second(|| ours.round())?);
            best_theirs = best_theirs.max(pace.rows_per_second(|| Ok(theirs.round()))?);
        }
        let n_left_out = n_events - ours.events.len();
        let n_columns = ours.n_columns();
        writeln!(
            out,
            "  {name}: {n_columns} columns, {n_ours} row images; {n_left_out} of {n_events} rows events left out because \
             mysql_common cannot read them"
        )?;
        writeln!(out, "    dm-binlog     {best_ours:>12.0} rows/CPU s")?;
        writeln!(out, "    mysql_common  {best_theirs:>12.0} rows/CPU s{}", unequal(n_ours, n_theirs))?;
        writeln!(out, "    ratio         {:>12.1}", best_ours / best_theirs)?;
    }
    Ok(())
}

/// Both must have done the same work.
fn unequal(n_ours: u64, n_theirs: u64) -> String {
    if n_ours == n_theirs { String::new() } else { format!(" (of {n_theirs} row images, not {n_ours})") }
}

pub(super) fn frames(file: &[u8]) -> Result<Vec<&[u8]>> {
    let mut rest = file.strip_prefix(b"\xfebin").context("find the magic number of a binlog")?;
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let size = Header::read(rest).context("read a header")?.event_size as usize;
        let (frame, after) = rest.split_at_checked(size).context("cut an event")?;
        frames.push(frame);
        rest = after;
    }
    Ok(frames)
}

/// The number of the frame comes first, so that both sides can be given the same events.
struct Ours<'a> {
    events: Vec<(usize, Arc<Table>, Rows<'a>)>,
}

impl<'a> Ours<'a> {
    fn prepare(flavor: Flavor, frames: &[&'a [u8]]) -> Result<Self> {
        let (mut decoder, mut tables) = (Decoder::new(flavor), Tables::new());
        let mut events = Vec::new();
        for (at, frame) in frames.iter().enumerate() {
            match decoder.decode(frame).context("decode an event")?.body {
                Body::TableMap(map) => {
                    tables.learn(&map).context("learn a table map")?;
                }
                Body::Rows(rows) if !rows.is_dummy() => {
                    events.push((at, Arc::clone(tables.get(rows.table_id).context("find a table map")?), rows));
                }
                _ => {}
            }
        }
        Ok(Self { events })
    }

    fn n_columns(&self) -> usize {
        self.events.iter().map(|(_, table, _)| table.columns.len()).max().unwrap_or_default()
    }

    /// Decodes every row and gives how many images there were.
    fn round(&self) -> Result<u64> {
        let mut n_rows = 0;
        for (_, table, rows) in &self.events {
            let mut reader = rows.reader(&table.plan).context("read rows")?;
            let (mut before, mut after): (Vec<Value<'_>>, Vec<Value<'_>>) = (Vec::new(), Vec::new());
            while reader.next(&mut before, &mut after).context("read a row")? {
                n_rows += u64::from(!before.is_empty()) + u64::from(!after.is_empty());
                std::hint::black_box((&before, &after));
            }
        }
        Ok(n_rows)
    }
}

struct Theirs {
    events: Vec<(usize, TableMapEvent<'static>, RowsEventData<'static>)>,
}

impl Theirs {
    fn prepare(frames: &[&[u8]]) -> Self {
        let mut format = FormatDescriptionEvent::new(BinlogVersion::Version4);
        let mut map = None;
        let mut events = Vec::new();
        for (at, frame) in frames.iter().enumerate() {
            let Ok(event) = Event::read(&format, *frame) else { continue };
            format = event.fde().clone();
            match event.read_data() {
                Ok(Some(EventData::TableMapEvent(new))) => map = Some(new.into_owned()),
                Ok(Some(EventData::RowsEvent(rows))) => {
                    events.extend(map.clone().map(|map| (at, map, rows.into_owned())))
                }
                Ok(_) | Err(_) => {}
            }
        }
        Self { events }
    }

    /// Leaves out events it fails or panics on.
    fn keep_readable(&mut self) {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        self.events.retain(|(_, map, rows)| {
            let read = || rows.rows(map).all(|row| row.is_ok());
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).unwrap_or(false)
        });
        std::panic::set_hook(hook);
    }

    /// Decodes every row and gives how many images there were.
    fn round(&self) -> u64 {
        let mut n_rows = 0;
        for (_, map, rows) in &self.events {
            for (before, after) in rows.rows(map).flatten() {
                n_rows += u64::from(before.is_some()) + u64::from(after.is_some());
                std::hint::black_box((&before, &after));
            }
        }
        n_rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_rows_are_read_by_us_whole() {
        for (name, flavor, file) in RECORDED {
            let frames = frames(file).unwrap();
            let ours = Ours::prepare(flavor, &frames).unwrap();
            assert!(ours.round().unwrap() > 0, "{name}");
            assert!(ours.n_columns() >= 4, "{name}");
        }
    }

    #[test]
    fn the_library_reads_rows_of_mysql() {
        let frames = frames(RECORDED[0].2).unwrap();
        let mut theirs = Theirs::prepare(&frames);
        theirs.keep_readable();
        assert!(theirs.round() > 0);
    }
}
