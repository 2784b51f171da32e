//! Whatever the bytes are, decoding ends with a value or an error: no panic, no endless loop, no huge allocation.

#[path = "../fuzz/src/exhaust.rs"]
mod exhaust;

use std::path::PathBuf;

use dm_binlog::{Decoder, EventType, Header, Limits, Tables, json};
use dm_model::Flavor;
use proptest::prelude::*;

const LIMITS: Limits = Limits { event_bytes: 16 << 20, unpacked_bytes: 16 << 20 };

fn exhaust(decoder: &mut Decoder, tables: &mut Tables, raw: &[u8]) {
    exhaust::exhaust(decoder, tables, raw, LIMITS);
}

/// Events of the recordings, without checksums, so that changed bytes get past the frame.
fn recorded(name: &str) -> Vec<Vec<u8>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
    let file = std::fs::read(path).expect("recorded");
    let mut rest = &file[4..];
    let mut events = Vec::new();
    while !rest.is_empty() {
        let mut header = Header::read(rest).expect("recorded");
        let (event, after) = rest.split_at(header.event_size as usize);
        rest = after;
        if header.event_type == EventType::FORMAT_DESCRIPTION {
            let mut event = event.to_vec();
            let algorithm_at = event.len() - 5;
            event[algorithm_at] = 0;
            events.push(event);
            continue;
        }
        let body = &event[Header::BYTES..event.len() - 4];
        header.event_size -= 4;
        let mut event = Vec::new();
        dm_binlog::frame::assemble(&mut event, &header, body, None, None);
        events.push(event);
    }
    events
}

fn set_size(raw: &mut [u8]) {
    let size = (raw.len() as u32).to_le_bytes();
    raw[9..13].copy_from_slice(&size);
}

fn flavor_of(name: &str) -> Flavor {
    if name.contains("mariadb") { Flavor::MariaDb } else { Flavor::MySql }
}

const NAMES: [&str; 4] = ["types-mysql.binlog", "types-mariadb.binlog", "events-mysql.binlog", "events-mariadb.binlog"];

#[test]
fn every_event_cut_off_anywhere_is_an_error_or_smaller_and_never_a_panic() {
    for name in NAMES {
        let mut decoder = Decoder::with_limits(flavor_of(name), LIMITS);
        let mut tables = Tables::new();
        for event in recorded(name) {
            // Long events by larger steps: their texts are all alike.
            let step = (event.len() / 400).max(1);
            for len in (0..event.len()).step_by(step) {
                let mut cut = event[..len].to_vec();
                exhaust(&mut decoder.clone(), &mut tables.clone(), &cut);
                if len >= Header::BYTES {
                    set_size(&mut cut);
                    exhaust(&mut decoder.clone(), &mut tables.clone(), &cut);
                }
            }
            exhaust(&mut decoder, &mut tables, &event);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bodies_of_every_type_do_no_harm(
        event_type in any::<u8>(),
        flags in any::<u16>(),
        body in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(0xff), any::<u8>()], 0..300),
        maria in any::<bool>(),
    ) {
        let flavor = if maria { Flavor::MariaDb } else { Flavor::MySql };
        let event_size = (Header::BYTES + body.len()) as u32;
        let header = Header { timestamp: 1, event_type: EventType(event_type), server_id: 1, event_size, log_pos: 9, flags };
        let mut raw = header.to_bytes().to_vec();
        raw.extend(body);
        exhaust(&mut Decoder::with_limits(flavor, LIMITS), &mut Tables::new(), &raw);
    }

    #[test]
    fn recorded_events_with_changed_bytes_do_no_harm(
        name in prop::sample::select(&NAMES[..]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        rounds in 1..4_usize,
    ) {
        let mut decoder = Decoder::with_limits(flavor_of(name), LIMITS);
        let mut tables = Tables::new();
        for (number, mut event) in recorded(name).into_iter().enumerate() {
            if number > 0 {
                for (place, byte) in changes.iter().cycle().skip(number).take(rounds) {
                    // The frame stays, else nothing behind it is reached.
                    if event.len() > Header::BYTES {
                        let at = Header::BYTES + place.index(event.len() - Header::BYTES);
                        event[at] = *byte;
                    }
                }
            }
            exhaust(&mut decoder, &mut tables, &event);
        }
    }

    #[test]
    fn random_json_does_no_harm(
        kind in 0..16_u8,
        bytes in prop::collection::vec(prop_oneof![Just(0_u8), 1..16_u8, any::<u8>()], 0..200),
        differences in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut document = vec![kind];
        document.extend(bytes);
        drop(json::to_text(&document));
        drop(json::apply_differences(&document, &differences));
    }
}
