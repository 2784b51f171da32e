//! `query-status` without a task: one entry per task, worked out from the full answer.

use std::collections::BTreeMap;

use dm_proto::pb::{QueryStatusListResponse, Stage, SubTaskStatus, sub_task_status::Status};
use serde::Serialize;

/// The summary, with DM's field names.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    result: bool,
    msg: String,
    tasks: Vec<TaskSummary>,
}

#[derive(Debug, Serialize)]
struct TaskSummary {
    #[serde(rename = "taskName")]
    task_name: String,
    #[serde(rename = "taskStatus")]
    task_status: String,
    sources: Vec<String>,
}

/// Sorted by task and source. `None` when a source could not answer: then the whole answer is printed instead.
pub(crate) fn of(response: &QueryStatusListResponse) -> Option<Summary> {
    if response.sources.iter().any(|source| !source.result) {
        return None;
    }
    let mut tasks: BTreeMap<&str, Vec<(&str, &SubTaskStatus)>> = BTreeMap::new();
    for source in &response.sources {
        let name = source.source_status.as_ref().map_or("", |status| status.source.as_str());
        for subtask in &source.sub_task_status {
            // a source without subtasks answers with a text only
            let is_text = matches!(subtask.status, Some(Status::Msg(_))) && subtask.name.is_empty();
            if !is_text {
                tasks.entry(&subtask.name).or_default().push((name, subtask));
            }
        }
    }
    let tasks = tasks
        .into_iter()
        .map(|(task, mut subtasks)| {
            subtasks.sort_by_key(|(source, _)| *source);
            TaskSummary {
                task_name: task.to_owned(),
                task_status: task_status(&subtasks),
                sources: subtasks.iter().map(|(source, _)| (*source).to_owned()).collect(),
            }
        })
        .collect();
    Some(Summary { result: response.result, msg: response.msg.clone(), tasks })
}

/// The text, four spaces of indent as DM's plain JSON has.
pub(crate) fn render(summary: &Summary) -> anyhow::Result<String> {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    summary.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter))?;
    Ok(String::from_utf8(out)?)
}

fn task_status(subtasks: &[(&str, &SubTaskStatus)]) -> String {
    let has_error = |subtask: &SubTaskStatus| {
        subtask.stage() == Stage::Paused && subtask.result.as_ref().is_some_and(|result| !result.errors.is_empty())
    };
    if subtasks.iter().any(|(_, subtask)| has_error(subtask)) {
        return "Error - Some error occurred in subtask. Please run `query-status <task>` to get more details."
            .to_owned();
    }
    if subtasks.iter().any(|(_, subtask)| subtask.stage() == Stage::Paused) {
        return "Paused".to_owned();
    }
    let first = subtasks.first().map_or(Stage::Running, |(_, subtask)| subtask.stage());
    let same = subtasks.iter().all(|(_, subtask)| subtask.stage() == first);
    if same { first.as_str_name() } else { Stage::Running.as_str_name() }.to_owned()
}

#[cfg(test)]
mod tests {
    use dm_proto::pb::{ProcessError, ProcessResult, QueryStatusResponse, SourceStatus};
    use expect_test::expect;

    use super::*;

    fn source(name: &str, task: &str, stage: Stage, result: Option<ProcessResult>) -> QueryStatusResponse {
        QueryStatusResponse {
            result: true,
            source_status: Some(SourceStatus { source: name.into(), ..SourceStatus::default() }),
            sub_task_status: vec![SubTaskStatus {
                name: task.into(),
                stage: stage.into(),
                result,
                ..Default::default()
            }],
            ..QueryStatusResponse::default()
        }
    }

    fn status(stages: &[(Stage, Option<ProcessResult>)]) -> String {
        let sources = stages.iter().map(|(stage, result)| source("s", "t", *stage, result.clone())).collect();
        let response = QueryStatusListResponse { result: true, sources, ..Default::default() };
        of(&response).unwrap().tasks[0].task_status.clone()
    }

    #[test]
    fn status_follows_the_rules_of_dm() {
        let error = ProcessResult { errors: vec![ProcessError::default()], ..Default::default() };
        assert!(status(&[(Stage::Running, None), (Stage::Paused, Some(error))]).starts_with("Error - Some error"));
        assert_eq!(status(&[(Stage::Running, None), (Stage::Paused, None)]), "Paused");
        assert_eq!(status(&[(Stage::Finished, None), (Stage::Finished, None)]), "Finished");
        assert_eq!(status(&[(Stage::Finished, None), (Stage::Running, None)]), "Running");
    }

    #[test]
    fn the_summary_is_plain_json_sorted_by_task_and_source() {
        let sources = vec![
            source("s2", "b", Stage::Running, None),
            source("s1", "b", Stage::Running, None),
            source("s1", "a", Stage::New, None),
        ];
        let response = QueryStatusListResponse { result: true, sources, ..Default::default() };
        expect![[r#"
            {
                "result": true,
                "msg": "",
                "tasks": [
                    {
                        "taskName": "a",
                        "taskStatus": "New",
                        "sources": [
                            "s1"
                        ]
                    },
                    {
                        "taskName": "b",
                        "taskStatus": "Running",
                        "sources": [
                            "s1",
                            "s2"
                        ]
                    }
                ]
            }"#]]
        .assert_eq(&render(&of(&response).unwrap()).unwrap());
    }
}
