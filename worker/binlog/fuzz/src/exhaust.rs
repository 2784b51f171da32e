//! Reads everything an event offers: rows, JSON in them, events inside a payload. Every refusal has a code.

use dm_binlog::{Body, Decoder, Limits, Tables, json};
use dm_model::error::Coded;

pub(crate) fn exhaust(decoder: &mut Decoder, tables: &mut Tables, raw: &[u8], limits: Limits) {
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
        && let Ok(mut inner) = payload.events(limits)
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
