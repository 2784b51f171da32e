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
/// packet with the number of its statements, made when asked for: a transaction may be much larger than a packet.
pub fn pack<'a>(statements: impl IntoIterator<Item = &'a [u8]>, max_bytes: usize) -> Packets<'a> {
    Packets { statements: statements.into_iter().collect(), next: 0, max_bytes }
}

/// See [`pack`].
#[derive(Debug)]
pub struct Packets<'a> {
    statements: Vec<&'a [u8]>,
    next: usize,
    max_bytes: usize,
}

impl Iterator for Packets<'_> {
    type Item = (Vec<u8>, usize);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.statements.get(self.next..)?;
        let mut n_bytes = rest.first()?.len();
        let mut n_statements = 1;
        for statement in rest.iter().skip(1) {
            if n_bytes + 1 + statement.len() > self.max_bytes {
                break;
            }
            n_bytes += 1 + statement.len();
            n_statements += 1;
        }
        let mut packet = Vec::with_capacity(n_bytes);
        for (at, statement) in rest.iter().take(n_statements).enumerate() {
            if at > 0 {
                packet.push(b';');
            }
            packet.extend_from_slice(statement);
        }
        self.next += n_statements;
        Some((packet, n_statements))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_keep_order_and_their_limit() {
        let statements: [&[u8]; 4] = [b"aa", b"bb", b"cccccccc", b"d"];
        let packed: Vec<(Vec<u8>, usize)> = pack(statements, 6).collect();
        assert_eq!(packed, [(b"aa;bb".to_vec(), 2), (b"cccccccc".to_vec(), 1), (b"d".to_vec(), 1)]);
    }
}
