//! MySQL's transaction ids: the event that opens each transaction, and the set at each file's start.

use dm_model::gtid::mysql::{Gtid as Id, Set, Sid};

use crate::{
    Error,
    cursor::{Cursor, text},
};

/// Opens a transaction (or stands before a single DDL statement).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gtid {
    /// `None`: anonymous, the server runs without GTIDs.
    pub id: Option<Id>,
    /// Bit 0: the transaction may hold statements in statement format.
    pub flags: u8,
    /// Logical clock of the writing server: all transactions with a smaller or equal `sequence_number` than
    /// `last_committed` must be done before this one starts. Both 0 when not logged.
    pub last_committed: u64,
    pub sequence_number: u64,
    /// Microseconds since 1970 UTC on the server that sends; `None` from servers before 8.0.
    pub immediate_commit_micros: Option<u64>,
    /// The same on the server where the transaction ran first.
    pub original_commit_micros: Option<u64>,
    /// Bytes of all events of the transaction, this one included.
    pub transaction_length: Option<u64>,
}

impl Gtid {
    pub(crate) fn read(mut cursor: Cursor<'_>, anonymous: bool) -> Result<Self, Error> {
        const LOGICAL_CLOCK: u8 = 2;
        const HAS_ORIGINAL: u64 = 1 << 55;
        let what = "a GTID event";
        let flags = cursor.u8(what)?;
        let uuid = cursor.array::<16>(what)?;
        let number = cursor.u64(what)?;
        let id = (!anonymous).then(|| Id::new(uuid_text(&uuid), "", number));
        let mut gtid = Self {
            id,
            flags,
            last_committed: 0,
            sequence_number: 0,
            immediate_commit_micros: None,
            original_commit_micros: None,
            transaction_length: None,
        };
        // Every part from here on came with some later version; a part that is not there ends the event.
        if cursor.get(1).is_none_or(|kind| kind[0] != LOGICAL_CLOCK) {
            return Ok(gtid);
        }
        gtid.last_committed = cursor.u64(what)?;
        gtid.sequence_number = cursor.u64(what)?;
        if let Some(immediate) = cursor.get_uint_le(7) {
            let original = if immediate & HAS_ORIGINAL == 0 { immediate } else { cursor.uint_le(7, what)? };
            gtid.immediate_commit_micros = Some(immediate & !HAS_ORIGINAL);
            gtid.original_commit_micros = Some(original);
        }
        gtid.transaction_length = cursor.get_packed();
        Ok(gtid)
    }

    /// The tagged form (8.3 and later): fields by number, of which unknown ones may only be skipped behind the last one
    /// that readers must know.
    pub(crate) fn read_tagged(cursor: Cursor<'_>) -> Result<Self, Error> {
        const VERSION: u64 = 1;
        let what = "a tagged GTID event";
        let whole = cursor.len();
        let mut cursor = cursor;
        if cursor.varlen(what)? != VERSION {
            return Err(Error::Corrupt { what: "a tagged GTID event has an unknown version" });
        }
        let size = usize::try_from(cursor.varlen(what)?).map_err(|_| Error::Corrupt { what })?;
        let last_required = cursor.varlen(what)?;
        let consumed = whole - cursor.len();
        let fields = size.checked_sub(consumed).ok_or(Error::Corrupt { what })?;
        let mut cursor = Cursor::new(cursor.take(fields, what)?);
        let mut gtid = Self {
            id: None,
            flags: 0,
            last_committed: 0,
            sequence_number: 0,
            immediate_commit_micros: None,
            original_commit_micros: None,
            transaction_length: None,
        };
        let (mut uuid, mut tag, mut number) = (None, "", None);
        while !cursor.is_empty() {
            let field = cursor.varlen(what)?;
            match field {
                0 => gtid.flags = cursor.varlen(what)? as u8,
                1 => {
                    let mut bytes = [0; 16];
                    for byte in &mut bytes {
                        *byte = u8::try_from(cursor.varlen(what)?).map_err(|_| Error::Corrupt { what })?;
                    }
                    uuid = Some(bytes);
                }
                2 => number = Some(unsigned(cursor.varlen_signed(what)?)?),
                3 => tag = read_tag(&mut cursor)?,
                4 => gtid.last_committed = unsigned(cursor.varlen_signed(what)?)?,
                5 => gtid.sequence_number = unsigned(cursor.varlen_signed(what)?)?,
                6 => gtid.immediate_commit_micros = Some(cursor.varlen(what)?),
                7 => gtid.original_commit_micros = Some(cursor.varlen(what)?),
                8 => gtid.transaction_length = Some(cursor.varlen(what)?),
                // Versions of the two servers, and the ticket of the commit group.
                9..=11 => drop(cursor.varlen(what)?),
                _ if field <= last_required => {
                    return Err(Error::Corrupt { what: "a tagged GTID event has an unknown field" });
                }
                // How long an unknown field is cannot be told.
                _ => break,
            }
        }
        let (Some(uuid), Some(number)) = (uuid, number) else {
            return Err(Error::Corrupt { what: "a tagged GTID event has no id" });
        };
        gtid.id = Some(Id::new(uuid_text(&uuid), tag, number));
        gtid.original_commit_micros = gtid.original_commit_micros.or(gtid.immediate_commit_micros);
        Ok(gtid)
    }
}

