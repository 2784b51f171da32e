//! dmctl and the programs' command lines: what they print, how they end, what they refuse.

use anyhow::{Context, Result, ensure};
use dm_tests::{
    ServerKind,
    cluster::{Options, dmctl::run_program},
    wait,
};
use serde_json::Value;

use super::{
    bench::{Bench, SOON, as_root, has_code, refused, source_text, task_text},
    cases::Cases,
};

const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn commands() {
    let mut cases = Cases::begin("commands");
    let mut bench = Bench::start_with(ServerKind::MySql, |folder| {
        let key = folder.join("secret.key");
        std::fs::write(&key, KEY)?;
        Ok(Options { master_args: vec![format!("--secret-key-path={}", key.display())], ..Options::default() })
    })
    .await
    .expect("start a cluster");
    cases.run("versions and samples", versions_and_samples(&bench)).await;
    cases.run("exit codes and spellings", exit_codes_and_spellings(&bench)).await;
    cases.run("unbuilt commands say so", unbuilt_commands_say_so(&bench)).await;
    cases.run("list-member", list_member(&bench)).await;
    cases.run("operate-source", operate_source(&bench)).await;
    cases.run("check-task", check_task(&bench)).await;
    cases.run("start-task refuses", start_task_refuses(&bench)).await;
    cases.run("config", config(&bench)).await;
    cases.run("encrypt", encrypt(&bench)).await;
    cases.run("standard input", standard_input(&bench)).await;
    cases.run("one operation on a task at a time", one_operation_at_a_time(&bench)).await;
    cases.run("offline-member", offline_member(&mut bench)).await;
    cases.end();
}

async fn versions_and_samples(bench: &Bench) -> Result<()> {
    for program in ["dm-master", "dm-worker", "dmctl"] {
        for option in ["-V", "--version", "-version"] {
            let out = run_program(program, &[option], "", bench.folder()).await?;
            ensure!(out.code == Some(0), "{program} {option}: {out:?}");
            ensure!(out.stdout.starts_with("Release Version: v"), "{program} {option}: {out:?}");
        }
        let out = run_program(program, &["--help"], "", bench.folder()).await?;
        ensure!(out.code == Some(0) && out.stdout.contains("Usage"), "{program} --help: {out:?}");
    }
    for (program, key) in [("dm-master", "master-addr"), ("dm-worker", "worker-addr")] {
        for option in ["-print-sample-config", "--print-sample-config"] {
            let out = run_program(program, &[option], "", bench.folder()).await?;
            ensure!(out.code == Some(0) && out.stdout.contains(key), "{program} {option}: {out:?}");
        }
    }
    for option in ["-p", "--print-sample-config", "-print-sample-config"] {
        let out = run_program("dmctl", &["operate-source", option], "", bench.folder()).await?;
        ensure!(out.code == Some(0) && out.stdout.contains("source-id"), "operate-source {option}: {out:?}");
    }
    Ok(())
}

