//! `config task|source`: the configuration as the user gave it, passwords hidden.

use anyhow::{Context, Result, bail};
use dm_proto::pb::{CfgType, GetCfgRequest};

use super::{Answer, connect, rpc};
use crate::app::{Config, ConfigArgs, Globals};

pub(super) async fn run(globals: &Globals, command: Config) -> Result<Answer> {
    match command {
        Config::Task(args) => show(globals, CfgType::TaskType, args).await,
        Config::Source(args) => show(globals, CfgType::SourceType, args).await,
        Config::Other(words) => {
            let name = words.first().map_or("", String::as_str);
            match name {
                "master" | "worker" | "task-template" | "export" | "import" => {
                    bail!("command `config {name}` is not built yet in this version")
                }
                _ => bail!("unknown command \"{name}\" for \"dmctl config\""),
            }
        }
    }
}

async fn show(globals: &Globals, kind: CfgType, args: ConfigArgs) -> Result<Answer> {
    let Some(name) = args.name else { bail!("give the name of the {} to show", noun(kind)) };
    let response = rpc(connect(globals).await?.get_cfg(GetCfgRequest { r#type: kind.into(), name }).await)?;
    match args.path {
        Some(path) if response.result => {
            std::fs::write(&path, &response.cfg).with_context(|| format!("can't write file {path}"))?;
            Ok(Answer::text(format!("write config to file {path} succeed")))
        }
        Some(_) | None => Answer::json(&response, "pb.GetCfgResponse", response.result),
    }
}

fn noun(kind: CfgType) -> &'static str {
    match kind {
        CfgType::TaskType => "task",
        CfgType::SourceType => "source",
        CfgType::MasterType => "master",
        CfgType::WorkerType => "worker",
        CfgType::TaskTemplateType => "task template",
        CfgType::InvalidType => "config",
    }
}