fn unsigned(value: i64) -> Result<u64, Error> {
    u64::try_from(value).map_err(|_| Error::Corrupt { what: "a number of a tagged GTID event is negative" })
}

fn read_tag<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Error> {
    let what = "the tag of a GTID";
    let len = usize::try_from(cursor.varlen(what)?).map_err(|_| Error::Corrupt { what })?;
    text(cursor.take(len, what)?, "the tag of a GTID is not text")
}

/// All transactions of the files before this one.
pub(crate) fn read_previous(mut cursor: Cursor<'_>) -> Result<Set, Error> {
    let what = "a previous GTIDs event";
    let head = cursor.u64(what)?;
    let tagged = match head >> 56 {
        0 => false,
        1 => true,
        _ => return Err(Error::Corrupt { what: "a previous GTIDs event has an unknown format" }),
    };
    let n_sids = if tagged { (head >> 8) & ((1 << 48) - 1) } else { head };
    let mut set = Set::default();
    for _ in 0..n_sids {
        let uuid = uuid_text(&cursor.array::<16>(what)?);
        let tag = if tagged { read_tag(&mut cursor)? } else { "" };
        let sid = Sid { uuid, tag: tag.to_owned() };
        for _ in 0..cursor.u64(what)? {
            let (first, end) = (cursor.u64(what)?, cursor.u64(what)?);
            if first == 0 || end <= first {
                return Err(Error::Corrupt { what: "an interval of a previous GTIDs event" });
            }
            set.insert_interval(&sid, first, end - 1);
        }
    }
    Ok(set)
}

fn uuid_text(bytes: &[u8; 16]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_prints_with_dashes() {
        let bytes = std::array::from_fn(|index| (index * 17) as u8);
        assert_eq!(uuid_text(&bytes), "00112233-4455-6677-8899-aabbccddeeff");
    }

    #[test]
    fn previous_gtids_with_and_without_tags() {
        let uuid = [0x11; 16];
        let mut plain = 1_u64.to_le_bytes().to_vec();
        plain.extend(uuid);
        for n in [2_u64, 1, 6, 8, 9] {
            plain.extend(n.to_le_bytes());
        }
        let set = read_previous(Cursor::new(&plain)).unwrap();
        assert_eq!(set.to_string(), "11111111-1111-1111-1111-111111111111:1-5:8");

        let mut tagged = (1_u64 << 56 | 1 << 8 | 1).to_le_bytes().to_vec();
        tagged.extend(uuid);
        tagged.extend([3 << 1, b'a', b'b', b'c']);
        for n in [1_u64, 1, 3] {
            tagged.extend(n.to_le_bytes());
        }
        let set = read_previous(Cursor::new(&tagged)).unwrap();
        assert_eq!(set.to_string(), "11111111-1111-1111-1111-111111111111:abc:1-2");
    }
}