async fn exit_codes_and_spellings(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    let first = bench.cluster.master_addrs()[0].clone();
    let dead = format!("127.0.0.1:{}", dm_tests::process::free_port()?);
    // (words after the program, exit code, what standard output or error has)
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--master-addr", &first, "list-member", "-l"], 0, "\"leader\""),
        (&["-master-addr", &first, "list-member", "-leader"], 0, "\"leader\""),
        (&["--master-addr", &format!("{dead},{first}"), "list-member", "--leader"], 0, "\"leader\""),
        (&["--master-addr", &format!("http://{first}"), "list-member", "--leader"], 0, "\"leader\""),
        (&["--master-addr", &dead, "list-member"], 1, "Error: can't connect to"),
        (&["--master-addr", &first, "no-such-command"], 1, "unknown command \"no-such-command\""),
        (&["--master-addr", &first, "start-task"], 1, "Usage: dmctl start-task"),
        (&["--master-addr", &first, "start-task", "nowhere.yaml"], 1, "nowhere.yaml"),
        (&["--master-addr", &first, "--no-such-option", "list-member"], 1, "Error: "),
        (&["--master-addr", &first, "--rpc-timeout", "soon", "list-member"], 1, "soon"),
        (&["--master-addr", &first, "--config", "nowhere.toml", "list-member"], 1, "nowhere.toml"),
        (&["list-member"], 1, "--master-addr"),
        (&["--master-addr", &first, "operate-source", "update", "x.yaml"], 1, "not supported"),
        (&["--master-addr", &first, "query-status", "nobody"], 0, "\"result\": false"),
        (&["--master-addr", &first, "--strict-exit", "query-status", "nobody"], 1, "\"result\": false"),
    ];
    for (words, code, has) in cases {
        let out = run_program("dmctl", words, "", bench.folder()).await?;
        let text = format!("{}{}", out.stdout, out.stderr);
        ensure!(
            out.code == Some(*code) && text.contains(has),
            "dmctl {words:?} should end with {code} and say {has}: {out:?}"
        );
    }
    let file = bench.file("dmctl.toml", &format!("master-addr = \"{first}\"\n"))?;
    let out = run_program("dmctl", &["--config", &file, "list-member", "-l"], "", bench.folder()).await?;
    ensure!(out.code == Some(0), "{out:?}");
    let file = bench.file("dmctl-bad.toml", &format!("master-addr = \"{first}\"\nmaster-adr = 3\n"))?;
    let out = run_program("dmctl", &["--config", &file, "list-member", "-l"], "", bench.folder()).await?;
    ensure!(out.code == Some(1) && out.stderr.contains("master-adr"), "{out:?}");
    let unknown = dmctl.json(&["query-status", "nobody"]).await?;
    ensure!(
        unknown["msg"] == "task nobody has no source or not exist, please check the task name and status",
        "{unknown:#}"
    );
    Ok(())
}

async fn unbuilt_commands_say_so(bench: &Bench) -> Result<()> {
    for words in [
        &["transfer-source", "a", "b"][..],
        &["start-relay", "-s", "a", "w"],
        &["purge-relay", "-s", "a", "-f", "mysql-bin.000002"],
        &["shard-ddl-lock"],
        &["binlog-schema", "list", "t", "d", "t"],
        &["validation", "status", "t"],
        &["config", "export", "-p", "x"],
        &["config", "master", "master1"],
        &["handle-error", "t", "skip"],
        &["update-task", "t.yaml"],
    ] {
        let out = bench.dmctl().run(words).await?;
        ensure!(out.code == Some(1), "dmctl {words:?}: {out:?}");
        ensure!(out.stderr.contains("not built yet"), "dmctl {words:?}: {out:?}");
    }
    Ok(())
}

