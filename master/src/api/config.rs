//! `get config`: the text of a task or a source as the user gave it, passwords hidden.

use dm_config::redact;
use dm_model::{SourceId, TaskName};
use dm_proto::pb::{CfgType, GetCfgRequest, GetCfgResponse};

use super::View;
use crate::{context::Context, error::Error};

pub(super) fn get(_context: &Context, view: &View, request: GetCfgRequest) -> GetCfgResponse {
    match text(view, &request) {
        Ok(cfg) => GetCfgResponse { result: true, msg: view.note(), cfg: redact::passwords(&cfg) },
        Err(msg) => GetCfgResponse { result: false, msg, cfg: String::new() },
    }
}

fn text(view: &View, request: &GetCfgRequest) -> Result<String, String> {
    let bad_name = |what| Error::BadArgument { what, text: request.name.clone() }.text();
    match request.r#type() {
        CfgType::TaskType => {
            let name = TaskName::parse(request.name.clone()).map_err(|_| bad_name("task name"))?;
            let task = view.state().task(&name);
            task.map(|task| task.config.as_str().to_owned())
                .ok_or_else(|| Error::Rejected(dm_state::Rejection::TaskUnknown { task: name }).text())
        }
        CfgType::SourceType => {
            let id = SourceId::parse(request.name.clone()).map_err(|_| bad_name("source-id"))?;
            let source = view.state().source(&id);
            source
                .map(|source| source.config.as_str().to_owned())
                .ok_or_else(|| Error::Rejected(dm_state::Rejection::SourceUnknown { source_id: id }).text())
        }
        CfgType::MasterType | CfgType::WorkerType | CfgType::TaskTemplateType => {
            Err(Error::NotBuilt { what: "showing the configuration of masters, workers and templates" }.text())
        }
        CfgType::InvalidType => Err(bad_name("kind of configuration")),
    }
}
