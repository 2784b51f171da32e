use dm_model::gtid::mariadb;

use super::*;
use crate::{
    Tables, Value,
    event::IntvarKind,
    sample::{decoder, format_description, raw},
};

fn body<'a>(decoder: &mut Decoder, raw: &'a [u8]) -> Body<'a> {
    decoder.decode(raw).unwrap().body
}

#[test]
fn checksums_are_verified_from_the_format_description_on() {
    let mut decoder = Decoder::new(Flavor::MySql);
    assert_eq!(decoder.checksum(), None);
    decoder.decode(&format_description("8.4.0", 1)).unwrap();
    assert_eq!(decoder.checksum(), Some(ChecksumAlgorithm::Crc32));

    let mut event = raw(EventType::XID, 0, &7_u64.to_le_bytes(), true);
    assert!(matches!(body(&mut decoder, &event), Body::Xid(event::Xid(7))));
    event[20] ^= 1;
    assert!(matches!(decoder.decode(&event), Err(Error::Checksum { log_pos: 1000, .. })));
    let short = raw(EventType::STOP, 0, &[], false);
    assert!(decoder.decode(&short).is_err());
}

#[test]
fn a_corrupt_format_description_changes_nothing() {
    let mut decoder = Decoder::new(Flavor::MySql);
    decoder.decode(&format_description("8.4.0", 0)).unwrap();
    let mut corrupt = format_description("8.4.0", 1);
    corrupt[30] ^= 1;
    assert!(decoder.decode(&corrupt).is_err());
    assert_eq!(decoder.checksum(), Some(ChecksumAlgorithm::None));
    assert!(matches!(decoder.decode(&format_description("8.4.0", 9)), Err(Error::ChecksumAlgorithm { algorithm: 9 })));
}

#[test]
fn the_checksum_of_a_file_in_use_is_that_of_the_closed_file() {
    let mut event = format_description("8.4.0", 1);
    event[17] |= Header::FLAG_IN_USE as u8;
    assert!(Decoder::new(Flavor::MySql).decode(&event).is_ok());
}

#[test]
fn the_first_rotate_is_read_with_and_without_checksum() {
    let mut content = 4_u64.to_le_bytes().to_vec();
    content.extend(b"mysql-bin.000007");
    for checksum in [false, true] {
        let event = raw(EventType::ROTATE, Header::FLAG_ARTIFICIAL, &content, checksum);
        let decoded = Decoder::new(Flavor::MySql).decode(&event).map(|event| (event.moves_position(), event.body));
        let Ok((false, Body::Rotate(rotate))) = decoded else { panic!("{decoded:?}") };
        assert_eq!((rotate.file_name().unwrap(), rotate.position, rotate.artificial), ("mysql-bin.000007", 4, true));
    }
}

#[test]
fn sizes_must_agree() {
    let mut decoder = Decoder::with_limits(Flavor::MySql, Limits { event_bytes: 40, unpacked_bytes: 40 });
    let event = raw(EventType::XID, 0, &[0; 8], false);
    assert!(matches!(decoder.decode(&event[..20]), Err(Error::Truncated { .. })));
    let mut longer = event.clone();
    longer.push(0);
    assert!(matches!(decoder.decode(&longer), Err(Error::Corrupt { .. })));
    let large = raw(EventType::IGNORABLE, 0, &[0; 30], false);
    assert!(matches!(decoder.decode(&large), Err(Error::TooLarge { size: 49, limit: 40, .. })));
}

#[test]
fn unknown_events_say_whether_they_may_be_skipped() {
    let mut decoder = decoder(Flavor::MySql);
    for (flags, expected) in [(0, false), (Header::FLAG_IGNORABLE, true)] {
        let event = raw(EventType(99), flags, b"?", false);
        let Body::Unknown { event_type: EventType(99), ignorable } = body(&mut decoder, &event) else { panic!() };
        assert_eq!(ignorable, expected);
    }
    // MariaDB's numbers mean nothing in a stream of MySQL.
    let event = raw(EventType::MARIADB_GTID, 0, &[0; 19], false);
    assert!(matches!(body(&mut decoder, &event), Body::Unknown { .. }));
}

