//! Bad input: every mistake of an operator gets a code and words, and nothing is changed by it.

use anyhow::{Context, Result, ensure};
use dm_tests::{
    Server, ServerKind, ServerOptions,
    cluster::{Options, dmctl::run_program},
    process::free_port,
};

use super::{
    bench::{Bench, SOON, as_root, execute, has_code, refused, rows, source_text},
    cases::Cases,
};
use dm_tests::wait;

#[tokio::test(flavor = "multi_thread")]
async fn refusals() {
    let mut cases = Cases::begin("refusals");
    let options = Options { n_masters: 1, n_workers: 1, ..Options::default() };
    let mut bench = Bench::start(ServerKind::MariaDb, options).await.expect("start a cluster");
    bench.create_source("src").await.expect("create a source");
    cases.run("keys of programs", keys_of_programs(&bench)).await;
    cases.run("keys of sources", keys_of_sources(&bench)).await;
    cases.run("keys of tasks", keys_of_tasks(&bench)).await;
    cases.run("what is not built", what_is_not_built(&bench)).await;
    cases.run("servers that do not fit", servers_that_do_not_fit(&bench)).await;
    cases.run("rights that are missing", rights_that_are_missing(&bench)).await;
    cases.run("other columns in the target", other_columns(&bench)).await;
    cases.run("a target that refuses rows", target_refuses_rows(&bench)).await;
    cases.run("garbage on every port", garbage_on_every_port(&mut bench)).await;
    cases.run("no worker for a source", no_worker(&mut bench)).await;
    cases.end();
}

