//! Masters join, leave, die and are replaced while rows flow and the control plane is written to: no acknowledged write is
//! lost, no id is used twice, and `list-member` is right throughout.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use dm_tests::{ServerKind, cluster::Options, wait};

use super::{
    bench::{Bench, SOON, refused},
    cases::Cases,
    load::Load,
    writes::{Writes, nothing_lost},
};

#[tokio::test(flavor = "multi_thread")]
async fn membership() {
    let mut cases = Cases::begin("membership");
    let options = Options { n_masters: 1, n_workers: 1, ..Options::default() };
    let mut bench = Bench::start(ServerKind::MariaDb, options).await.expect("start a cluster");
    bench.create_source("src").await.expect("create a source");
    bench.make_rows("flow", 20).await.expect("make rows");
    bench.start_task("flow", "all", &["src"], "flow").await.expect("start a task");
    bench.wait_stage("flow", "Running", "Sync").await.expect("reach sync");
    let mut seen = Seen::default();
    cases.run("one, three, five, three under load", grow_and_shrink(&mut bench, &mut seen)).await;
    cases.run("a dead master is replaced", replace_dead(&mut bench, &mut seen)).await;
    cases.run("a wiped master is refused under its old name", wiped(&mut bench, &mut seen)).await;
    cases.run("a removal that leaves no majority is refused", no_majority(&mut bench)).await;
    cases.run("an evicted master does not lead", evict(&mut bench)).await;
    cases.end();
}

/// Who is a member under which id, and all ids there ever were.
#[derive(Debug, Default)]
struct Seen {
    now: BTreeMap<String, String>,
    ever: BTreeSet<String>,
}

impl Seen {
    /// Waits until exactly these masters are members, alive and with addresses, as every one of them tells it; and that ids
    /// of those who stayed are what they were, and of those who are new were nobody's.
    async fn expect(&mut self, bench: &Bench, names: &[&str]) -> Result<()> {
        let wanted: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut found = BTreeMap::new();
        for name in names {
            let dmctl = bench.dmctl().at(bench.cluster.master_addr(name)?);
            found = wait::until(&format!("the members as {name} tells them"), SOON, || async {
                let answer = dmctl.json(&["list-member", "-m"]).await?;
                let Some(masters) = answer["members"][0]["master"]["masters"].as_array() else { return Ok(None) };
                let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
                let told: BTreeMap<String, String> =
                    masters.iter().map(|master| (text(&master["name"]), text(&master["memberID"]))).collect();
                let right = told.keys().cloned().collect::<BTreeSet<_>>() == wanted
                    && masters.iter().all(|master| {
                        let client = bench.cluster.master_addr(&text(&master["name"])).unwrap_or_default();
                        let peer = bench.cluster.peer_addr(&text(&master["name"])).unwrap_or_default();
                        master["alive"] == true
                            && master["clientURLs"][0] == format!("http://{client}")
                            && master["peerURLs"][0] == format!("http://{peer}")
                    });
                Ok(right.then_some(told))
            })
            .await
            .with_context(|| bench.cluster.log_tails())?;
        }
        for (name, id) in &found {
            match self.now.get(name) {
                Some(known) => ensure!(known == id, "{name} was {known} and is {id}"),
                None => ensure!(self.ever.insert(id.clone()), "{name} has the id {id}, which was another's"),
            }
        }
        self.now = found;
        Ok(())
    }

    fn forget(&mut self, name: &str) {
        self.now.remove(name);
    }
}

async fn wait_leader_of(bench: &mut Bench, not: &str) -> Result<String> {
    wait::until(&format!("another leader than {not}"), SOON, || async {
        let answer = bench.dmctl().json(&["list-member", "-l"]).await?;
        let name = answer["members"][0]["leader"]["name"].as_str().unwrap_or_default().to_owned();
        Ok((!name.is_empty() && name != not).then_some(name))
    })
    .await
}

/// A master that was taken out ends by itself, and says why.
async fn ends_as_removed(bench: &mut Bench, name: &str) -> Result<()> {
    let begun = Instant::now();
    let log = bench.cluster.process(name)?.log.clone();
    wait::until(&format!("{name} to end"), SOON, || async {
        let text = std::fs::read_to_string(&log)?;
        Ok(text.contains("was removed from the cluster").then_some(()))
    })
    .await?;
    let code = bench.cluster.process(name)?.wait_exit(Duration::from_secs(10))?;
    println!("{name}, removed, ended with {code:?} after {:?}", begun.elapsed());
    ensure!(code.is_some_and(|code| code != 0), "{name} ended with {code:?}");
    Ok(())
}

async fn grow_and_shrink(bench: &mut Bench, seen: &mut Seen) -> Result<()> {
    seen.expect(bench, &["master1"]).await?;
    let epochs = bench.epochs("flow").await?;
    let load = Load::start(&bench.source, "flow", 1_000_000);
    let writes = Writes::start(bench, 0);
    writes.go_on(20).await?;
    let mut members = vec!["master1"];
    for name in ["master2", "master3", "master4", "master5"] {
        let begun = Instant::now();
        bench.cluster.join_master(name)?;
        members.push(name);
        seen.expect(bench, &members).await?;
        println!("{name} joined after {:?}", begun.elapsed());
        load.go_on(10).await?;
    }
    // the writer knows master1 only, which forwards
    writes.go_on(50).await?;
    let acked = writes.stop().await?;
    nothing_lost(bench, acked).await?;
    let writes = Writes::start(bench, acked);
    writes.go_on(20).await?;
    let leader = bench.cluster.wait_leader(SOON).await?;
    let follower = members.iter().find(|name| **name != leader).copied().context("a follower")?.to_owned();
    for name in [leader, follower] {
        bench.dmctl().ok(&["offline-member", "--master", "-n", &name]).await?;
        members.retain(|member| *member != name);
        seen.forget(&name);
        ends_as_removed(bench, &name).await?;
        bench.cluster.forget_master(&name)?;
        seen.expect(bench, &members).await?;
        refused(&bench.dmctl().json(&["offline-member", "--master", "-n", &name]).await?, 60413)?;
        writes.go_on(20).await?;
        load.go_on(10).await?;
    }
    let acked = writes.stop().await?;
    nothing_lost(bench, acked).await?;
    load.stop().await?;
    bench.same_rows("flow").await?;
    ensure!(bench.epochs("flow").await? == epochs, "the subtask restarted");
    Ok(())
}