#[test]
fn mariadb_gtids_of_every_shape() {
    let mut decoder = decoder(Flavor::MariaDb);
    let head = |flags: u8| {
        let mut content = 42_u64.to_le_bytes().to_vec();
        content.extend(7_u32.to_le_bytes());
        content.push(flags);
        content
    };
    let mut plain = head(1);
    plain.extend([0; 6]);
    let plain = raw(EventType::MARIADB_GTID, 0, &plain, false);
    let Body::MariaDbGtid(gtid) = body(&mut decoder, &plain) else { panic!() };
    assert_eq!(gtid.id, mariadb::Gtid { domain: 7, server: 11, sequence: 42 });
    assert!(gtid.is_standalone() && !gtid.opens_transaction() && gtid.commit_id.is_none());

    let mut group = head(2 | 4 | 0x80);
    group.extend(5_u64.to_le_bytes());
    group.extend(1_u32.to_le_bytes());
    group.extend(b"\x02\x01abc");
    let group = raw(EventType::MARIADB_GTID, 0, &group, false);
    let Body::MariaDbGtid(gtid) = body(&mut decoder, &group) else { panic!() };
    assert_eq!(gtid.commit_id, Some(5));
    let xa = gtid.xa.unwrap();
    assert_eq!((xa.completed, xa.format_id, xa.gtrid, xa.bqual), (true, 1, &b"ab"[..], &b"c"[..]));

    let mut list = (2_u32 | 1 << 28).to_le_bytes().to_vec();
    for (domain, server, sequence) in [(0_u32, 1_u32, 9_u64), (3, 4, 5)] {
        list.extend(domain.to_le_bytes());
        list.extend(server.to_le_bytes());
        list.extend(sequence.to_le_bytes());
    }
    let list = raw(EventType::GTID_LIST, 0, &list, false);
    let Body::GtidList(list) = body(&mut decoder, &list) else { panic!() };
    assert_eq!((list.set().to_string().as_str(), list.flags), ("0-1-9,3-4-5", 1));
}

#[test]
fn heartbeats_of_all_kinds_tell_file_and_position() {
    let old = raw(EventType::HEARTBEAT, 0, b"bin.000001", false);
    let new = raw(EventType::HEARTBEAT_V2, 0, b"\x01\x0abin.000001\x02\x09\xfe\0\0\0\0\x01\0\0\0\0", false);
    let mut far = raw(EventType::HEARTBEAT, 0, b"\0\0\0\0\x01\0\0\0bin.000001", false);
    far[13..17].fill(0);
    for (flavor, event, expected) in
        [(Flavor::MySql, old, 1000), (Flavor::MySql, new, 1 << 32), (Flavor::MariaDb, far, 1 << 32)]
    {
        let mut decoder = decoder(flavor);
        let event = decoder.decode(&event).unwrap();
        assert!(!event.moves_position());
        let Body::Heartbeat(heartbeat) = event.body else { panic!() };
        assert_eq!((heartbeat.file, heartbeat.position), (&b"bin.000001"[..], expected));
    }
}

#[test]
fn incidents_and_session_events() {
    let mut decoder = decoder(Flavor::MySql);
    let incident = raw(EventType::INCIDENT, 0, b"\x01\0\x04lost", false);
    let Body::Incident(incident) = body(&mut decoder, &incident) else { panic!() };
    assert_eq!((incident.number, incident.message), (1, &b"lost"[..]));

    let variable = raw(EventType::INTVAR, 0, &[1, 5, 0, 0, 0, 0, 0, 0, 0], false);
    let Body::Intvar(variable) = body(&mut decoder, &variable) else { panic!() };
    assert_eq!((variable.kind, variable.value), (IntvarKind::LastInsertId, 5));

    let null = raw(EventType::USER_VAR, 0, b"\x01\0\0\0x\x01", false);
    let Body::UserVar(null) = body(&mut decoder, &null) else { panic!() };
    assert_eq!((null.name, null.value), (&b"x"[..], None));
}

#[test]
fn status_variables_of_newer_servers_end_the_reading_and_not_the_event() {
    let mut content = vec![0; 8];
    content.extend([1, 0, 0, 7, 0]);
    content.extend([0, 0, 0, 8, 4, 99, 0]);
    content.extend(b"d\0SELECT 1");
    let event = raw(EventType::QUERY, 0, &content, false);
    let Body::Query(query) = body(&mut decoder(Flavor::MySql), &event) else { panic!() };
    assert_eq!((query.schema, query.sql.as_ref()), ("d", &b"SELECT 1"[..]));
    assert_eq!(query.status.foreign_key_checks(), Some(false));
    assert_eq!(query.status.unread_from, Some(99));
}

/// A table `d`.`t` of one INT and one VARCHAR(10).
fn table_map(table_id: u8) -> Vec<u8> {
    let mut content = vec![table_id, 0, 0, 0, 0, 0, 1, 0];
    content.extend(b"\x01d\0\x01t\0\x02\x03\x0f\x02\x0a\0\x02");
    raw(EventType::TABLE_MAP, 0, &content, false)
}

fn insert(table_id: u8, present: u8, row: &[u8]) -> Vec<u8> {
    let mut content = vec![table_id, 0, 0, 0, 0, 0, 1, 0, 2, 0, 2, present];
    content.extend(row);
    raw(EventType::WRITE_ROWS, 0, &content, false)
}