async fn keys_of_programs(bench: &Bench) -> Result<()> {
    let port = free_port()?;
    let master =
        format!("name = \"m\"\nmaster-addr = \"127.0.0.1:{port}\"\ndata-dir = \"{}/bad\"\n", bench.folder().display());
    let worker = format!("name = \"w\"\nworker-addr = \"127.0.0.1:{port}\"\njoin = \"127.0.0.1:1\"\n");
    // (program, text of its file, further options, code, what the text names)
    let cases = [
        ("dm-master", format!("{master}master-adr = 1\n"), "", 38011, "master-adr"),
        ("dm-master", format!("{master}= no\n"), "", 38013, ""),
        ("dm-master", master.clone(), "--master-addr=nonsense", 38035, "nonsense"),
        ("dm-master", master.clone(), "--advertise-addr=:8261", 38042, ""),
        ("dm-master", master.clone(), "--peer-urls=nonsense", 38039, "nonsense"),
        ("dm-master", master.clone(), "--initial-cluster=m", 38037, ""),
        ("dm-master", master.clone(), "--initial-cluster=other=http://127.0.0.1:1", 38037, "`m`"),
        ("dm-master", master.clone(), "--secret-key-path=/nowhere/key", 60308, "/nowhere/key"),
        ("dm-master", master.clone(), "--join=127.0.0.1:1", 60307, "127.0.0.1:1"),
        ("dm-master", master.clone(), "--log-level=loud", 60013, "loud"),
        ("dm-worker", format!("{worker}joyn = \"x\"\n"), "", 40004, "joyn"),
        ("dm-worker", format!("{worker}= no\n"), "", 40003, ""),
        ("dm-worker", worker.clone(), "--worker-addr=nonsense", 40069, "nonsense"),
        ("dm-worker", "worker-addr = \"127.0.0.1:1\"\n".to_owned(), "", 60014, "join"),
        ("dm-worker", worker.clone(), "--log-level=loud", 60013, "loud"),
    ];
    let mut wrong = Vec::new();
    for (i, (program, text, option, code, names)) in cases.iter().enumerate() {
        let file = bench.file(&format!("bad-{i}.toml"), text)?;
        let config = format!("--config={file}");
        let words: Vec<&str> = [config.as_str(), option].into_iter().filter(|word| !word.is_empty()).collect();
        let out = run_program(program, &words, "", bench.folder()).await?;
        let said = format!("{}{}", out.stdout, out.stderr);
        if out.code == Some(0) || !said.contains(&format!("code={code}:")) || !said.contains(names) {
            wrong.push(format!(
                "{program} {option} with `{}`: wanted {code} {names}, got {:?} {said}",
                text.lines().last().unwrap_or_default(),
                out.code
            ));
        }
    }
    for (program, words) in [
        ("dm-master", &["--no-such-flag"][..]),
        ("dm-worker", &["--no-such-flag"]),
        ("dm-master", &["--config=/nowhere.toml"]),
        ("dm-worker", &["--config=/nowhere.toml"]),
    ] {
        let out = run_program(program, words, "", bench.folder()).await?;
        let said = format!("{}{}", out.stdout, out.stderr);
        if out.code == Some(0) || !said.contains(words[0].trim_start_matches("--config=")) {
            wrong.push(format!("{program} {words:?}: {out:?}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

async fn keys_of_sources(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    let good = bench.source_text("bad-source");
    let port = format!("port: {}", bench.source.port());
    let long = "x".repeat(33);
    // (what is replaced, by what, code)
    let cases = [
        ("source-id: \"bad-source\"", "source-id: \"\"", 40005),
        ("source-id: \"bad-source\"", &format!("source-id: \"{long}\""), 40006),
        ("enable-gtid: true", "enable-gtit: true", 20003),
        ("enable-gtid: true", "enable-gtid: [", 20003),
        ("enable-gtid: true", "enable-gtid: true\nenable-gtid: false", 20003),
        ("enable-gtid: true", "flavor: oracle", 60013),
        ("enable-gtid: true", "relay-binlog-name: nonsense", 40007),
        ("enable-gtid: true", "checker: {backoff-min: 10s, backoff-max: 1s}", 20043),
        ("enable-gtid: true", "filters: [{schema-pattern: \"a\", events: [\"no event\"], action: Ignore}]", 20037),
        (port.as_str(), "port: 1", 10002),
        ("\"dm\"\n", "\"nobody\"\n", 10002),
    ];
    let mut wrong = Vec::new();
    for (i, (from, to, code)) in cases.iter().enumerate() {
        let text = good.replace(from, to);
        ensure!(text != good, "{from} is not in the text");
        let file = bench.file(&format!("bad-source-{i}.yaml"), &text)?;
        let answer = dmctl.json(&["operate-source", "create", &file]).await?;
        if let Err(error) = refused(&answer, *code) {
            wrong.push(format!("{to}: {error:#}"));
        }
    }
    let shown = dmctl.ok(&["operate-source", "show"]).await?;
    ensure!(shown["sources"].as_array().is_some_and(|sources| sources.len() == 1), "{shown:#}");
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

async fn keys_of_tasks(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    bench.make_rows("bad_task", 2).await?;
    let good = bench.task("bad-task", "all", &["src"], "bad_task");
    let target = format!("port: {}", bench.target.port());
    let cases = [
        ("task-mode: all", "task-mod: all", 20003),
        ("task-mode: all", "task-mode: some", 20020),
        ("name: \"bad-task\"", "name: \"\"", 20019),
        ("timezone: \"+00:00\"", "timezone: \"Mars\"", 20008),
        ("timezone: \"+00:00\"", "ignore-checking-items: [\"nothing\"]", 20001),
        ("timezone: \"+00:00\"", "shard-mode: \"maybe\"", 20033),
        ("timezone: \"+00:00\"", "column-mappings: {a: {}}", 20064),
        ("timezone: \"+00:00\"", "routes: {r: {schema-pattern: \"a\", target-schema: \"b\"}}", 20038),
        ("timezone: \"+00:00\"", "timezone: \"+00:00\"\ntimezone: \"+00:00\"", 20003),
        ("block-allow-list: \"one\"", "block-allow-list: \"two\"", 20026),
        ("syncer-config-name: \"s\"", "syncer-config-name: \"x\"", 20030),
        ("loader-config-name: \"l\"", "loader-config-name: \"x\"", 20029),
        ("mydumper-config-name: \"d\"", "mydumper-config-name: \"x\"", 20027),
        ("mydumper-config-name: \"d\"", "mydumper-config-name: \"d\"\n    filter-rules: [\"x\"]", 20024),
        ("mydumper-config-name: \"d\"", "mydumper-config-name: \"d\"\n    route-rules: [\"x\"]", 20023),
        ("source-id: \"src\"", "source-id: \"nobody\"", 20031),
        ("do-dbs: [\"bad_task\"]", "do-dbs: [\"~[\"]", 20044),
        (target.as_str(), "port: 1", 26005),
    ];
    let mut wrong = Vec::new();
    for (i, (from, to, code)) in cases.iter().enumerate() {
        let text = good.replace(from, to);
        ensure!(text != good, "{from} is not in the text");
        let file = bench.file(&format!("bad-task-{i}.yaml"), &text)?;
        for command in ["check-task", "start-task"] {
            let answer = dmctl.json(&[command, &file]).await?;
            let said = format!(
                "{}{}",
                answer["msg"].as_str().unwrap_or_default(),
                answer["checkResult"].as_str().unwrap_or_default()
            );
            if answer["result"] != false || has_code(&said, *code).is_err() {
                wrong.push(format!("{command} with {to}: wanted {code}, got {answer:#}"));
            }
        }
    }
    let status = dmctl.json(&["query-status"]).await?;
    ensure!(status["tasks"].as_array().is_some_and(Vec::is_empty), "{status:#}");
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Settings of DM that this version cannot carry out are refused, never passed over.
async fn what_is_not_built(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    let good = bench.task("unbuilt", "all", &["src"], "bad_task");
    for (from, to) in [
        ("timezone: \"+00:00\"", "shard-mode: \"pessimistic\""),
        ("timezone: \"+00:00\"", "is-sharding: true"),
        ("task-mode: all", "task-mode: dump"),
        ("{pool-size: 2}", "{pool-size: 2, import-mode: \"physical\"}"),
    ] {
        let text = good.replace(from, to);
        ensure!(text != good, "{from} is not in the text");
        let file = bench.file("unbuilt.yaml", &text)?;
        let answer = dmctl.json(&["start-task", &file]).await?;
        refused(&answer, 60010).with_context(|| to.to_owned())?;
    }
    Ok(())
}

async fn servers_that_do_not_fit(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    let mut wrong = Vec::new();
    let mut check = |what: &str, outcome: Result<()>| {
        if let Err(error) = outcome {
            wrong.push(format!("{what}: {error:#}"));
        }
    };
    // a flavor that the server is not
    let file = bench.file("flavor.yaml", &format!("{}flavor: mysql\n", bench.source_text("flavor")))?;
    let answer = dmctl.json(&["operate-source", "create", &file]).await?;
    check("flavor", refused(&answer, 60311));
    if answer["result"] == true {
        dmctl.ok(&["operate-source", "stop", "flavor"]).await?;
    }
    // binlog settings
    let options = ServerOptions::default().with_server_id(7).with("--binlog-format=STATEMENT");
    let server = Server::start(ServerKind::MariaDb, options).await?;
    let file = bench.file("statement.yaml", &source_text("statement", &server))?;
    let answer = dmctl.json(&["operate-source", "create", &file]).await?;
    check("binlog_format STATEMENT", refused(&answer, 60304));
    execute(
        &server,
        &[
            "SET GLOBAL binlog_format = 'MIXED'",
            "CREATE DATABASE mixed",
            "CREATE TABLE mixed.t (id INT PRIMARY KEY, v INT)",
        ],
    )
    .await?;
    let answer = dmctl.json(&["operate-source", "create", &file]).await?;
    if answer["result"] == true {
        let file = bench.file("mixed.yaml", &bench.task("mixed", "all", &["statement"], "mixed"))?;
        let answer = dmctl.json(&["start-task", &file]).await?;
        let said = answer["checkResult"].as_str().unwrap_or_default();
        check("binlog_format MIXED", has_code(said, 26005));
        ensure!(said.contains("mysql_binlog_format") && said.contains("MIXED"), "{answer:#}");
        execute(&server, &["SET GLOBAL binlog_format = 'ROW'", "SET GLOBAL binlog_row_image = 'MINIMAL'"]).await?;
        let answer = dmctl.json(&["start-task", &file]).await?;
        check("binlog_row_image", has_code(answer["checkResult"].as_str().unwrap_or_default(), 26005));
        dmctl.ok(&["operate-source", "stop", "statement"]).await?;
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

async fn rights_that_are_missing(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    bench.make_rows("rights", 4).await?;
    as_root(
        &bench.source,
        &["CREATE USER 'reader'@'%' IDENTIFIED BY 'reader'", "GRANT SELECT ON rights.* TO 'reader'@'%'"],
    )
    .await?;
    let file = bench.file("reader.yaml", &source_text("reader", &bench.source).replace("\"dm\"", "\"reader\""))?;
    dmctl.ok(&["operate-source", "create", &file]).await?;
    let text = bench.task("rights", "all", &["reader"], "rights");
    let file = bench.file("rights.yaml", &text)?;
    let answer = dmctl.json(&["start-task", &file]).await?;
    let said = answer["checkResult"].as_str().unwrap_or_default();
    has_code(said, 26005)?;
    ensure!(said.contains("REPLICATION SLAVE"), "{answer:#}");
    // the check left out: the worker says it
    let file = bench.file("rights.yaml", &text.replace("timezone:", "ignore-checking-items: [\"all\"]\ntimezone:"))?;
    dmctl.json(&["start-task", &file]).await?;
    let error = bench.wait_error("rights").await?;
    ensure!(error["ErrCode"].as_u64().is_some_and(|code| code != 50000), "{error:#}");
    println!("no right to replicate: {} {}", error["ErrCode"], error["Message"]);
    as_root(&bench.source, &["GRANT REPLICATION SLAVE, BINLOG MONITOR, RELOAD, LOCK TABLES ON *.* TO 'reader'@'%'"])
        .await?;
    dmctl.json(&["resume-task", "rights"]).await?;
    bench.wait_stage("rights", "Running", "Sync").await?;
    bench.add_rows("rights", 100, 3).await?;
    bench.same_rows("rights").await?;
    // a right taken away from the target's user while rows flow
    as_root(&bench.target, &["CREATE USER 'writer'@'%' IDENTIFIED BY 'writer'", "GRANT ALL ON *.* TO 'writer'@'%'"])
        .await?;
    dmctl.ok(&["stop-task", "rights"]).await?;
    dmctl.ok(&["operate-source", "stop", "reader"]).await?;
    let text = bench.task("rights2", "all", &["src"], "rights").replace("\"dm\"", "\"writer\"");
    let file = bench.file("rights2.yaml", &text)?;
    dmctl.ok(&["start-task", &file]).await?;
    bench.wait_stage("rights2", "Running", "Sync").await?;
    as_root(
        &bench.target,
        &[
            "REVOKE ALL ON *.* FROM 'writer'@'%'",
            "GRANT ALL ON dm_meta.* TO 'writer'@'%'",
            "GRANT SELECT ON rights.* TO 'writer'@'%'",
        ],
    )
    .await?;
    bench.at_source(&["CREATE TABLE rights.later (id INT PRIMARY KEY)"]).await?;
    bench.add_rows("rights", 200, 3).await?;
    let pids = rows(&bench.target, "SELECT id FROM information_schema.processlist WHERE user = 'writer'").await?;
    for pid in pids {
        as_root(&bench.target, &[&format!("KILL {pid}")]).await.ok();
    }
    let error = bench.wait_error("rights2").await?;
    println!("no right to write: {} {}", error["ErrCode"], error["Message"]);
    ensure!(error.to_string().contains("1142") || error.to_string().contains("1044"), "{error:#}");
    as_root(&bench.target, &["GRANT ALL ON *.* TO 'writer'@'%'"]).await?;
    dmctl.json(&["resume-task", "rights2"]).await?;
    bench.same_rows("rights").await?;
    dmctl.ok(&["stop-task", "rights2"]).await?;
    Ok(())
}

async fn other_columns(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    let mut wrong = Vec::new();
    // (name, the target's table, whether the copy can fill it)
    for (name, columns, fits) in [
        ("cols_less", "id INT PRIMARY KEY", false),
        ("cols_more", "id INT PRIMARY KEY, v VARCHAR(64), extra INT DEFAULT 3", true),
        ("cols_need", "id INT PRIMARY KEY, v VARCHAR(64), extra INT NOT NULL", false),
        ("cols_narrow", "id INT PRIMARY KEY, v VARCHAR(2)", false),
        ("cols_order", "v VARCHAR(64), id INT PRIMARY KEY", true),
    ] {
        bench.make_rows(name, 5).await?;
        bench.at_target(&[&format!("CREATE DATABASE {name}"), &format!("CREATE TABLE {name}.t ({columns})")]).await?;
        let file = bench.file(&format!("{name}.yaml"), &bench.task(name, "all", &["src"], name))?;
        let answer = dmctl.json(&["start-task", &file]).await?;
        if fits {
            let found = wait::until("five rows", SOON, || async {
                Ok((rows(&bench.target, &format!("SELECT COUNT(*), COUNT(v) FROM {name}.t")).await? == ["5", "5"])
                    .then_some(()))
            });
            if let Err(error) = found.await {
                wrong.push(format!("{name}: {answer:#} {error:#}"));
            }
        } else {
            match bench.wait_error(name).await {
                Ok(error) => {
                    println!("{name}: {} {} {}", error["ErrCode"], error["Message"], error["RawCause"]);
                    if error["ErrCode"] == 50000 || error["Workaround"] == "" {
                        wrong.push(format!("{name}: {error:#}"));
                    }
                }
                Err(error) => wrong.push(format!("{name}: {answer:#} {error:#}")),
            }
        }
        dmctl.json(&["stop-task", name]).await?;
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

async fn target_refuses_rows(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    bench.make_rows("taken", 5).await?;
    bench.start_task("taken", "all", &["src"], "taken").await?;
    bench.wait_stage("taken", "Running", "Sync").await?;
    bench.at_target(&["INSERT INTO taken.t VALUES (100, 'by hand')"]).await?;
    bench.add_rows("taken", 100, 1).await?;
    let error = bench.wait_error("taken").await?;
    ensure!(error["ErrScope"] == "downstream" && error.to_string().contains("1062"), "{error:#}");
    println!("a row that is there: {} {} {}", error["ErrCode"], error["Message"], error["Workaround"]);
    bench.at_target(&["DELETE FROM taken.t WHERE id = 100"]).await?;
    dmctl.ok(&["resume-task", "taken"]).await?;
    bench.same_rows("taken").await?;
    // the table goes away
    bench.at_target(&["RENAME TABLE taken.t TO taken.away"]).await?;
    bench.at_source(&["DELETE FROM taken.t WHERE id = 1"]).await?;
    let error = bench.wait_error("taken").await?;
    println!("a table that is gone: {} {} {}", error["ErrCode"], error["Message"], error["Workaround"]);
    bench.at_target(&["RENAME TABLE taken.away TO taken.t"]).await?;
    dmctl.ok(&["resume-task", "taken"]).await?;
    bench.same_rows("taken").await?;
    dmctl.ok(&["stop-task", "taken"]).await?;
    Ok(())
}

async fn garbage_on_every_port(bench: &mut Bench) -> Result<()> {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };
    let master = bench.cluster.master_names().remove(0);
    let worker = bench.cluster.worker_names().remove(0);
    let addrs =
        [bench.cluster.master_addr(&master)?, bench.cluster.peer_addr(&master)?, bench.cluster.worker_addr(&worker)?];
    let mut noise = Vec::new();
    let mut seed = 7_u32;
    for _ in 0..100_000 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        noise.push((seed >> 24) as u8);
    }
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let frame = |kind: u8, length: [u8; 3], stream: u32| {
        let mut bytes = preface.clone();
        bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        bytes.extend(length);
        bytes.extend([kind, 5]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend([0xff; 64]);
        bytes
    };
    let messages: Vec<Vec<u8>> = vec![
        noise,
        vec![0; 65_536],
        b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"POST /dm.Master/StartTask HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        frame(1, [0, 0, 64], 1),
        frame(0, [0xff, 0xff, 0xff], 1),
        frame(9, [0, 0, 0], 0),
        preface,
        Vec::new(),
    ];
    for addr in &addrs {
        for message in &messages {
            let mut stream = TcpStream::connect(addr).await?;
            // the other side may close in the middle
            let _ = stream.write_all(message).await;
            let mut answer = vec![0; 1024];
            let _ = tokio::time::timeout(std::time::Duration::from_millis(50), stream.read(&mut answer)).await;
        }
    }
    // connections that stay open and say nothing
    let mut silent = Vec::new();
    for addr in &addrs {
        for _ in 0..50 {
            silent.push(TcpStream::connect(addr).await?);
        }
    }
    for name in [&master, &worker] {
        ensure!(
            bench.cluster.process(name)?.is_running(),
            "{name} died:\n{}",
            bench.cluster.process(name)?.log_tail(20)
        );
        let log = std::fs::read_to_string(&bench.cluster.process(name)?.log)?;
        ensure!(!log.contains("panicked"), "{name} panicked:\n{log}");
    }
    bench.make_rows("garbage", 3).await?;
    bench.start_task("garbage", "all", &["src"], "garbage").await?;
    bench.same_rows("garbage").await?;
    bench.dmctl().ok(&["stop-task", "garbage"]).await?;
    drop(silent);
    Ok(())
}

/// Last: it takes the worker away.
async fn no_worker(bench: &mut Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    bench.make_rows("unbound", 3).await?;
    bench.cluster.process("worker1")?.kill()?;
    wait::until("the source to be unbound", SOON, || async {
        Ok(bench.worker_of("src").await?.is_empty().then_some(()))
    })
    .await?;
    let file = bench.file("unbound.yaml", &bench.task("unbound", "all", &["src"], "unbound"))?;
    refused(&dmctl.json(&["start-task", &file]).await?, 46009)?;
    let file = bench.file("src-late.yaml", &bench.source_text("late"))?;
    let answer = dmctl.ok(&["operate-source", "create", &file]).await?;
    ensure!(answer["sources"][0]["worker"] == "", "{answer:#}");
    ensure!(answer["sources"][0]["msg"].as_str().is_some_and(|msg| msg.contains("no free worker")), "{answer:#}");
    let status = dmctl.json(&["query-status"]).await?;
    ensure!(status["sources"][0]["sourceStatus"]["worker"] == "source not bound", "{status:#}");
    ensure!(status["sources"][0]["result"] == false, "{status:#}");
    Ok(())
}
