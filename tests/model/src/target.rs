//! The target: what is committed, connections with their transactions and locks, and what dies with the server.
//!
//! A lane row is locked by whoever writes it or reads it for update until its transaction ends. A connection whose client is
//! gone may still hold what was sent last: the server executes it later, or notices and rolls back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dm_fence::{FenceUpdate, Intent, IntentState, LaneRow, Observed, ServerRun, Session, UnitNumber};
use dm_model::{ClusterId, Epoch};

/// What took effect in the data, in the order of its commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    Rows(UnitNumber),
    Ddl(UnitNumber),
}

/// All that is committed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Store {
    pub rows: BTreeMap<u16, LaneRow>,
    pub sessions: BTreeSet<Session>,
    pub intents: BTreeMap<(UnitNumber, u32), Intent>,
    pub effects: Vec<Effect>,
}

impl Store {
    pub fn lane_rows(&self) -> Vec<LaneRow> {
        self.rows.values().cloned().collect()
    }

    /// What the structure of the one table shows: each DDL changes it.
    pub fn observe(&self) -> Observed {
        let n_ddls = self.effects.iter().filter(|effect| matches!(effect, Effect::Ddl(_))).count();
        Observed { hash: Some(n_ddls.to_string()), identity: None }
    }

    pub fn max_low(&self) -> UnitNumber {
        self.rows.values().map(|row| row.low).max().unwrap_or_default()
    }
}

/// A change that a transaction makes when it commits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Write {
    /// The fence's UPDATE, which found its row. `update` is `None` for one that only moves seq.
    Fence {
        lane: u16,
        update: Option<FenceUpdate>,
        batch_crc: u32,
    },
    /// The probe after a lost COMMIT.
    Probe {
        lane: u16,
        committed: bool,
    },
    Rows(Vec<UnitNumber>),
    /// Takeover's UPDATE of these rows.
    Claim {
        lanes: Vec<u16>,
        epoch: Epoch,
    },
    InsertRow(LaneRow),
    Register(Session),
    Forget(Session),
    Intent(Intent),
    IntentDone(UnitNumber, u32),
}

/// Who a lane's transaction says it is: S4 is checked when it commits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tag {
    pub lane: u16,
    pub epoch: Epoch,
    pub seq: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Transaction {
    pub tag: Option<Tag>,
    pub writes: Vec<Write>,
}

/// What a client sent before it went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InFlight {
    Nothing,
    Commit,
    Ddl(UnitNumber),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Connection {
    pub locks: BTreeSet<u16>,
    pub transaction: Transaction,
    /// The client is gone.
    pub orphan: Option<InFlight>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    pub run: ServerRun,
    pub n_restarts: u8,
    pub store: Arc<Store>,
    /// What a loss of power may bring back, the oldest first.
    pub earlier: Vec<Arc<Store>>,
    /// How many of `earlier` are kept.
    pub n_undurable: u8,
    pub connections: BTreeMap<u64, Arc<Connection>>,
    /// How many connections an epoch's slot had.
    n_opened: BTreeMap<(Epoch, u16), u8>,
}

impl Target {
    pub fn new(n_undurable: u8) -> Self {
        Self {
            run: ServerRun { uuid: "t".to_owned(), start: 0 },
            n_restarts: 0,
            store: Arc::new(Store::default()),
            earlier: Vec::new(),
            n_undurable,
            connections: BTreeMap::new(),
            n_opened: BTreeMap::new(),
        }
    }

    /// A new connection. Its id says who opened it, so that equal histories of different order have equal ids; within a
    /// slot and from slot 0 (takeover) to the lanes' slots they grow, and start lower after a restart.
    pub fn connect(&mut self, epoch: Epoch, slot: u16) -> u64 {
        let n = self.n_opened.entry((epoch, slot)).or_default();
        *n += 1;
        let base = 1_000_000_u64.saturating_sub(u64::from(self.n_restarts) * 400_000);
        let id = base + epoch.0 * 10_000 + u64::from(slot) * 1_000 + u64::from(*n);
        self.connections.insert(id, Arc::default());
        id
    }

