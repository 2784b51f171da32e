//! Shows from the binlogs of sources and target that every change took effect exactly once, in order, by the right owner.
//!
//! Pure: text comes in, a [`Verdict`] goes out. The text is what the servers' own tools print (`-vv --base64-output=decode-rows`), so
//! that no decoder of ours has a say. [`check`] reads the target's log once, and of each source's log what the target has come to;
//! in memory are the units that are not committed yet and about fifty bytes for each key that was ever written.
//!
//! # What is proven
//!
//! A lane row travels in the transaction of the rows it stands for. So for every subtask, over the whole log and without samples:
//!
//! - **lanes**: each lane row is found as the log left it; `seq` goes up by one; `epoch`, `low` and what the windows hold never go
//!   back, and once a newer epoch was seen on any lane no older one writes; a takeover changes nothing else;
//! - **units**: numbers are counted a second time from the source's log, and at every `low` the place in the row must be
//!   the place where that unit ends; every unit is committed once; `low` covers no unit that was not committed and had a change to make;
//! - **changes**: the rows of a target transaction are exactly those of the units it commits, routed. Per key the row before and
//!   the row after are the source's before the first and after the last of these units, so several changes may be one, and
//!   changes that undo each other none; units that change one key are committed in their order; rows without a key are counted;
//! - **nobody else**: a table that units or chunks write is written by no transaction without a lane row, and each row is found as the
//!   log left it; a DDL is announced, executed, then completed;
//! - **the end** ([`Tail::Settled`]): every unit of the source's log is there, and the last row of each key that its log knows is
//!   the target's.
//!
//! # What is proven of the copy
//!
//! Chunks are written by transactions of their own, at places of the source's log that may differ from chunk to chunk:
//!
//! - each chunk is finished once, under its fence's epoch, with as many rows as its marker counts, in the table it is routed to;
//! - a row is compared with what the source's log makes of it at the chunk's place. Rows that were there before the log begins cannot be:
//!   [`Verdict::n_confirmed`] says how many were. They are checked by their next change, whose row before must be theirs;
//! - a change at or before the place of its key's chunk must not be applied, a later one must be. Of a key that no chunk brought, changes up
//!   to the newest place may be missing, but only its first ones, and the rest has to fit the row as it was.
//! - In a table with a second unique key or a foreign key, copied at several places, rows before such changes do not count.
//!
//! # What is not
//!
//! FLOAT beyond six digits; the text of MariaDB's tool does not tell a control character from its escape. Values of other types on
//! both sides (JSON of one server as text of the other) look different. Changes that an expression filter or an operator's order drops are
//! missed as lost. A source that moved to another server, XA, and a transaction that is cut into units by bytes are not followed.
//! What a DDL did is seen by the rows after it only.

mod apply;
mod checker;
mod copy;
mod ddl;
mod log;
mod meta;
mod rows;
mod source;
mod subtask;
mod tables;
mod text;
mod verdict;

pub use checker::{Config, SubtaskLog, Tail, check};
pub use log::{Log, LogFile, Place};
pub use source::Rules;
pub use tables::TableFacts;
pub use text::Error;
pub use verdict::Verdict;
