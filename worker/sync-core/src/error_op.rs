//! What operators said about single DDL events: `binlog skip`, `replace` and `inject`.
//!
//! Owns the match of an operator with an event. Operators are kept by the leader and given to every run; nothing is
//! remembered here beyond the list. A position at which no DDL event starts matches nothing.

use std::collections::BTreeMap;

use dm_model::BinlogPosition;

/// One `binlog` command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Start of the query event, as the error message's `startLocation` shows it, or start of its transaction.
    pub position: BinlogPosition,
    pub action: Action,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Execute nothing; the schema tracker still follows the event.
    Skip,
    /// Execute these statements in place of the event.
    Replace(Vec<String>),
    /// Execute these statements, then the event.
    Inject(Vec<String>),
}

/// The operators by position. Of two for one position the later wins, except that an `inject` is kept beside the other
/// two.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Operators {
    instead: BTreeMap<BinlogPosition, Instead>,
    before: BTreeMap<BinlogPosition, Vec<String>>,
}

/// What stands in place of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instead {
    Nothing,
    Statements(Vec<String>),
}

/// What applies to one event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict<'a> {
    pub before: &'a [String],
    pub instead: Option<&'a Instead>,
}

impl Operators {
    pub fn new(operators: Vec<Operator>) -> Self {
        let mut all = Self::default();
        for Operator { position, action } in operators {
            match action {
                Action::Skip => {
                    all.instead.insert(position, Instead::Nothing);
                }
                Action::Replace(statements) => {
                    all.instead.insert(position, Instead::Statements(statements));
                }
                Action::Inject(statements) => {
                    all.before.insert(position, statements);
                }
            }
        }
        all
    }

    /// What applies to the event that starts at `event`, in the transaction that starts at `transaction`.
    pub fn at(&self, event: &BinlogPosition, transaction: &BinlogPosition) -> Verdict<'_> {
        let before = self.before.get(event).or_else(|| self.before.get(transaction));
        let instead = self.instead.get(event).or_else(|| self.instead.get(transaction));
        Verdict { before: before.map(Vec::as_slice).unwrap_or_default(), instead }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> BinlogPosition {
        BinlogPosition::new("mysql-bin.000001", offset)
    }

    #[test]
    fn an_operator_matches_the_event_or_its_transaction_and_nothing_else() {
        let operators = Operators::new(vec![Operator { position: at(100), action: Action::Skip }]);
        assert_eq!(operators.at(&at(100), &at(50)).instead, Some(&Instead::Nothing));
        assert_eq!(operators.at(&at(180), &at(100)).instead, Some(&Instead::Nothing));
        assert_eq!(operators.at(&at(101), &at(101)), Verdict::default());
    }

    #[test]
    fn inject_and_replace_at_one_position_both_hold_and_the_later_replace_wins() {
        let replace = |text: &str| Action::Replace(vec![text.to_owned()]);
        let operators = Operators::new(vec![
            Operator { position: at(4), action: replace("first") },
            Operator { position: at(4), action: Action::Inject(vec!["before".into()]) },
            Operator { position: at(4), action: replace("second") },
        ]);
        let verdict = operators.at(&at(4), &at(4));
        assert_eq!(verdict.before, ["before".to_owned()]);
        assert_eq!(verdict.instead, Some(&Instead::Statements(vec!["second".into()])));
    }
}
