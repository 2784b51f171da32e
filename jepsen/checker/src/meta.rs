//! The rows of the fence's tables, as the text has them.
//!
//! Owns which column is which (control-plane.md 2.4). Reads windows with `dm-fence`; a row that cannot be read is told.

use dm_fence::{UnitNumber, Window};
use dm_model::TableName;

use crate::{
    log::Place,
    text::value::{unquote, unsigned},
};

/// A row of `dm_fence_lane`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LaneImage {
    pub(crate) task: String,
    pub(crate) source: String,
    pub(crate) lane: u64,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) low: u64,
    /// Where `low` ended; `None` before that is known.
    pub(crate) place: Option<Place>,
    pub(crate) done: Window,
    pub(crate) source_uuid: String,
    pub(crate) slice_rows: u32,
}

/// A row of `dm_snapshot_chunk`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChunkImage {
    pub(crate) task: String,
    pub(crate) source: String,
    pub(crate) table: TableName,
    pub(crate) chunk: u64,
    pub(crate) epoch: u64,
    pub(crate) state: ChunkState,
    pub(crate) n_rows: u64,
    pub(crate) place: Option<Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChunkState {
    Planned,
    Copying,
    Done,
}

/// A row of `dm_ddl_intent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IntentImage {
    pub(crate) task: String,
    pub(crate) source: String,
    pub(crate) unit: u64,
    pub(crate) piece: u64,
    pub(crate) state: IntentState,
    pub(crate) statement: String,
    pub(crate) target: TableName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IntentState {
    Open,
    Done,
    Skipped,
}

struct Fields<'a>(Vec<&'a [u8]>);

impl<'a> Fields<'a> {
    fn new(image: &'a [u8]) -> Self {
        Self(image.split(|byte| *byte == b'\n').collect())
    }

    fn raw(&self, at: usize) -> Option<&'a [u8]> {
        self.0.get(at - 1).copied()
    }

    fn text(&self, at: usize) -> Option<String> {
        String::from_utf8(self.bytes(at)?).ok()
    }

    /// Empty for NULL.
    fn bytes(&self, at: usize) -> Option<Vec<u8>> {
        let raw = self.raw(at)?;
        if raw == b"NULL" { Some(Vec::new()) } else { unquote(raw) }
    }

    /// 0 for NULL.
    fn number(&self, at: usize) -> Option<u64> {
        let raw = self.raw(at)?;
        if raw == b"NULL" { Some(0) } else { unsigned(raw) }
    }

    fn place(&self, file: usize, offset: usize) -> Option<Option<Place>> {
        let file = self.text(file)?;
        let offset = self.number(offset)?;
        Some((!file.is_empty()).then(|| Place::new(file, offset)))
    }
}

pub(crate) fn lane(image: &[u8]) -> Option<LaneImage> {
    let fields = Fields::new(image);
    let low = fields.number(7)?;
    Some(LaneImage {
        task: fields.text(1)?,
        source: fields.text(2)?,
        lane: fields.number(3)?,
        epoch: fields.number(5)?,
        seq: fields.number(6)?,
        low,
        place: fields.place(8, 9)?,
        done: Window::decode(&fields.bytes(11)?, UnitNumber(low)).ok()?,
        source_uuid: fields.text(13)?,
        slice_rows: u32::try_from(fields.number(17)?).ok()?,
    })
}

pub(crate) fn chunk(image: &[u8]) -> Option<ChunkImage> {
    let fields = Fields::new(image);
    let state = match fields.number(10)? {
        1 => ChunkState::Planned,
        2 => ChunkState::Copying,
        3 => ChunkState::Done,
        _ => return None,
    };
    Some(ChunkImage {
        task: fields.text(1)?,
        source: fields.text(2)?,
        table: TableName::new(fields.text(3)?, fields.text(4)?),
        chunk: fields.number(5)?,
        epoch: fields.number(6)?,
        state,
        n_rows: fields.number(11)?,
        place: fields.place(13, 14)?,
    })
}

pub(crate) fn intent(image: &[u8]) -> Option<IntentImage> {
    let fields = Fields::new(image);
    let state = match fields.number(6)? {
        1 => IntentState::Open,
        2 => IntentState::Done,
        3 => IntentState::Skipped,
        _ => return None,
    };
    Some(IntentImage {
        task: fields.text(1)?,
        source: fields.text(2)?,
        unit: fields.number(3)?,
        piece: fields.number(4)?,
        state,
        statement: fields.text(7)?,
        target: TableName::new(fields.text(8)?, fields.text(9)?),
    })
}
