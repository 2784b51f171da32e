//! `binlog skip|replace|revert|inject|list`: operators that are kept in the state until the owner has used them.

use std::sync::Arc;

use dm_model::{BinlogPosition, SubtaskId, TaskName};
use dm_proto::pb::{self, CommonWorkerResponse, ErrorOp};
use dm_state::{
    Command, State,
    command::{PutOperator, RemoveOperators, Selection, SetWanted},
    record::{Operator, OperatorAction, OperatorAt, Wanted},
};
use serde::Serialize;

use super::{status::unknown_task, task::select, wait};
use crate::{context::Context, error::Error, leader::Leading};

pub(super) async fn handle(
    context: &Context,
    leading: &Arc<Leading>,
    request: pb::HandleErrorRequest,
) -> pb::HandleErrorResponse {
    let refuse = |msg| pb::HandleErrorResponse { result: false, msg, sources: Vec::new() };
    let Ok(task) = TaskName::parse(request.task.clone()) else { return refuse(unknown_task(&request.task)) };
    match carry_out(context, leading, &task, &request).await {
        Ok(Some(sources)) => pb::HandleErrorResponse { result: true, msg: String::new(), sources },
        Ok(None) => refuse(unknown_task(task.as_str())),
        Err(error) => refuse(error.text()),
    }
}

async fn carry_out(
    context: &Context,
    leading: &Arc<Leading>,
    task: &TaskName,
    request: &pb::HandleErrorRequest,
) -> Result<Option<Vec<CommonWorkerResponse>>, Error> {
    let position = position(&request.binlog_pos)?;
    let _latch = context.latches.take(task)?;
    let state = leading.read().await?;
    let Some(ids) = select(&state, task, &request.sources)? else { return Ok(None) };
    let mut elements = Vec::new();
    for id in ids {
        let (result, msg) = match one(leading, &state, &id, request, position.as_ref()).await {
            Ok(msg) => (true, msg),
            Err(msg) => (false, msg),
        };
        elements.push(wait::element(&state, &id, result, msg));
    }
    Ok(Some(elements))
}

/// `file:pos`; a relay suffix in the file (`mysql-bin|000001.000003`) means the same file.
fn position(text: &str) -> Result<Option<BinlogPosition>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let without_suffix = match (text.find('|'), text.rfind('.')) {
        (Some(bar), Some(dot)) if bar < dot => format!("{}{}", &text[..bar], &text[dot..]),
        _ => text.to_owned(),
    };
    let bad = || Error::BadArgument { what: "binlog position (file:pos)", text: text.to_owned() };
    BinlogPosition::parse(&without_suffix).map(Some).ok_or_else(bad)
}

async fn one(
    leading: &Leading,
    state: &State,
    id: &SubtaskId,
    request: &pb::HandleErrorRequest,
    position: Option<&BinlogPosition>,
) -> Result<String, String> {
    let action = match request.op() {
        ErrorOp::Skip => OperatorAction::Skip,
        ErrorOp::Replace => OperatorAction::Replace(statements(request)?),
        ErrorOp::Inject => OperatorAction::Inject(statements(request)?),
        ErrorOp::Revert => return revert(leading, state, id, position).await,
        ErrorOp::List => return Ok(list(state, id, position)),
        ErrorOp::InvalidErrorOp => {
            let expected = "skip, replace, revert, inject, list";
            return Err(Error::BadOperation { op: request.op().as_str_name().to_owned(), expected }.text());
        }
    };
    let at = match position {
        Some(position) => position.clone(),
        None => current_error(leading, state, id)?,
    };
    let command = PutOperator { subtask: id.clone(), at: OperatorAt::Position(at), action };
    leading.propose(Command::PutOperator(command)).await.map_err(|error| error.text())?;
    tell(leading, state, id, position.is_none()).await
}

/// A new wanted revision makes the worker look: it resumes what stands on the error, and hands the operator to what
/// runs. What stands on another error is left standing when the operator names a position.
async fn tell(leading: &Leading, state: &State, id: &SubtaskId, resume: bool) -> Result<String, String> {
    let Some(subtask) = state.subtask(id) else { return Ok(String::new()) };
    let stands = leading.statuses.latest(id).and_then(|reported| reported.stage()) == Some(dm_model::Stage::Paused);
    let wanted = match (resume, stands, subtask.wanted) {
        (true, ..) => Wanted::Running,
        (false, true, Wanted::Running) => return Ok(String::new()),
        (false, _, wanted) => wanted,
    };
    let command = SetWanted { task: id.task.clone(), sources: vec![id.source.clone()], wanted };
    leading.propose(Command::SetWanted(command)).await.map_err(|error| error.text())?;
    Ok(String::new())
}

fn statements(request: &pb::HandleErrorRequest) -> Result<Vec<String>, String> {
    let sqls: Vec<String> = request
        .sqls
        .iter()
        .flat_map(|text| split(text))
        .map(|sql| sql.trim().to_owned())
        .filter(|sql| !sql.is_empty())
        .collect();
    if sqls.is_empty() {
        return Err(Error::BadArgument { what: "list of statements", text: request.sqls.join("; ") }.text());
    }
    match sqls.iter().find(|sql| !is_qualified_ddl(sql)) {
        Some(bad) => {
            Err(Error::BadArgument { what: "DDL whose tables all name their schema", text: bad.clone() }.text())
        }
        None => Ok(sqls),
    }
}

