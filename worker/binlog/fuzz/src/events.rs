//! A stream of events: each a type, flags, the length of its body in two bytes, and the body. The frame around them is made
//! here, so that changed bytes get past it. The first byte of all chooses the flavor.

use dm_binlog::{Body, Decoder, EventType, Header, Limits, Tables, json};
use dm_model::{Flavor, error::Coded};

const LIMITS: Limits = Limits { event_bytes: 1 << 20, unpacked_bytes: 1 << 20 };

/// Decodes all that the bytes offer. Every refusal has a code.
pub fn run(bytes: &[u8]) {
    let Some((flavor, mut rest)) = bytes.split_first() else { return };
    let flavor = if flavor & 1 == 0 { Flavor::MySql } else { Flavor::MariaDb };
    let mut decoder = Decoder::with_limits(flavor, LIMITS);
    let mut tables = Tables::new();
    while let [event_type, flags, low, high, after @ ..] = rest {
        let n_bytes = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (body, after) = after.split_at(n_bytes);
        rest = after;
        let mut event = Vec::new();
        let header = Header {
            timestamp: 1,
            event_type: EventType(*event_type),
            server_id: 1,
            event_size: (Header::BYTES + body.len()) as u32,
            log_pos: 9,
            flags: u16::from(*flags),
        };
        event.extend(header.to_bytes());
        event.extend(body);
        one(&mut decoder, &mut tables, &event);
    }
}

fn one(decoder: &mut Decoder, tables: &mut Tables, raw: &[u8]) {
    let event = match decoder.decode(raw) {
        Ok(event) => event,
        Err(error) => {
            let _code = error.code();
            return;
        }
    };
    let header = event.header;
    visit(tables, &event.body);
    if let Body::TransactionPayload(payload) = &event.body
        && let Ok(mut inner) = payload.events(LIMITS)
    {
        while let Ok(Some(raw)) = inner.next_raw() {
            let Ok(event) = decoder.decode_inner(raw, &header) else { return };
            visit(tables, &event.body);
        }
    }
}

fn visit(tables: &mut Tables, body: &Body<'_>) {
    match body {
        Body::TableMap(map) => drop(tables.learn(map)),
        Body::Rows(rows) => {
            let Ok(table) = tables.get(rows.table_id) else { return };
            let Ok(mut reader) = rows.reader(&table.plan) else { return };
            let (mut before, mut after) = (Vec::new(), Vec::new());
            while let Ok(true) = reader.next(&mut before, &mut after) {
                for value in before.iter().chain(&after) {
                    if let dm_binlog::Value::Json(document) = value {
                        drop(json::to_text(document));
                    }
                }
            }
        }
        _ => {}
    }
}
