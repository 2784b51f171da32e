//! Binlogs recorded from real servers, compared with what SELECT shows there. `testdata/README.md` tells how they were
//! made.

use std::{collections::BTreeMap, fmt::Write, path::PathBuf};

use dm_binlog::{Body, Decoder, Event, Header, Limits, RowsKind, Table, Tables, Value, json};
use dm_model::Flavor;

fn testdata(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The raw events of a binlog file.
fn frames(file: &[u8]) -> Vec<&[u8]> {
    let mut rest = file.strip_prefix(b"\xfebin").expect("a binlog file");
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let size = Header::read(rest).unwrap().event_size as usize;
        let (frame, after) = rest.split_at(size);
        frames.push(frame);
        rest = after;
    }
    frames
}

/// Calls `each` for every event, inner events of payloads after their payload.
fn decode_all(flavor: Flavor, file: &[u8], mut each: impl FnMut(&Event<'_>)) {
    let mut decoder = Decoder::new(flavor);
    for frame in frames(file) {
        let event = decoder.decode(frame).unwrap();
        each(&event);
        if let Body::TransactionPayload(payload) = &event.body {
            let mut inner = payload.events(Limits::default()).unwrap();
            let mut bytes = 0;
            while let Some(raw) = inner.next_raw().unwrap() {
                bytes += raw.len() as u64;
                each(&decoder.decode_inner(raw, &event.header).unwrap());
            }
            assert_eq!(payload.uncompressed_bytes, Some(bytes));
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02X}").unwrap();
        text
    })
}

fn fraction(micros: u32, fsp: u8) -> String {
    let digits = format!("{micros:06}");
    if fsp == 0 { String::new() } else { format!(".{}", &digits[..usize::from(fsp)]) }
}

/// The text that the recorded SELECT gives for a value.
fn shown(value: &Value<'_>, unsigned: bool) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Int { value, width } if unsigned => {
            (*value as u64 & (u64::MAX >> (64 - 8 * u32::from(*width)))).to_string()
        }
        Value::Int { value, .. } => value.to_string(),
        Value::Float(value) => f64::from(*value).to_string(),
        Value::Double(value) => value.to_string(),
        Value::Decimal(text) => text.as_str().to_owned(),
        Value::Bit(bytes) => hex(bytes),
        Value::Year(year) => format!("{year:04}"),
        Value::Date { year, month, day } => format!("{year:04}-{month:02}-{day:02}"),
        Value::Time { negative, hours, minutes, seconds, micros, fsp } => {
            let sign = if *negative { "-" } else { "" };
            format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{}", fraction(*micros, *fsp))
        }
        Value::DateTime { year, month, day, hour, minute, second, micros, fsp } => {
            let fraction = fraction(*micros, *fsp);
            format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction}")
        }
        Value::Timestamp { seconds, micros, fsp } => format!("{seconds}{}", fraction(*micros, *fsp)),
        Value::Enum(index) => index.to_string(),
        Value::Set(bits) => bits.to_string(),
        Value::Bytes(bytes) | Value::Geometry(bytes) | Value::Vector(bytes) => hex(bytes),
        Value::OwnedBytes(bytes) => hex(bytes),
        Value::Json(document) => json::to_text(document).unwrap(),
        Value::OwnedJsonText(text) => text.clone(),
    }
}

type Shown = BTreeMap<i64, Vec<String>>;

/// Applies all rows events to an empty table and gives its rows by id; before images must be what is there.
fn replay(flavor: Flavor, file: &[u8], table_name: &str) -> (Shown, Vec<String>) {
    let mut tables = Tables::new();
    let mut rows_by_id = Shown::new();
    let mut names = Vec::new();
    decode_all(flavor, file, |event| match &event.body {
        Body::TableMap(map) => {
            let table = tables.learn(map).unwrap();
            if table.name == table_name {
                names = table.metadata.names.clone().unwrap_or_default();
            }
        }
        Body::Rows(rows) if !rows.is_dummy() => {
            let table = std::sync::Arc::clone(tables.get(rows.table_id).unwrap());
            if table.name == table_name {
                assert!(rows.image_is_full());
                apply(rows, &table, &mut rows_by_id);
            }
            if rows.is_statement_end() {
                tables.statement_end();
            }
        }
        _ => {}
    });
    (rows_by_id, names)
}

fn apply(rows: &dm_binlog::Rows<'_>, table: &Table, rows_by_id: &mut Shown) {
    let unsigned = |column: usize| {
        let known = table.metadata.unsigned.as_ref().expect("recorded with full metadata");
        known[column].unwrap_or(false)
    };
    let show = |values: &[Value<'_>]| -> Vec<String> {
        values.iter().enumerate().map(|(column, value)| shown(value, unsigned(column))).collect()
    };
    let id = |values: &[Value<'_>]| match values.first() {
        Some(Value::Int { value, .. }) => *value,
        other => panic!("the first column is no id but {other:?}"),
    };
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let mut reader = rows.reader(&table.plan).unwrap();
    while reader.next(&mut before, &mut after).unwrap() {
        if rows.kind != RowsKind::Insert {
            assert_eq!(rows_by_id.remove(&id(&before)), Some(show(&before)));
        }
        if rows.kind != RowsKind::Delete {
            assert_eq!(rows_by_id.insert(id(&after), show(&after)), None);
        }
    }
}