/// The parts of a text between semicolons that stand outside of quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    let mut quote = None;
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        match quote {
            Some(_) if is_escaped => is_escaped = false,
            Some('\'' | '"') if character == '\\' => is_escaped = true,
            Some(open) if open == character => quote = None,
            Some(_) => {}
            None if ['\'', '"', '`'].contains(&character) => quote = Some(character),
            None if character == ';' => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            None => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

/// Whether a worker can carry it out in place of a statement: nothing else says which schema such a text is about.
fn is_qualified_ddl(sql: &str) -> bool {
    dm_ddl::parse(sql, &dm_ddl::ParseContext::default()).is_ok_and(|statement| {
        statement.treatment() == dm_ddl::Treatment::Ddl && statement.tables.iter().all(|table| table.schema.is_some())
    })
}

/// The place of the error the subtask stands on.
fn current_error(leading: &Leading, state: &State, id: &SubtaskId) -> Result<BinlogPosition, String> {
    let owner = state.subtask(id).and_then(|subtask| subtask.owner);
    let reported =
        leading.statuses.latest(id).filter(|reported| Some(reported.epoch) == owner.map(|owner| owner.epoch));
    let Some(reported) = reported.filter(|reported| !reported.errors().is_empty()) else {
        return Err(format!("source '{}' has no error", id.source));
    };
    BinlogPosition::parse(&reported.report.error_position)
        .ok_or_else(|| "only support to handle ddl error currently, see query-status for the error".to_owned())
}

async fn revert(
    leading: &Leading,
    state: &State,
    id: &SubtaskId,
    position: Option<&BinlogPosition>,
) -> Result<String, String> {
    let selection = match position {
        Some(position) => Selection::From(position.clone()),
        None => Selection::From(current_error(leading, state, id)?),
    };
    let command = RemoveOperators { subtask: id.clone(), selection };
    leading.propose(Command::RemoveOperators(command)).await.map_err(|error| error.text())?;
    tell(leading, state, id, position.is_none()).await
}

#[derive(Serialize)]
struct Listed<'a> {
    op: &'static str,
    #[serde(rename = "binlogPos")]
    binlog_pos: String,
    sqls: &'a [String],
}

/// Operators at or after a position, all without one, as a JSON array.
fn list(state: &State, id: &SubtaskId, from: Option<&BinlogPosition>) -> String {
    let operators = state.subtask(id).map(|subtask| subtask.operators.values().collect::<Vec<_>>()).unwrap_or_default();
    let listed: Vec<Listed<'_>> = operators
        .into_iter()
        .filter(|operator| match (&operator.at, from) {
            (OperatorAt::Position(at), Some(from)) => at >= from,
            (OperatorAt::CurrentError, Some(_)) => false,
            (_, None) => true,
        })
        .map(show)
        .collect();
    serde_json::to_string(&listed).unwrap_or_else(|error| format!("\"{error}\""))
}

fn show(operator: &Operator) -> Listed<'_> {
    let (op, sqls): (_, &[String]) = match &operator.action {
        OperatorAction::Skip => ("SKIP", &[]),
        OperatorAction::Replace(sqls) => ("REPLACE", sqls),
        OperatorAction::Inject(sqls) => ("INJECT", sqls),
    };
    let binlog_pos = match &operator.at {
        OperatorAt::Position(at) => format!("{}:{}", at.file, at.offset),
        OperatorAt::CurrentError => "current error".to_owned(),
    };
    Listed { op, binlog_pos, sqls }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_with_and_without_a_relay_suffix() {
        let expected = Some(BinlogPosition::new("mysql-bin.000003", 3270));
        assert_eq!(position("mysql-bin|000001.000003:3270").unwrap(), expected);
        assert_eq!(position("mysql-bin.000003:3270").unwrap(), expected);
        assert_eq!(position("").unwrap(), None);
        for bad in ["mysql-bin.000003", "x", ":4"] {
            assert!(position(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn statements_lose_their_semicolons_and_none_is_refused() {
        let request = |sqls: &[&str]| pb::HandleErrorRequest {
            sqls: sqls.iter().map(|sql| (*sql).to_owned()).collect(),
            ..pb::HandleErrorRequest::default()
        };
        assert_eq!(statements(&request(&[" ALTER TABLE a.b ADD c INT; ", ""])).unwrap(), ["ALTER TABLE a.b ADD c INT"]);
        let two = request(&["ALTER TABLE a.b COMMENT 'x;\\';y'; ALTER TABLE a.b ADD `d;` INT;"]);
        assert_eq!(statements(&two).unwrap(), ["ALTER TABLE a.b COMMENT 'x;\\';y'", "ALTER TABLE a.b ADD `d;` INT"]);
        for bad in ["INSERT INTO a.b VALUES (1)", "ALTER TABLE b ADD c INT", "nonsense"] {
            assert!(statements(&request(&[bad])).unwrap_err().contains("DDL"), "{bad}");
        }
        assert!(statements(&request(&[" ; "])).unwrap_err().starts_with("[code="));
    }
}
