//! TLS towards databases that demand a certificate, and between our own programs: data arrives, strangers do not get in.

use std::path::Path;

use anyhow::{Result, ensure};
use dm_tests::{
    Server, ServerKind, ServerOptions,
    certificates::{Authority, Signed},
    cluster::Options,
    wait,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    bench::{Bench, SOON, as_root},
    cases::Cases,
};

#[tokio::test(flavor = "multi_thread")]
async fn tls_towards_databases() {
    let mut cases = Cases::begin("tls");
    let options = Options { n_masters: 1, n_workers: 1, ..Options::default() };
    let mut bench = Bench::start(ServerKind::MariaDb, options).await.expect("start a cluster");
    for (name, source, target) in [
        ("MariaDB to MySQL", ServerKind::MariaDb, ServerKind::MySql),
        ("MySQL to MariaDB", ServerKind::MySql, ServerKind::MariaDb),
    ] {
        cases.run(name, demands_tls(&mut bench, source, target)).await;
    }
    cases.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_between_programs() {
    let mut cases = Cases::begin("tls between programs");
    let keys = tempfile::tempdir().expect("make a folder");
    let authority = Authority::create(keys.path(), "right").expect("create an authority");
    let ours = authority.sign("dm", &["127.0.0.1"]).expect("sign");
    let mut args = flags(&authority, &ours);
    args.push("--cert-allowed-cn=dm,operator".to_owned());
    let options = Options { n_workers: 1, tls_args: args, ..Options::default() };
    let mut bench = Bench::start(ServerKind::MariaDb, options).await.expect("start a cluster");
    let operator = authority.sign("operator", &["127.0.0.1"]).expect("sign");
    bench.cluster.dmctl_flags(flags(&authority, &operator));
    cases.run("a cluster migrates and changes its leader", migrates(&mut bench)).await;
    cases.run("strangers are not let in", strangers(&bench, &authority, keys.path())).await;
    cases.run("certificates are renewed without a restart", renewed(&mut bench, &authority, keys.path())).await;
    cases.end();
}

/// Of masters, workers and dmctl.
fn flags(authority: &Authority, signed: &Signed) -> Vec<String> {
    vec![
        format!("--ssl-ca={}", authority.ca().display()),
        format!("--ssl-cert={}", signed.cert.display()),
        format!("--ssl-key={}", signed.key.display()),
    ]
}

async fn migrates(bench: &mut Bench) -> Result<()> {
    bench.create_source("sealed").await?;
    bench.make_rows("sealed", 50).await?;
    bench.start_task("sealed", "all", &["sealed"], "sealed").await?;
    bench.wait_stage("sealed", "Running", "Sync").await?;
    let leader = bench.cluster.wait_leader(SOON).await?;
    bench.cluster.process(&leader)?.kill()?;
    bench.add_rows("sealed", 1000, 20).await?;
    bench.same_rows("sealed").await?;
    another_leader(bench, &leader).await?;
    bench.cluster.start_master(&leader)?;
    bench.dmctl().ok(&["pause-task", "sealed"]).await?;
    bench.dmctl().ok(&["resume-task", "sealed"]).await?;
    Ok(())
}

/// The others may name the dead one until they have elected.
async fn another_leader(bench: &Bench, dead: &str) -> Result<()> {
    wait::until("another leader", SOON, || async {
        let answer = bench.dmctl().json(&["list-member", "-l"]).await?;
        let name = answer["members"][0]["leader"]["name"].as_str().unwrap_or_default().to_owned();
        Ok((name != dead && !name.is_empty()).then_some(()))
    })
    .await
}

async fn strangers(bench: &Bench, authority: &Authority, folder: &Path) -> Result<()> {
    let other = Authority::create(folder, "other")?;
    let foreign = other.sign("operator", &["127.0.0.1"])?;
    let guest = authority.sign("guest", &["127.0.0.1"])?;
    for (who, flags) in [
        ("plain text", Vec::new()),
        ("another authority", flags(&other, &foreign)),
        ("a certificate of another authority", flags(authority, &foreign)),
        ("a name that is not allowed", flags(authority, &guest)),
    ] {
        let output = bench.dmctl().with_flags(flags).run(&["list-member"]).await?;
        ensure!(output.code != Some(0) && !output.stdout.contains("master1"), "{who}: {output:?}");
    }
    // Raft's port is closed to plain text and to strangers as well
    let name = bench.cluster.master_names().remove(0);
    for addr in [bench.cluster.master_addr(&name)?, bench.cluster.peer_addr(&name)?] {
        let mut stream = tokio::net::TcpStream::connect(&addr).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        // an alert or a reset
        let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await?;
        ensure!(!String::from_utf8_lossy(&answer).contains("200 OK"), "{addr} speaks plain text");
    }
    bench.dmctl().ok(&["list-member"]).await?;
    Ok(())
}

/// A new authority comes in beside the old one, then everybody gets its certificates.
async fn renewed(bench: &mut Bench, authority: &Authority, folder: &Path) -> Result<()> {
    let renewed = Authority::create(folder, "renewed")?;
    let both = std::fs::read_to_string(authority.ca())? + &std::fs::read_to_string(renewed.ca())?;
    std::fs::write(authority.ca(), both)?;
    let mut operator = flags(authority, &renewed.sign("operator", &["127.0.0.1"])?);
    let dmctl = bench.dmctl().with_flags(operator.clone());
    wait::until("a certificate of the new authority to be taken", SOON, || async {
        Ok((dmctl.run(&["list-member"]).await?.code == Some(0)).then_some(()))
    })
    .await?;
    // what the programs show is renewed in place
    let ours = renewed.sign("dm", &["127.0.0.1"])?;
    let old = authority.path_of("dm");
    std::fs::copy(&ours.cert, &old.cert)?;
    std::fs::copy(&ours.key, &old.key)?;
    operator[0] = format!("--ssl-ca={}", renewed.ca().display());
    let dmctl = bench.dmctl().with_flags(operator);
    wait::until("renewed certificates to be shown", SOON, || async {
        Ok((dmctl.run(&["list-member"]).await?.code == Some(0)).then_some(()))
    })
    .await?;
    // and the programs believe each other when they connect anew
    let leader = bench.cluster.wait_leader(SOON).await?;
    bench.cluster.process(&leader)?.kill()?;
    another_leader(bench, &leader).await?;
    bench.cluster.start_master(&leader)?;
    bench.add_rows("sealed", 2000, 20).await?;
    bench.same_rows("sealed").await?;
    bench.dmctl().ok(&["pause-task", "sealed"]).await?;
    bench.dmctl().ok(&["resume-task", "sealed"]).await?;
    Ok(())
}

/// A server that has a certificate, and a user `dm` who must show one.
async fn start(kind: ServerKind, authority: &Authority, server_id: u32) -> Result<Server> {
    let signed = authority.sign(kind.as_str(), &["127.0.0.1", "db.example"])?;
    let options = ServerOptions::default()
        .with_server_id(server_id)
        .with(format!("--ssl-ca={}", authority.ca().display()))
        .with(format!("--ssl-cert={}", signed.cert.display()))
        .with(format!("--ssl-key={}", signed.key.display()));
    Server::start(kind, options).await
}

/// The `security` part of a connection; dmctl reads the files.
fn security(authority: &Authority, client: &Signed, name: &str) -> String {
    let allowed = if name.is_empty() { String::new() } else { format!(", cert-allowed-cn: [\"{name}\"]") };
    format!(
        "  security: {{ssl-ca: \"{}\", ssl-cert: \"{}\", ssl-key: \"{}\"{allowed}}}\n",
        authority.ca().display(),
        client.cert.display(),
        client.key.display()
    )
}

async fn demands_tls(bench: &mut Bench, source: ServerKind, target: ServerKind) -> Result<()> {
    let id = format!("tls_{}", source.as_str());
    let folder = bench.folder().join(&id);
    std::fs::create_dir(&folder)?;
    let authority = Authority::create(&folder, "right")?;
    let stranger = Authority::create(&folder, "wrong")?;
    let client = authority.sign("dm", &["dm"])?;
    bench.source = start(source, &authority, 11).await?;
    bench.target = start(target, &authority, 12).await?;
    bench.make_rows(&id, 50).await?;
    for server in [&bench.source, &bench.target] {
        as_root(
            server,
            &["CREATE USER 'tls'@'%' IDENTIFIED BY 'dm' REQUIRE X509", "GRANT ALL PRIVILEGES ON *.* TO 'tls'@'%'"],
        )
        .await?;
    }

    // without TLS the server does not let us in, and a certificate of somebody else is not believed
    let plain = bench.source_text(&id).replace("user: \"dm\"", "user: \"tls\"");
    for (why, text, says) in [
        ("plain", plain.clone(), "1045"),
        ("authority", format!("{plain}{}", security(&stranger, &client, "")), "UnknownIssuer"),
        ("name", format!("{plain}{}", security(&authority, &client, "other.example")), "other.example"),
    ] {
        let file = bench.file(&format!("{id}-{why}.yaml"), &text)?;
        let answer = bench.dmctl().json(&["operate-source", "create", &file]).await?;
        let message = answer.to_string();
        ensure!(
            !message.contains("\"result\":true,\"msg\":\"\",\"source") && message.contains(says),
            "{why}: {message}"
        );
    }

    let file = bench.file(&format!("{id}.yaml"), &format!("{plain}{}", security(&authority, &client, "")))?;
    bench.dmctl().ok(&["operate-source", "create", &file]).await?;
    let task = bench.task(&id, "all", &[&id], &id);
    let to_target = format!("  user: \"tls\"\n  password: \"dm\"\n{}", security(&authority, &client, "db.example"));
    let plain_target = "  user: \"dm\"\n  password: \"dm\"\n";
    ensure!(task.contains(plain_target), "{task}");
    let file = bench.file(&format!("task-{id}.yaml"), &task.replacen(plain_target, &to_target, 1))?;
    bench.dmctl().ok(&["start-task", &file]).await?;
    bench.wait_stage(&id, "Running", "Sync").await?;
    bench.add_rows(&id, 1000, 20).await?;
    bench.same_rows(&id).await?;
    bench.dmctl().ok(&["stop-task", &id]).await?;
    Ok(())
}