    pub fn is_alive(&self, id: u64) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.orphan.is_none())
    }

    pub fn holds_locks(&self, id: u64) -> bool {
        self.connections.get(&id).is_some_and(|connection| !connection.locks.is_empty())
    }

    /// True when another connection has one of these rows locked.
    pub fn is_locked(&self, lanes: impl IntoIterator<Item = u16>, by_other_than: Option<u64>) -> bool {
        let lanes: Vec<u16> = lanes.into_iter().collect();
        self.connections
            .iter()
            .filter(|(id, _)| Some(**id) != by_other_than)
            .any(|(_, connection)| lanes.iter().any(|lane| connection.locks.contains(lane)))
    }

    /// Ends a connection of this run; what it had open is rolled back and what was under way to it is lost.
    pub fn kill(&mut self, session: &Session) {
        if session.server.is_same_run(&self.run) {
            self.connections.remove(&session.connection);
        }
    }

    /// The client is gone.
    pub fn abandon(&mut self, id: u64, in_flight: InFlight) {
        let Some(connection) = self.connections.get_mut(&id).map(Arc::make_mut) else { return };
        match in_flight {
            // The server notices at once; nothing that others could see depends on when, but for locks.
            InFlight::Nothing if connection.locks.is_empty() => {
                self.connections.remove(&id);
            }
            InFlight::Nothing | InFlight::Commit | InFlight::Ddl(_) => connection.orphan = Some(in_flight),
        }
    }

    /// Commits what a connection has open. An error is a broken S4.
    pub fn commit(&mut self, id: u64) -> Result<(), String> {
        let Some(connection) = self.connections.get_mut(&id).map(Arc::make_mut) else { return Ok(()) };
        connection.locks.clear();
        let transaction = std::mem::take(&mut connection.transaction);
        self.commit_writes(transaction)
    }

    /// One transaction that begins and commits in one step.
    pub fn commit_writes(&mut self, transaction: Transaction) -> Result<(), String> {
        if transaction.writes.is_empty() {
            return Ok(());
        }
        let mut store = (*self.store).clone();
        if let Some(Tag { lane, epoch, seq }) = &transaction.tag {
            let row = store.rows.get(lane).map(|row| (row.epoch, row.seq));
            if row != Some((*epoch, *seq)) {
                return Err(format!("S4: a transaction of epoch {epoch}, seq {seq} commits over {row:?}"));
            }
        }
        for write in transaction.writes {
            apply(&mut store, write);
        }
        if let Some(Tag { lane, epoch, seq }) = &transaction.tag {
            let row = store.rows.get(lane).map(|row| (row.epoch, row.seq));
            if row != Some((*epoch, seq + 1)) {
                return Err(format!("S4: a transaction of epoch {epoch}, seq {seq} leaves {row:?}"));
            }
        }
        self.replace(store);
        Ok(())
    }

    /// A DDL takes effect at once.
    pub fn execute_ddl(&mut self, unit: UnitNumber) {
        let mut store = (*self.store).clone();
        store.effects.push(Effect::Ddl(unit));
        self.replace(store);
    }

    /// The server goes on with what a gone client sent, or notices that it is gone.
    pub fn settle_orphan(&mut self, id: u64, executes: bool) -> Result<(), String> {
        match self.connections.get(&id).and_then(|connection| connection.orphan) {
            Some(InFlight::Commit) if executes => self.commit(id)?,
            Some(InFlight::Ddl(unit)) if executes => self.execute_ddl(unit),
            Some(InFlight::Nothing | InFlight::Commit | InFlight::Ddl(_)) | None => {}
        }
        self.connections.remove(&id);
        Ok(())
    }

    /// The server comes back without its last `n_lost` commits. `seen`: its start is far enough from the last one to tell.
    pub fn lose_power(&mut self, n_lost: usize, seen: bool) {
        self.connections.clear();
        for _ in 0..n_lost {
            if let Some(store) = self.earlier.pop() {
                self.store = store;
            }
        }
        self.earlier.clear();
        self.n_restarts += 1;
        self.run.start += if seen { 1_000 } else { 1 };
    }

    fn replace(&mut self, store: Store) {
        let old = std::mem::replace(&mut self.store, Arc::new(store));
        if self.n_undurable > 0 {
            if self.earlier.len() >= usize::from(self.n_undurable) {
                self.earlier.remove(0);
            }
            self.earlier.push(old);
        }
    }
}

fn apply(store: &mut Store, write: Write) {
    match write {
        Write::Fence { lane, update, batch_crc } => {
            if let Some(row) = store.rows.get_mut(&lane) {
                let seq = row.seq + 1;
                if let Some(update) = &update {
                    row.apply(update, None);
                }
                (row.seq, row.batch_crc) = (seq, Some(batch_crc));
            }
        }
        Write::Probe { lane, committed } => {
            if let Some(row) = store.rows.get_mut(&lane) {
                row.seq += 1;
                if !committed {
                    row.batch_crc = None;
                }
            }
        }
        Write::Rows(units) => store.effects.extend(units.into_iter().map(Effect::Rows)),
        Write::Claim { lanes, epoch } => {
            for row in store.rows.values_mut().filter(|row| lanes.contains(&row.lane)) {
                (row.epoch, row.seq, row.batch_crc) = (epoch, row.seq + 1, None);
            }
        }
        Write::InsertRow(row) => {
            store.rows.insert(row.lane, row);
        }
        Write::Register(session) => {
            store.sessions.insert(session);
        }
        Write::Forget(session) => {
            store.sessions.remove(&session);
        }
        Write::Intent(intent) => {
            store.intents.insert((intent.unit, intent.piece), intent);
        }
        Write::IntentDone(unit, piece) => {
            if let Some(intent) = store.intents.get_mut(&(unit, piece)) {
                intent.state = IntentState::Done;
            }
        }
    }
}

pub fn cluster() -> ClusterId {
    ClusterId("c".to_owned())
}
