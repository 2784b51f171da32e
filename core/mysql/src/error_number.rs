//! What a server's error number allows: the only place that decides it. Texts are never looked at.

use dm_model::error::Retry;

/// What kind of failure a number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The transaction was, or can be, rolled back; the same statements may succeed.
    Conflict,
    /// The server goes away, is not ready, or is full for now.
    Unavailable,
    /// The statement does not fit the data, the structure or the rights.
    Statement,
}

/// The number a server sent; `None` when no server spoke.
pub fn number(error: &mysql_async::Error) -> Option<u16> {
    match error {
        mysql_async::Error::Server(server) => Some(server.code),
        mysql_async::Error::Driver(_)
        | mysql_async::Error::Io(_)
        | mysql_async::Error::Other(_)
        | mysql_async::Error::Url(_) => None,
    }
}

pub fn kind(number: u16) -> Kind {
    match number {
        // Lock wait timeout, deadlock, record changed since last read (MariaDB), commit conflict (Galera).
        1205 | 1213 | 1020 | 1180 | 1637 | 3572 | 1614 => Kind::Conflict,
        // TiDB: write conflict, schema changed, transaction retryable, resolved by another, lock not found, pessimistic
        // lock not found, transaction aborted, region and store errors.
        8002 | 8005 | 8018 | 8022 | 8027 | 8028 | 9007 => Kind::Conflict,
        // Too many connections, host blocked, shutting down, aborted, gone, connection killed, out of resources.
        1037 | 1040 | 1041 | 1042 | 1043 | 1053 | 1077 | 1078 | 1079 | 1152 | 1158 | 1159 | 1160 | 1161 | 1184
        | 1203 | 1226 | 1317 | 1836 | 1927 | 2006 | 2013 | 2055 | 3168 | 3169 | 4031 => Kind::Unavailable,
        // Disk full, read-only for the time of a failover, Galera node not ready.
        1021 | 1047 | 1290 | 1792 | 3100 | 3101 => Kind::Unavailable,
        // TiDB: placement driver and storage timeouts and overload, undetermined results.
        8229 | 8249 | 8501 | 9001 | 9002 | 9003 | 9004 | 9005 | 9006 | 9008 | 9009 | 9010 | 9011 | 9012 | 9013 => {
            Kind::Unavailable
        }
        _ => Kind::Statement,
    }
}

/// Whether the same operation may succeed later without a person.
pub fn retry(error: &mysql_async::Error) -> Retry {
    match error {
        mysql_async::Error::Server(server) => match kind(server.code) {
            Kind::Conflict | Kind::Unavailable => Retry::Backoff,
            Kind::Statement => Retry::Never,
        },
        mysql_async::Error::Io(mysql_async::IoError::Tls(_)) | mysql_async::Error::Url(_) => Retry::Never,
        mysql_async::Error::Io(mysql_async::IoError::Io(_))
        | mysql_async::Error::Driver(_)
        | mysql_async::Error::Other(_) => Retry::Backoff,
    }
}

/// True when a lock was not granted in time; only its statement is undone, the transaction goes on.
pub fn is_lock_timeout(number: u16) -> bool {
    matches!(number, 1205)
}

/// True when someone else did the same at the same time: duplicate key, deadlock, write conflict.
pub fn is_conflict(number: u16) -> bool {
    matches!(number, 1062 | 1213 | 1020 | 8002 | 8028 | 9007)
}

/// True when the connection is of no more use though the server spoke last.
pub fn ends_connection(number: u16) -> bool {
    matches!(number, 1053 | 1077 | 1078 | 1079 | 1152 | 1159 | 1161 | 1184 | 1927 | 2006 | 2013 | 3169 | 4031)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_errors_are_for_a_person_and_deadlocks_are_not() {
        assert_eq!(kind(1213), Kind::Conflict);
        assert_eq!(kind(2013), Kind::Unavailable);
        for number in [1062, 1146, 1054, 1406, 1064, 1045] {
            assert_eq!(kind(number), Kind::Statement);
        }
    }
}
