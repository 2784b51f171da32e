//! Several statements in one packet: one round trip, one result each.
//!
//! A server executes them in order and stops at the first error. The results say how many there were, so an error is
//! attributed to its statement by counting.

use mysql_async::{Conn, prelude::Queryable};

/// What a packet's statements did.
#[derive(Debug)]
pub struct Results {
    /// Affected rows of each statement that succeeded, in order.
    pub affected: Vec<u64>,
    /// The error that ended the packet; its statement's index is `affected.len()`.
    pub error: Option<mysql_async::Error>,
}

/// Sends a packet and reads all its results. Rows of result sets are read and dropped.
pub async fn run(conn: &mut Conn, packet: Vec<u8>) -> Results {
    let mut affected = Vec::new();
    let mut result = match conn.query_iter(packet).await {
        Ok(result) => result,
        Err(error) => return Results { affected, error: Some(error) },
    };
    loop {
        affected.push(result.affected_rows());
        if result.is_empty() {
            return Results { affected, error: result.drop_result().await.err() };
        }
        // The end of one result reads the head of the next, so an error here is the next statement's.
        loop {
            match result.next().await {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return Results { affected, error: Some(error) },
            }
        }
        if result.columns().is_none() {
            // The end, or an error of the next statement that the library keeps until it is asked again.
            return Results { affected, error: result.next().await.err() };
        }
    }
}

/// Joins statements with `;` into packets of at most `max_bytes`, where one statement alone may be longer. Gives each
/// packet with the number of its statements.
pub fn pack<'a>(statements: impl IntoIterator<Item = &'a [u8]>, max_bytes: usize) -> Vec<(Vec<u8>, usize)> {
    let mut packets: Vec<(Vec<u8>, usize)> = Vec::new();
    for statement in statements {
        match packets.last_mut() {
            Some((packet, n)) if packet.len() + 1 + statement.len() <= max_bytes => {
                packet.push(b';');
                packet.extend_from_slice(statement);
                *n += 1;
            }
            Some(_) | None => packets.push((statement.to_vec(), 1)),
        }
    }
    packets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_keep_order_and_their_limit() {
        let statements: [&[u8]; 4] = [b"aa", b"bb", b"cccccccc", b"d"];
        let packed = pack(statements, 6);
        assert_eq!(packed, [(b"aa;bb".to_vec(), 2), (b"cccccccc".to_vec(), 1), (b"d".to_vec(), 1)]);
    }
}