async fn list_member(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    // each master writes its own addresses down as soon as there is a leader
    let all = wait::until("client addresses", SOON, || async {
        let all = dmctl.ok(&["list-member"]).await?;
        let masters = all["members"][1]["master"]["masters"].as_array().context("masters")?;
        Ok(masters.iter().all(|master| master["clientURLs"][0].is_string()).then(|| all.clone()))
    })
    .await?;
    let members = all["members"].as_array().context("members")?;
    ensure!(members.len() == 3, "{all:#}");
    let leader = members[0]["leader"]["name"].as_str().unwrap_or_default().to_owned();
    ensure!(bench.cluster.master_addr(&leader)? == members[0]["leader"]["addr"].as_str().unwrap_or_default());
    let masters = members[1]["master"]["masters"].as_array().context("masters")?;
    ensure!(masters.len() == 3, "{all:#}");
    for master in masters {
        ensure!(master["alive"] == true, "{master:#}");
        ensure!(master["memberID"].is_string(), "{master:#}");
        for urls in ["peerURLs", "clientURLs"] {
            ensure!(master[urls][0].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:")), "{master:#}");
        }
    }
    let workers = members[2]["worker"]["workers"].as_array().context("workers")?;
    ensure!(workers.len() == 2, "{all:#}");
    for worker in workers {
        ensure!(worker["stage"] == "free" && worker["source"] == "", "{worker:#}");
    }
    let one = dmctl.ok(&["list-member", "-w", "-n", "worker2"]).await?;
    ensure!(one["members"].as_array().is_some_and(|members| members.len() == 1), "{one:#}");
    let found = &one["members"][0]["worker"]["workers"];
    ensure!(found.as_array().is_some_and(|workers| workers.len() == 1) && found[0]["name"] == "worker2", "{one:#}");
    let text = dmctl.run(&["list-member", "--master"]).await?.stdout;
    ensure!(text.starts_with("{\n    \"result\": true,\n    \"msg\": \"\",\n    \"members\": [\n        {"), "{text}");
    Ok(())
}

async fn operate_source(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    let empty = dmctl.ok(&["operate-source", "show"]).await?;
    ensure!(empty["sources"].as_array().is_some_and(Vec::is_empty), "{empty:#}");
    let file = bench.file("src-1.yaml", &bench.source_text("src-1"))?;
    let created = dmctl.ok(&["operate-source", "create", &file]).await?;
    let element = &created["sources"][0];
    ensure!(
        element["source"] == "src-1" && element["worker"].as_str().is_some_and(|w| w.starts_with("worker")),
        "{created:#}"
    );
    refused(&dmctl.json(&["operate-source", "create", &file]).await?, 46007)?;
    // one of two is unreachable: none is left
    let good = bench.file("src-good.yaml", &bench.source_text("src-good"))?;
    let port = dm_tests::process::free_port()?;
    let text =
        bench.source_text("src-bad").replace(&format!("port: {}", bench.source.port()), &format!("port: {port}"));
    let bad = bench.file("src-bad.yaml", &text)?;
    let answer = dmctl.json(&["operate-source", "create", &good, &bad]).await?;
    ensure!(
        answer["result"] == false && answer["msg"].as_str().is_some_and(|msg| msg.contains(&port.to_string())),
        "{answer:#}"
    );
    has_code(answer["msg"].as_str().unwrap_or_default(), 10002)?;
    let shown = dmctl.ok(&["operate-source", "show"]).await?;
    ensure!(shown["sources"].as_array().is_some_and(|sources| sources.len() == 1), "{shown:#}");
    // to a worker of one's choice
    for worker in ["worker1", "worker2"] {
        let id = format!("src-{worker}");
        let file = bench.file(&format!("{id}.yaml"), &bench.source_text(&id))?;
        let created = dmctl.ok(&["operate-source", "create", &file, "-w", worker]).await?;
        ensure!(created["sources"][0]["worker"] == worker, "{created:#}");
        let bound = dmctl.ok(&["list-member", "-w", "-n", worker]).await?;
        ensure!(bound["members"][0]["worker"]["workers"][0]["stage"] == "bound", "{bound:#}");
        dmctl.ok(&["operate-source", "stop", &id]).await?;
    }
    let answer = dmctl.json(&["operate-source", "create", &good, "-w", "nobody"]).await?;
    ensure!(answer["result"] == false, "{answer:#}");
    // by file and by id; twice is refused
    dmctl.ok(&["operate-source", "stop", &file]).await?;
    let gone = dmctl.json(&["operate-source", "stop", "src-1"]).await?;
    refused(&gone, 46008)
}

async fn check_task(bench: &Bench) -> Result<()> {
    bench.create_source("check").await?;
    bench.make_rows("check_ok", 3).await?;
    bench
        .at_source(&[
            "CREATE DATABASE check_no_key COLLATE utf8mb4_general_ci",
            "CREATE TABLE check_no_key.t (id INT, v INT)",
        ])
        .await?;
    let dmctl = bench.dmctl();
    let file = bench.file("check.yaml", &bench.task("check", "all", &["check"], "check_no_key"))?;
    let warned = dmctl.json(&["check-task", &file]).await?;
    ensure!(warned["result"] == true, "{warned:#}");
    let msg = warned["msg"].as_str().unwrap_or_default();
    let listing: Value = serde_json::from_str(&msg[msg.find('{').context("JSON in the message")?..])?;
    ensure!(listing["summary"]["passed"] == true, "{listing:#}");
    for key in ["total", "successful", "failed", "warning"] {
        ensure!(listing["summary"][key].is_number(), "{key} in {listing:#}");
    }
    let results = listing["results"].as_array().context("results")?;
    ensure!(results.iter().any(|one| one["name"] == "table structure compatibility check"), "{listing:#}");
    ensure!(results.iter().all(|one| one["state"] != "success"), "only failures and warnings are listed: {listing:#}");
    // -w limits
    let none = dmctl.json(&["check-task", &file, "-w", "1", "-e", "1"]).await?;
    ensure!(none["result"] == true, "{none:#}");
    // a check that fails
    as_root(
        &bench.source,
        &["CREATE USER 'poor'@'%' IDENTIFIED BY 'poor'", "GRANT SELECT ON check_ok.* TO 'poor'@'%'"],
    )
    .await?;
    let text = source_text("poor", &bench.source).replace("\"dm\"", "\"poor\"");
    let source = bench.file("poor.yaml", &text)?;
    dmctl.ok(&["operate-source", "create", &source]).await?;
    let file = bench.file("check-poor.yaml", &bench.task("check-poor", "all", &["poor"], "check_ok"))?;
    let failed = dmctl.json(&["check-task", &file]).await?;
    refused(&failed, 26005)?;
    let msg = failed["msg"].as_str().unwrap_or_default();
    ensure!(msg.contains("REPLICATION SLAVE"), "{failed:#}");
    let started = dmctl.json(&["start-task", &file]).await?;
    ensure!(started["result"] == false && started["msg"] == "", "{started:#}");
    has_code(started["checkResult"].as_str().unwrap_or_default(), 26005)?;
    let status = dmctl.json(&["query-status", "check-poor"]).await?;
    ensure!(status["result"] == false, "nothing was left of a refused task: {status:#}");
    dmctl.ok(&["operate-source", "stop", "poor"]).await?;
    dmctl.ok(&["operate-source", "stop", "check"]).await?;
    Ok(())
}

async fn start_task_refuses(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    bench.create_source("refuse").await?;
    bench.make_rows("refuse", 3).await?;
    let unknown = bench.file("unknown.yaml", &bench.task("refuse", "all", &["nobody"], "refuse"))?;
    refused(&dmctl.json(&["start-task", &unknown]).await?, 20031)?;
    refused(&dmctl.json(&["check-task", &unknown]).await?, 20031)?;
    let good = bench.file("refuse-task.yaml", &bench.task("refuse", "all", &["refuse"], "refuse"))?;
    refused(&dmctl.json(&["start-task", "-s", "nobody", &good]).await?, 20031)?;
    refused(&dmctl.json(&["start-task", "--start-time", "yesterday", &good]).await?, 60011)?;
    let started = dmctl.ok(&["start-task", &good]).await?;
    ensure!(started["checkResult"].as_str().is_some_and(|text| !text.is_empty()), "{started:#}");
    ensure!(started["sources"][0]["source"] == "refuse", "{started:#}");
    for words in
        [&["start-task", &good][..], &["start-task", "--remove-meta", &good], &["start-task", "-s", "refuse", &good]]
    {
        refused(&dmctl.json(words).await?, 46014).with_context(|| format!("{words:?}"))?;
    }
    // a source with a task stays
    refused(&dmctl.json(&["operate-source", "stop", "refuse"]).await?, 46010)?;
    for command in ["pause-task", "resume-task", "stop-task"] {
        let answer = dmctl.json(&[command, "nobody"]).await?;
        ensure!(answer["result"] == false, "{answer:#}");
        ensure!(
            answer["msg"] == "task nobody has no source or not exist, please check the task name and status",
            "{answer:#}"
        );
        let out = dmctl.run(&[command]).await?;
        ensure!(out.code == Some(1), "{command} without task and source: {out:?}");
    }
    // a file stands for its name
    let stopped = dmctl.ok(&["stop-task", &good]).await?;
    ensure!(stopped["op"] == "Delete", "{stopped:#}");
    dmctl.ok(&["operate-source", "stop", "refuse"]).await?;
    Ok(())
}

async fn config(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    bench.create_source("conf").await?;
    bench.make_rows("conf", 3).await?;
    let text = bench.task("conf", "all", &["conf"], "conf");
    let file = bench.file("conf-task.yaml", &text)?;
    dmctl.ok(&["start-task", &file]).await?;
    let shown = dmctl.ok(&["config", "task", "conf"]).await?;
    let cfg = shown["cfg"].as_str().context("cfg")?;
    ensure!(cfg.contains("password: '******'") && !cfg.contains("password: \"dm\""), "{cfg}");
    ensure!(cfg.replace("'******'", "\"dm\"") == text, "the user's text with its comments: {cfg}");
    let shown = dmctl.ok(&["config", "source", "conf"]).await?;
    let cfg = shown["cfg"].as_str().context("cfg")?;
    ensure!(cfg.contains("******") && !cfg.contains("password: \"dm\"") && cfg.contains("# a source"), "{cfg}");
    ensure!(cfg.contains("flavor: mysql") && cfg.contains("server-id: "), "filled in: {cfg}");
    let out = dmctl.run(&["config", "task", "conf", "-p", "written.yaml"]).await?;
    ensure!(out.code == Some(0), "{out:?}");
    let written = std::fs::read_to_string(bench.folder().join("written.yaml"))?;
    ensure!(written.contains("name: \"conf\"") && written.contains("******"), "{written}");
    for kind in ["task", "source"] {
        let answer = dmctl.json(&["config", kind, "nobody"]).await?;
        ensure!(
            answer["result"] == false && answer["msg"].as_str().is_some_and(|msg| msg.starts_with("[code=")),
            "{answer:#}"
        );
    }
    dmctl.ok(&["stop-task", "conf"]).await?;
    dmctl.ok(&["operate-source", "stop", "conf"]).await?;
    Ok(())
}

async fn encrypt(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    let out = dmctl.run(&["encrypt", "dm"]).await?;
    ensure!(out.code == Some(0), "{out:?}");
    let cipher = out.stdout.trim();
    ensure!(!cipher.is_empty() && cipher != "dm" && !cipher.contains('\n'), "{out:?}");
    let again = dmctl.run(&["encrypt", "dm"]).await?;
    ensure!(again.stdout.trim() != cipher, "twice the same ciphertext tells equal passwords apart from others");
    let with = |text: String| text.replace("password: \"dm\"", &format!("password: \"{cipher}\""));
    let file = bench.file("enc.yaml", &with(bench.source_text("enc")))?;
    dmctl.ok(&["operate-source", "create", &file]).await?;
    bench.make_rows("enc", 5).await?;
    let file = bench.file("enc-task.yaml", &with(bench.task("enc", "all", &["enc"], "enc")))?;
    dmctl.ok(&["start-task", &file]).await?;
    bench.wait_stage("enc", "Running", "Sync").await?;
    bench.add_rows("enc", 100, 5).await?;
    bench.same_rows("enc").await?;
    let shown = dmctl.ok(&["config", "task", "enc"]).await?;
    ensure!(!shown["cfg"].as_str().unwrap_or_default().contains(cipher), "{shown:#}");
    dmctl.ok(&["stop-task", "enc"]).await?;
    dmctl.ok(&["operate-source", "stop", "enc"]).await?;
    Ok(())
}

async fn standard_input(bench: &Bench) -> Result<()> {
    let addr = format!("--master-addr={}", bench.cluster.master_addrs().join(","));
    let good = "# a comment\n\nlist-member -l\noperate-source show\nexit\nno-such-command\n";
    let out = run_program("dmctl", &[&addr], good, bench.folder()).await?;
    ensure!(out.code == Some(0), "{out:?}");
    ensure!(out.stdout.contains("\"leader\"") && out.stdout.contains("\"sources\""), "{out:?}");
    let bad = "no-such-command\nlist-member -l\nquery-status \"open\n";
    let out = run_program("dmctl", &[&addr], bad, bench.folder()).await?;
    ensure!(out.code == Some(1), "{out:?}");
    ensure!(
        out.stderr.contains("no-such-command") && out.stdout.contains("\"leader\""),
        "goes on after an error: {out:?}"
    );
    Ok(())
}

/// A frozen target keeps the first request busy in its precheck.
async fn one_operation_at_a_time(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    bench.create_source("latch").await?;
    bench.make_rows("latch", 3).await?;
    let file = bench.file("latch-task.yaml", &bench.task("latch", "all", &["latch"], "latch"))?;
    bench.target.freeze()?;
    let first = {
        let (dmctl, file) = (dmctl.clone(), file.clone());
        tokio::spawn(async move { dmctl.json(&["start-task", &file]).await })
    };
    let second = wait::until("the second to be refused", SOON, || async {
        let answer = dmctl.json(&["pause-task", "latch"]).await?;
        Ok(answer["msg"].as_str().is_some_and(|msg| msg.contains("code=46024:")).then_some(answer))
    })
    .await;
    bench.target.thaw()?;
    refused(&second?, 46024)?;
    let first = first.await??;
    ensure!(first["result"] == true, "the first goes on when the target answers: {first:#}");
    dmctl.ok(&["stop-task", "latch"]).await?;
    dmctl.ok(&["operate-source", "stop", "latch"]).await?;
    Ok(())
}

async fn offline_member(bench: &mut Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    refused(&dmctl.json(&["offline-member", "--worker", "-n", "worker2"]).await?, 46005)?;
    let answer = dmctl.json(&["offline-member", "--worker", "-n", "nobody"]).await?;
    ensure!(answer["result"] == false, "{answer:#}");
    bench.cluster.process("worker2")?.kill()?;
    wait::until("worker2 to be offline", SOON, || async {
        let answer = dmctl.ok(&["list-member", "-w", "-n", "worker2"]).await?;
        Ok((answer["members"][0]["worker"]["workers"][0]["stage"] == "offline").then_some(()))
    })
    .await?;
    dmctl.ok(&["offline-member", "--worker", "-n", "worker2"]).await?;
    let answer = dmctl.ok(&["list-member", "-w"]).await?;
    ensure!(
        answer["members"][0]["worker"]["workers"].as_array().is_some_and(|workers| workers.len() == 1),
        "{answer:#}"
    );
    // a master: out of the group, and what is left goes on
    let leader = bench.cluster.wait_leader(SOON).await?;
    let follower = bench.cluster.master_names().into_iter().find(|name| *name != leader).context("find a follower")?;
    bench.cluster.process(&follower)?.kill()?;
    dmctl.ok(&["offline-member", "--master", "-n", &follower]).await?;
    let answer = dmctl.ok(&["list-member", "-m"]).await?;
    ensure!(
        answer["members"][0]["master"]["masters"].as_array().is_some_and(|masters| masters.len() == 2),
        "{answer:#}"
    );
    let text = task_text("later", "all", &["nobody"], "later", &bench.target);
    let file = bench.file("later.yaml", &text)?;
    refused(&dmctl.json(&["start-task", &file]).await?, 20031)
}