async fn replace_dead(bench: &mut Bench, seen: &mut Seen) -> Result<()> {
    let names = bench.cluster.master_names();
    let writes = Writes::start(bench, 1_000_000);
    writes.go_on(10).await?;
    let dead = names.first().context("a master")?.clone();
    bench.cluster.process(&dead)?.kill()?;
    // dead, and its disk with it; the name comes back on a new machine
    bench.cluster.wipe_master(&dead)?;
    wait_leader_of(bench, &dead).await?;
    writes.go_on(10).await?;
    bench.dmctl().ok(&["offline-member", "--master", "-n", &dead]).await?;
    seen.forget(&dead);
    bench.cluster.forget_master(&dead)?;
    let rest: Vec<&str> = names.iter().filter(|name| **name != dead).map(String::as_str).collect();
    seen.expect(bench, &rest).await?;
    bench.cluster.join_master(&dead)?;
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    seen.expect(bench, &all).await?;
    writes.go_on(10).await?;
    let acked = writes.stop().await?;
    nothing_lost(bench, acked).await
}

/// A wiped store must not vote again under an old id.
async fn wiped(bench: &mut Bench, seen: &mut Seen) -> Result<()> {
    let leader = bench.cluster.wait_leader(SOON).await?;
    let names = bench.cluster.master_names();
    let name = names.iter().find(|name| **name != leader).context("a follower")?.clone();
    bench.cluster.process(&name)?.kill()?;
    let kept = bench.folder().join(format!("{name}.data"));
    let aside = bench.folder().join("aside");
    std::fs::rename(&kept, &aside)?;
    bench.cluster.join_master(&name)?;
    let code = bench.cluster.process(&name)?.wait_exit(Duration::from_secs(60))?;
    ensure!(code.is_some_and(|code| code != 0), "{name} ended with {code:?}");
    let log = bench.cluster.process(&name)?.log_tail(5);
    ensure!(log.contains("store"), "{log}");
    std::fs::remove_dir_all(&kept)?;
    std::fs::rename(&aside, &kept)?;
    bench.cluster.join_master(&name)?;
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    seen.expect(bench, &all).await
}

async fn no_majority(bench: &mut Bench) -> Result<()> {
    let leader = bench.cluster.wait_leader(SOON).await?;
    let names = bench.cluster.master_names();
    let followers: Vec<String> = names.into_iter().filter(|name| *name != leader).collect();
    bench.cluster.process(&followers[0])?.kill()?;
    let dmctl = bench.dmctl();
    wait::until("the dead one to be seen", SOON, || async {
        let answer = dmctl.json(&["list-member", "-m", "-n", &followers[0]]).await?;
        Ok((answer["members"][0]["master"]["masters"][0]["alive"] == false).then_some(()))
    })
    .await?;
    refused(&dmctl.json(&["offline-member", "--master", "-n", &followers[1]]).await?, 60312)?;
    refused(&dmctl.json(&["offline-member", "--master", "-n", &leader]).await?, 60312)?;
    bench.cluster.join_master(&followers[0])?;
    dmctl.ok(&["pause-task", "flow"]).await?;
    dmctl.ok(&["resume-task", "flow"]).await?;
    Ok(())
}

async fn evict(bench: &mut Bench) -> Result<()> {
    let evicted = bench.cluster.wait_leader(SOON).await?;
    // without a name it is the master that is asked
    let asked = bench.dmctl().at(bench.cluster.master_addr(&evicted)?);
    asked.ok(&["operate-leader", "evict"]).await?;
    let next = wait_leader_of(bench, &evicted).await?;
    refused(&bench.dmctl().json(&["transfer-leader", &evicted]).await?, 60314)?;
    // the order outlives the process of whoever it was given to, and that of the leader
    bench.cluster.process(&evicted)?.kill()?;
    bench.cluster.join_master(&evicted)?;
    bench.cluster.process(&next)?.kill()?;
    let third = wait::until("the third to lead", SOON, || async {
        let answer = bench.dmctl().json(&["list-member", "-l"]).await?;
        let name = answer["members"][0]["leader"]["name"].as_str().unwrap_or_default().to_owned();
        Ok((!name.is_empty() && name != next && name != evicted).then_some(name))
    })
    .await?;
    bench.cluster.join_master(&next)?;
    bench.dmctl().ok(&["operate-leader", "cancel-evict", &evicted]).await?;
    wait::until("the leadership to be given back", SOON, || async {
        let answer = bench.dmctl().json(&["transfer-leader", &evicted]).await?;
        Ok((answer["newLeader"] == evicted.as_str()).then_some(()))
    })
    .await?;
    println!("evict: {evicted} gave way to {next}, then to {third}, and leads again");
    Ok(())
}