#[test]
fn rows_are_read_by_the_plan_of_their_table_map() {
    let mut decoder = decoder(Flavor::MySql);
    let mut tables = Tables::new();
    let (first, again) = (table_map(5), table_map(5));
    let Body::TableMap(map) = body(&mut decoder, &first) else { panic!() };
    let table = tables.learn(&map).unwrap();
    assert_eq!((table.schema.as_str(), table.name.as_str()), ("d", "t"));
    assert_eq!(table.nullable, [false, true]);
    let Body::TableMap(map) = body(&mut decoder, &again) else { panic!() };
    assert!(std::sync::Arc::ptr_eq(&table, &tables.learn(&map).unwrap()));

    let event = insert(5, 3, b"\0\xff\xff\xff\xff\x02hi\x02\x07\0\0\0");
    let Body::Rows(rows) = body(&mut decoder, &event) else { panic!() };
    assert!(rows.is_statement_end() && rows.image_is_full() && !rows.is_dummy());
    let mut reader = rows.reader(&tables.get(5).unwrap().plan).unwrap();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    assert!(reader.next(&mut before, &mut after).unwrap());
    assert_eq!(after, [Value::Int { value: -1, width: 4 }, Value::Bytes(b"hi")]);
    assert!(reader.next(&mut before, &mut after).unwrap());
    assert_eq!(after, [Value::Int { value: 7, width: 4 }, Value::Null]);
    assert!(!reader.next(&mut before, &mut after).unwrap());
    assert!(before.is_empty() && after.is_empty());
    assert!(matches!(tables.get(6), Err(Error::UnknownTable { table_id: 6 })));
}

#[test]
fn images_that_lack_columns_are_refused() {
    use dm_model::error::Coded;
    let mut decoder = decoder(Flavor::MySql);
    let mut tables = Tables::new();
    let map = table_map(5);
    let Body::TableMap(map) = body(&mut decoder, &map) else { panic!() };
    let table = tables.learn(&map).unwrap();
    let event = insert(5, 1, b"\0\x01\0\0\0");
    let Body::Rows(rows) = body(&mut decoder, &event) else { panic!() };
    assert!(!rows.image_is_full());
    assert!(rows.after_present().is_some_and(|present| present.contains(0) && !present.contains(1)));
    let error = rows.reader(&table.plan).unwrap_err();
    assert!(matches!(error, Error::PartialImage { column: 1 }));
    assert_eq!(error.code().number, 11126);
}

#[test]
fn an_unknown_column_type_is_named() {
    let mut content = vec![5, 0, 0, 0, 0, 0, 1, 0];
    // Optional metadata: field 4 (names) of two bytes: a name of one byte.
    content.extend(b"\x01d\0\x01t\0\x01\x8f\0\0\x04\x02\x01c");
    let event = raw(EventType::TABLE_MAP, 0, &content, false);
    let Body::TableMap(map) = body(&mut decoder(Flavor::MySql), &event) else { panic!() };
    let error = Tables::new().learn(&map).unwrap_err();
    assert_eq!(error.to_string(), "column `c` of `d`.`t` has binlog type 143, which is not supported");
}

#[test]
fn a_payload_may_not_unpack_to_more_than_the_limit() {
    let inner = raw(EventType::ROWS_QUERY, 0, &vec![b' '; 100_000], false);
    let packed = zstd::stream::encode_all(&inner[..], 3).unwrap();
    let size = (packed.len() as u16).to_le_bytes();
    let mut content = vec![1, 3, 252, size[0], size[1], 2, 1, 0, 0];
    content.extend(packed);
    let event = raw(EventType::TRANSACTION_PAYLOAD, 0, &content, false);
    let Body::TransactionPayload(payload) = body(&mut decoder(Flavor::MySql), &event) else { panic!() };
    let limits = |unpacked_bytes| Limits { unpacked_bytes, ..Limits::default() };
    let mut events = payload.events(limits(200_000)).unwrap();
    assert_eq!(events.next_raw().unwrap().map(<[u8]>::len), Some(inner.len()));
    assert!(events.next_raw().unwrap().is_none());
    let mut events = payload.events(limits(50_000)).unwrap();
    assert!(matches!(events.next_raw(), Err(Error::TooLarge { limit: 50_000, .. })));
}

#[test]
fn assembled_parts_are_the_bytes_the_server_sent() {
    let mut again = Vec::new();
    for (event, algorithm) in [(format_description("8.4.0", 1), Some(1)), (raw(EventType::XID, 0, &[0; 8], true), None)]
    {
        let header = Header::read(&event).unwrap();
        let end = event.len() - 4 - usize::from(algorithm.is_some());
        let checksum = event.last_chunk::<4>().copied();
        frame::assemble(&mut again, &header, &event[Header::BYTES..end], algorithm, checksum);
        assert_eq!(again, event);
        assert_eq!(frame::event_len(&again).unwrap(), Some(event.len()));
        assert_eq!(frame::event_len(&again[..20]).unwrap(), None);
    }
}