fn same(shown: &str, expected: &str) -> bool {
    shown == expected
        || matches!((shown.parse::<f64>(), expected.parse::<f64>()), (Ok(a), Ok(b)) if a.to_bits() == b.to_bits())
}

fn compare(flavor: Flavor, name: &str) {
    let (rows, names) = replay(flavor, &testdata(&format!("{name}.binlog")), "t");
    let expected = String::from_utf8(testdata(&format!("{name}.rows"))).unwrap();
    let mut wrong = String::new();
    assert_eq!(rows.len(), expected.lines().count());
    for (line, row) in expected.lines().zip(rows.values()) {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(fields.len(), row.len(), "row {}", row[0]);
        for ((field, value), name) in fields.iter().zip(row).zip(&names) {
            if !same(value, field) {
                writeln!(wrong, "row {} column {name}: {value} is not {field}", row[0]).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_type_of_mysql_decodes_to_what_select_shows() {
    compare(Flavor::MySql, "types-mysql");
}

#[test]
fn every_type_of_mariadb_decodes_to_what_select_shows() {
    compare(Flavor::MariaDb, "types-mariadb");
}

#[test]
fn partial_json_and_payloads_of_mysql_end_in_the_table_that_select_shows() {
    compare(Flavor::MySql, "events-mysql");
}

#[test]
fn compressed_rows_and_columns_of_mariadb_end_in_the_table_that_select_shows() {
    compare(Flavor::MariaDb, "events-mariadb");
}

/// One line per event, without what differs between two recordings.
fn list(flavor: Flavor, name: &str) -> String {
    let mut lines = String::new();
    let mut end = 4;
    decode_all(flavor, &testdata(name), |event| {
        end = event.header.end_offset(end);
        let mark = if event.moves_position() { "" } else { " (no position)" };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let detail = match &event.body {
            Body::FormatDescription(description) => {
                format!("{} {:?}", description.server_version, description.checksum)
            }
            Body::Query(query) => {
                let status = &query.status;
                let zone = status.time_zone.map(text);
                let checks = status.foreign_key_checks();
                assert_eq!(status.unread_from, None);
                let begin = if query.is_begin() { " begin" } else { "" };
                let commit = if query.is_commit() { " commit" } else { "" };
                let charset = status.charset.map(|charset| charset.client);
                format!(
                    "[{}] zone {zone:?} fk {checks:?} charset {charset:?}{begin}{commit} {}",
                    query.schema,
                    text(&query.sql)
                )
            }
            Body::Gtid(gtid) => {
                let id = gtid.id.as_ref().expect("recorded with GTIDs");
                let length = gtid.transaction_length;
                assert!(gtid.original_commit_micros.is_some_and(|micros| micros > 1_700_000_000_000_000));
                let clock = (gtid.last_committed, gtid.sequence_number);
                format!("uuid:{}:{} clock {clock:?} bytes {length:?}", id.sid.tag, id.number)
            }
            Body::MariaDbGtid(gtid) => {
                let opens = if gtid.opens_transaction() { "opens" } else { "standalone" };
                format!("{} {opens} xa {:?}", gtid.id, gtid.xa.map(|xa| (xa.completed, xa.format_id, text(xa.gtrid))))
            }
            Body::GtidList(list) => format!("{:?}", list.set().to_string()),
            Body::PreviousGtids(set) => format!("{:?}", set.to_string()),
            Body::TableMap(map) => format!("`{}`.`{}` {} columns", map.schema, map.table, map.n_columns()),
            Body::Rows(rows) => format!("{:?} flags {:#x} {} bytes", rows.kind, rows.flags, rows.data_bytes()),
            Body::Rotate(rotate) => format!("{} {}", rotate.file_name().unwrap(), rotate.position),
            Body::AnnotateRows(sql) | Body::RowsQuery(sql) | Body::BinlogCheckpoint(sql) => text(sql),
            Body::TransactionPayload(payload) => format!("{:?} {:?}", payload.compression, payload.uncompressed_bytes),
            Body::XaPrepare(xa) => {
                format!("one phase {} {} {} {}", xa.one_phase, xa.format_id, text(xa.gtrid), text(xa.bqual))
            }
            Body::Intvar(variable) => format!("{:?} {}", variable.kind, variable.value),
            Body::UserVar(variable) => {
                let value = variable.value.map(|value| (value.value_type, text(value.bytes)));
                format!("{} {value:?}", text(variable.name))
            }
            Body::Rand(_) | Body::Xid(_) | Body::Stop => String::new(),
            other => format!("{other:?}"),
        };
        writeln!(lines, "{} {}{mark} {detail}", end, event.header.event_type).unwrap();
    });
    lines.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n"
}

#[test]
fn events_of_mysql_in_order() {
    expect_test::expect_file!["../testdata/events-mysql.events"].assert_eq(&list(Flavor::MySql, "events-mysql.binlog"));
}

#[test]
fn events_of_mariadb_in_order() {
    let events = list(Flavor::MariaDb, "events-mariadb.binlog");
    expect_test::expect_file!["../testdata/events-mariadb.events"].assert_eq(&events);
}
