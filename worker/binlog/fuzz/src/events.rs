//! A stream of events: each a type, flags, the length of its body in two bytes, and the body. The frame around them is made
//! here, so that changed bytes get past it. The first byte of all chooses the flavor.

#[path = "exhaust.rs"]
mod exhaust;

use dm_binlog::{Decoder, EventType, Header, Limits, Tables};
use dm_model::Flavor;
use exhaust::exhaust;

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
        exhaust(&mut decoder, &mut tables, &event, LIMITS);
    }
}
