//! A worker: idle, taking over, or replicating; and what its incarnation decides.
//!
//! The decisions are production's graph, folds, lanes and watermark. What is read of the source is all of it, at once: units
//! wait in the graph from the start, which allows every order that reading piece by piece would.

use std::{collections::BTreeMap, sync::Arc};

use dm_fence::{
    Consistency, IntentState, IntentVerdict, LaneRow, Resume, ServerRun, Session, Slicing, TakenOver, UnitNumber,
    Window,
};
use dm_model::{BinlogPosition, Epoch};
use dm_sync_core::{
    engine::Reached,
    fold::Limit,
    graph::{Access, Graph, Load, Resource},
    lanes::{Fold, Lanes, Work},
    watermark::{Boundary, Standing, Watermark},
};

use crate::{
    lane::Lane,
    rules::Mutant,
    scenario::{Kind, Scenario},
    taking::Taking,
    target::Target,
    task::Task,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Worker {
    pub frozen: bool,
    pub role: Role,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Role {
    Idle,
    Taking(Box<Taking>),
    Running(Box<Incarnation>),
    Ended(Epoch, End),
}

/// Why a worker does nothing more under its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// A later owner is there.
    Superseded,
    /// A person has to look at a DDL.
    Undecided,
    /// Takeover gave up.
    GaveUp,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Went {
    On,
    /// The incarnation is over, its memory worth nothing.
    TakeOverAgain,
    Ended(End),
}

impl Worker {
    /// Ids of the connections it has open, as far as it knows.
    pub fn connections(&self) -> impl Iterator<Item = u64> {
        let ids: Vec<u64> = match &self.role {
            Role::Taking(taking) => taking.connection().into_iter().collect(),
            Role::Running(running) => running.tasks.iter().filter_map(|lane| lane.id()).collect(),
            Role::Idle | Role::Ended(..) => Vec::new(),
        };
        ids.into_iter()
    }

    /// True when it holds something that others wait for, or is in the middle of a DDL.
    pub fn is_exposed(&self, target: &Target) -> bool {
        match &self.role {
            Role::Taking(taking) => taking.holds_locks(target),
            Role::Running(running) => running.tasks.iter().any(|lane| lane.is_exposed(target)),
            Role::Idle | Role::Ended(..) => false,
        }
    }
}

pub fn slicing() -> Slicing {
    Slicing { consistency: Consistency::Transaction, slice_rows: 1 }
}

/// Replication after a takeover.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Incarnation {
    pub epoch: Epoch,
    /// The target as it was taken over.
    pub run: ServerRun,
    pub graph: Arc<Graph>,
    pub watermark: Arc<Watermark>,
    pub lanes: Arc<Lanes>,
    pub tasks: Vec<Arc<Lane>>,
    intents: Arc<BTreeMap<(UnitNumber, u32), IntentVerdict>>,
}

impl Incarnation {
    pub fn new(scenario: &Scenario, target: &Target, n_lanes: u16, taken: TakenOver, session: &Session) -> Self {
        let rules = scenario.rules;
        let resume = rules.resume(&taken.rows, &taken.resume);
        let reached = Reached { low: resume.low, location: resume.location.clone(), src_ts: None };
        let mut lanes = Lanes::new(n_lanes, &taken.rows, reached, String::new());
        let mut tasks = Vec::new();
        for row in taken.rows.iter().filter(|row| row.lane < n_lanes) {
            if let Some(lane) = lanes.open() {
                lanes.opened(lane);
            }
            tasks.push(Arc::new(Lane::new(rules.inherit(row), session.connection)));
        }
        let mut watermark = Watermark::new(resume.low, resume.location.clone(), None);
        let mut graph = Graph::default();
        read(scenario, &resume, &mut watermark, &mut graph);
        let intents = taken.intents.into_iter().map(|(intent, verdict)| {
            let again = intent.state == IntentState::Open;
            let verdict = if again { rules.judge_intent(&intent, &target.store.observe()) } else { verdict };
            ((intent.unit, intent.piece), verdict)
        });
        Self {
            epoch: taken.epoch,
            run: session.server.clone(),
            graph: Arc::new(graph),
            watermark: Arc::new(watermark),
            lanes: Arc::new(lanes),
            tasks,
            intents: Arc::new(intents.collect()),
        }
    }

    fn up_to(&self) -> UnitNumber {
        UnitNumber(self.watermark.low().0 + Window::SPAN)
    }

    /// True when a fold of `n` units is another one than a fold of `n - 1`.
    pub fn can_fold(&self, n: usize) -> bool {
        self.lanes.free().is_some() && {
            let mut graph = Graph::clone(&self.graph);
            graph.fold(Limit { n_rows: n, n_bytes: usize::MAX, up_to: self.up_to() }).len() == n
        }
    }

    pub fn can_start_ddl(&self) -> bool {
        self.lanes.free().is_some() && self.graph.has_ready_solo()
    }

    /// Idle progress: no lane row says how far we are, and nothing else will.
    pub fn can_idle(&self) -> bool {
        self.lanes.free().is_some() && self.graph.is_empty() && self.lanes.is_behind(&self.watermark)
    }

    /// Everything is committed, and a lane row says so.
    pub fn is_settled(&self) -> bool {
        self.graph.is_empty() && self.lanes.is_idle() && !self.lanes.is_behind(&self.watermark)
    }

    /// Nothing is on its way: the subtask may be paused here.
    pub fn is_idle(&self) -> bool {
        self.lanes.is_idle() && !self.lanes.is_behind(&self.watermark)
    }

    pub fn fold(&mut self, scenario: &Scenario, n: usize) -> Result<(), String> {
        let Some(lane) = self.lanes.free() else { return Ok(()) };
        let up_to = self.up_to();
        let units = Arc::make_mut(&mut self.graph).fold(Limit { n_rows: n, n_bytes: usize::MAX, up_to });
        let batch = Arc::make_mut(&mut self.lanes).batch();
        let at = BinlogPosition::default();
        let fold = Fold { batch, units: units.clone(), n_rows: units.len(), n_bytes: 0, start: at.clone(), end: at };
        let marks = units.iter().map(|unit| (*unit, None)).collect();
        let progress = Arc::make_mut(&mut self.lanes).start(lane, Work::Fold(fold), marks, None, &self.watermark);
        if scenario.rules.is(Mutant::ReadyWhenSent) {
            units.iter().for_each(|unit| Arc::make_mut(&mut self.graph).commit(*unit));
        }
        self.give(lane, |row| Ok(Task::Fold { update: row.advance(progress)?, units }))
    }

    pub fn idle(&mut self) -> Result<(), String> {
        let Some(lane) = self.lanes.free() else { return Ok(()) };
        let batch = Arc::make_mut(&mut self.lanes).batch();
        let progress =
            Arc::make_mut(&mut self.lanes).start(lane, Work::Idle { batch }, Vec::new(), None, &self.watermark);
        self.give(lane, |row| Ok(Task::Idle { update: row.advance(progress)? }))
    }

    pub fn start_ddl(&mut self) -> Result<(), String> {
        let Some(lane) = self.lanes.free() else { return Ok(()) };
        let up_to = self.up_to();
        let Some(unit) = Arc::make_mut(&mut self.graph).take_solo(up_to) else { return Ok(()) };
        let work = Work::Ddl { unit, piece: 0 };
        let progress = Arc::make_mut(&mut self.lanes).start(lane, work, vec![(unit, None)], None, &self.watermark);
        let known = self.intents.get(&(unit, 0)).copied();
        self.give(lane, |row| Ok(Task::ddl(unit, row.advance(progress)?, known)))
    }

    fn give(
        &mut self,
        lane: u16,
        task: impl FnOnce(&LaneRow) -> Result<Task, dm_fence::AdvanceError>,
    ) -> Result<(), String> {
        let Some(lane) = self.tasks.get_mut(usize::from(lane)).map(Arc::make_mut) else {
            return Err("no such lane".to_owned());
        };
        lane.task = Some(task(&lane.row).map_err(|error| format!("a lane row refuses its progress: {error}"))?);
        Ok(())
    }

    /// The lane's task is in the target.
    pub fn finished(&mut self, lane: u16, units: &[UnitNumber]) {
        for unit in units {
            Arc::make_mut(&mut self.watermark).commit(*unit);
            Arc::make_mut(&mut self.graph).commit(*unit);
        }
        Arc::make_mut(&mut self.lanes).finish(lane);
    }

    /// The process or the incarnation ends: what was sent may still arrive.
    pub fn abandon(&mut self, target: &mut Target) {
        for lane in self.tasks.iter_mut().map(Arc::make_mut) {
            lane.abandon_all(target);
        }
    }
}

/// Numbers every unit and hands those that are not in the target to the graph.
fn read(scenario: &Scenario, resume: &Resume, watermark: &mut Watermark, graph: &mut Graph) {
    for (unit, of) in (1..).map(UnitNumber).zip(scenario.units) {
        if unit <= resume.low {
            continue;
        }
        let position = BinlogPosition::new("b", unit.0);
        let boundary = of.ends_transaction.then_some(Boundary { position, gtid: None });
        if resume.skips(unit) || of.kind == Kind::Filtered {
            watermark.register(Standing::Committed, boundary, None);
            continue;
        }
        watermark.register(Standing::Pending, boundary, None);
        let (load, access) = match of.kind {
            Kind::Ddl => (Load::Solo, Access::Exclusive),
            Kind::Rows | Kind::Filtered => (Load::Rows { n_rows: 1, n_bytes: 1 }, Access::Shared),
        };
        graph.add(unit, load, of.keys.to_vec(), vec![(Resource(of.table), access)]);
    }
}
