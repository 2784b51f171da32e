//! Events put together by hand, for tests.

use crate::{
    Decoder,
    frame::{EventType, Header},
};

/// A raw event with or without checksum.
pub(crate) fn raw(event_type: EventType, flags: u16, body: &[u8], checksum: bool) -> Vec<u8> {
    let event_size = (Header::BYTES + body.len() + if checksum { 4 } else { 0 }) as u32;
    let header = Header { timestamp: 1_700_000_000, event_type, server_id: 11, event_size, log_pos: 1000, flags };
    let mut raw = header.to_bytes().to_vec();
    raw.extend(body);
    if checksum {
        raw.extend(crc32fast::hash(&raw).to_le_bytes());
    }
    raw
}

pub(crate) fn format_description(server_version: &str, algorithm: u8) -> Vec<u8> {
    let mut body = 4_u16.to_le_bytes().to_vec();
    let mut version = server_version.as_bytes().to_vec();
    version.resize(50, 0);
    body.extend(version);
    body.extend([0; 4]);
    body.push(19);
    body.extend([8; 42]);
    body.push(algorithm);
    raw(EventType::FORMAT_DESCRIPTION, 0, &body, true)
}

/// A decoder behind the format description of a stream without checksums.
pub(crate) fn decoder(flavor: dm_model::Flavor) -> Decoder {
    let mut decoder = Decoder::new(flavor);
    decoder.decode(&format_description("8.4.0", 0)).expect("the sample is right");
    decoder
}
