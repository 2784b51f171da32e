//! What masters and workers refuse to start with: lost, damaged, foreign and full stores, taken names and ports.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use dm_tests::{
    cluster::{Cluster, Options},
    process::Process,
    wait,
};
use tempfile::TempDir;

use super::{bench::SOON, cases::Cases};

const SOON_ENDED: Duration = Duration::from_secs(15);

struct Place {
    cluster: Cluster,
    folder: TempDir,
}

#[tokio::test(flavor = "multi_thread")]
async fn stores() {
    let mut cases = Cases::begin("stores");
    let folder = tempfile::Builder::new().prefix("dm-stores-").tempdir().expect("make a folder");
    let cluster =
        Cluster::start(folder.path(), Options { n_workers: 1, ..Options::default() }).await.expect("start a cluster");
    let mut place = Place { cluster, folder };
    cases.run("two workers with one name", two_workers_one_name(&place)).await;
    cases.run("a port that is taken", taken_port(&place)).await;
    cases.run("masters of two clusters", masters_of_two_clusters(&place)).await;
    cases.run("a wiped store", wiped_store(&mut place)).await;
    cases.run("a damaged store", damaged_store(&mut place)).await;
    cases.run("a store that another process holds", held_store(&mut place)).await;
    cases.run("a full disk", full_disk(&place)).await;
    cases.end();
}

fn says(process: &Process, words: &[&str]) -> Result<()> {
    let log = fs::read_to_string(&process.log)?;
    for word in words {
        ensure!(log.contains(word), "{} does not say `{word}`:\n{log}", process.name);
    }
    ensure!(!log.contains("panicked"), "{} panicked:\n{log}", process.name);
    Ok(())
}

/// The first keeps the name; the second tells why and ends.
async fn two_workers_one_name(place: &Place) -> Result<()> {
    let port = dm_tests::process::free_port()?;
    let args = [
        "--name=worker1".to_owned(),
        format!("--worker-addr=127.0.0.1:{port}"),
        format!("--join={}", place.cluster.master_addrs().join(",")),
    ];
    fs::create_dir_all(place.folder.path().join("second"))?;
    let mut second = Process::start(&place.folder.path().join("second"), "worker1", "dm-worker", &args, &[])?;
    let code = second.wait_exit(Duration::from_secs(45))?;
    ensure!(code == Some(1), "{code:?}");
    says(&second, &["46003", "worker1"])?;
    let answer = place.cluster.dmctl().ok(&["list-member", "-w"]).await?;
    let worker = &answer["members"][0]["worker"]["workers"][0];
    ensure!(
        worker["stage"] == "free" && worker["addr"] == place.cluster.worker_addr("worker1")?.as_str(),
        "{answer:#}"
    );
    Ok(())
}

async fn taken_port(place: &Place) -> Result<()> {
    let folder = place.folder.path().join("taken");
    fs::create_dir_all(&folder)?;
    let addr = place.cluster.worker_addr("worker1")?;
    let args = [format!("--worker-addr={addr}"), format!("--join={}", place.cluster.master_addrs().join(","))];
    let mut worker = Process::start(&folder, "worker", "dm-worker", &args, &[])?;
    ensure!(worker.wait_exit(SOON_ENDED)? == Some(1));
    says(&worker, &[&addr])?;
    for (addr, peer) in [(addr.clone(), "127.0.0.1:0".to_owned()), ("127.0.0.1:0".to_owned(), addr)] {
        let args = [
            "--name=taken".to_owned(),
            format!("--master-addr={addr}"),
            "--advertise-addr=127.0.0.1:1".to_owned(),
            format!("--peer-urls=http://{peer}"),
            format!("--data-dir={}", folder.join("data").display()),
        ];
        let mut master = Process::start(&folder, "taken", "dm-master", &args, &[])?;
        ensure!(master.wait_exit(SOON_ENDED)? == Some(1), "{addr} {peer}");
        says(&master, &["60309"])?;
    }
    Ok(())
}

fn master_args(name: &str, client: u16, peer: u16, data: &Path, initial: &str) -> Vec<String> {
    vec![
        format!("--name={name}"),
        format!("--master-addr=127.0.0.1:{client}"),
        format!("--advertise-addr=127.0.0.1:{client}"),
        format!("--peer-urls=http://127.0.0.1:{peer}"),
        format!("--advertise-peer-urls=http://127.0.0.1:{peer}"),
        format!("--data-dir={}", data.display()),
        format!("--initial-cluster={initial}"),
    ]
}

/// A founder that names a master of ours as its partner.
async fn masters_of_two_clusters(place: &Place) -> Result<()> {
    let folder = place.folder.path().join("stranger");
    fs::create_dir_all(&folder)?;
    let (client, peer) = (dm_tests::process::free_port()?, dm_tests::process::free_port()?);
    let ours = place.cluster.peer_addr("master1")?;
    let initial = format!("stranger=http://127.0.0.1:{peer},master1=http://{ours}");
    let args = master_args("stranger", client, peer, &folder.join("data"), &initial);
    let mut stranger = Process::start(&folder, "stranger", "dm-master", &args, &[])?;
    let code = stranger.wait_exit(SOON_ENDED)?;
    ensure!(code == Some(1), "{code:?}");
    says(&stranger, &["60103", "--join"])?;
    let answer = place.cluster.dmctl().ok(&["list-member", "-m"]).await?;
    ensure!(
        answer["members"][0]["master"]["masters"].as_array().is_some_and(|masters| masters.len() == 3),
        "{answer:#}"
    );
    Ok(())
}

async fn follower(place: &mut Place) -> Result<String> {
    let leader = place.cluster.wait_leader(SOON).await?;
    place.cluster.master_names().into_iter().find(|name| *name != leader).context("find a follower")
}

async fn wait_alive(place: &Place, n_alive: usize) -> Result<()> {
    let dmctl = place.cluster.dmctl();
    wait::until("masters alive", SOON, || async {
        let answer = dmctl.ok(&["list-member", "-m"]).await?;
        let masters = answer["members"][0]["master"]["masters"].as_array().context("masters")?;
        Ok((masters.iter().filter(|master| master["alive"] == true).count() == n_alive).then_some(()))
    })
    .await
}

async fn wiped_store(place: &mut Place) -> Result<()> {
    let name = follower(place).await?;
    place.cluster.process(&name)?.kill()?;
    let data = place.folder.path().join(format!("{name}.data"));
    let kept = place.folder.path().join(format!("{name}.kept"));
    fs::rename(&data, &kept)?;
    place.cluster.start_master(&name)?;
    let code = place.cluster.process(&name)?.wait_exit(SOON_ENDED)?;
    ensure!(code == Some(1), "{code:?}");
    says(place.cluster.process(&name)?, &["60101", "offline-member --master", "--join"])?;
    // the way it tells: out, and in again with an empty store
    let dmctl = place.cluster.dmctl();
    dmctl.ok(&["offline-member", "--master", "-n", &name]).await?;
    wait_alive(place, 2).await?;
    let folder = place.folder.path().join("joined");
    fs::create_dir_all(&folder)?;
    let (client, peer) = (dm_tests::process::free_port()?, dm_tests::process::free_port()?);
    let mut args = master_args(&name, client, peer, &folder.join("data"), "");
    args.pop();
    let others: Vec<String> = place.cluster.master_addrs();
    args.push(format!("--join={}", others.join(",")));
    let mut joined = Process::start(&folder, &name, "dm-master", &args, &[])?;
    let waited = wait_alive(place, 3).await;
    ensure!(joined.is_running(), "{}", joined.log_tail(10));
    waited.with_context(|| joined.log_tail(10))?;
    let through = dmctl.at(format!("127.0.0.1:{client}"));
    through.ok(&["list-member"]).await?;
    // and away again
    ensure!(joined.terminate(Duration::from_secs(10))? == Some(0), "{}", joined.log_tail(20));
    dmctl.ok(&["offline-member", "--master", "-n", &name]).await?;
    wait_alive(place, 2).await?;
    // its first life may not come back with its old store
    fs::rename(&data, place.folder.path().join(format!("{name}.wiped"))).ok();
    fs::rename(&kept, &data)?;
    Ok(())
}

async fn damaged_store(place: &mut Place) -> Result<()> {
    let folder = place.folder.path().join("damaged");
    fs::create_dir_all(&folder)?;
    let (client, peer) = (dm_tests::process::free_port()?, dm_tests::process::free_port()?);
    let data = folder.join("data");
    let args = master_args("alone", client, peer, &data, &format!("alone=http://127.0.0.1:{peer}"));
    let dmctl = place.cluster.dmctl().at(format!("127.0.0.1:{client}"));
    let mut alone = Process::start(&folder, "alone", "dm-master", &args, &[])?;
    wait::until("it leads", SOON, || async { Ok(dmctl.ok(&["list-member", "-l"]).await.ok()) }).await?;
    ensure!(alone.terminate(Duration::from_secs(10))? == Some(0));
    // every file in turn: never a panic, never a start with less than it had
    let files: Vec<_> =
        walk(&data)?.into_iter().filter(|file| fs::metadata(file).is_ok_and(|meta| meta.len() > 0)).collect();
    let mut seen = Vec::new();
    for file in files {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if ["LOCK", "LOG", "reserve", "IDENTITY"].iter().any(|other| name.starts_with(other))
            || name.starts_with("OPTIONS")
        {
            continue;
        }
        // a start that came through may have moved on to other files
        let Ok(kept) = fs::read(&file) else { continue };
        let mut broken = kept.clone();
        let at = broken.len() / 2;
        let until = (at + 64).min(broken.len());
        for byte in &mut broken[at..until] {
            *byte ^= 0xa5;
        }
        fs::write(&file, &broken)?;
        let log = folder.join(format!("log-{name}"));
        fs::create_dir_all(&log)?;
        let mut process = Process::start(&log, "alone", "dm-master", &args, &[])?;
        match process.wait_exit(Duration::from_secs(3)) {
            Ok(code) => {
                ensure!(code == Some(1), "{name} damaged: ended with {code:?}\n{}", process.log_tail(20));
                let text = fs::read_to_string(&process.log)?;
                ensure!(text.contains("code=6010"), "{name} damaged: {text}");
                seen.push(format!("{name}: refused"));
            }
            Err(_) => {
                process.kill()?;
                seen.push(format!("{name}: started"));
            }
        }
        says(&process, &[])?;
        // the process may have compacted or renamed it meanwhile
        if file.exists() {
            fs::write(&file, &kept)?;
        }
    }
    println!("damaged: {}", seen.join(", "));
    ensure!(seen.iter().any(|one| one.ends_with("refused")), "{seen:?}");
    Ok(())
}

fn walk(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(walk(&path)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

async fn held_store(place: &mut Place) -> Result<()> {
    let holder = place.cluster.wait_leader(SOON).await?;
    let folder = place.folder.path().join("held");
    fs::create_dir_all(&folder)?;
    let (client, peer) = (dm_tests::process::free_port()?, dm_tests::process::free_port()?);
    let data = place.folder.path().join(format!("{holder}.data"));
    let args = master_args(&holder, client, peer, &data, &format!("{holder}=http://127.0.0.1:{peer}"));
    let mut second = Process::start(&folder, "second", "dm-master", &args, &[])?;
    let code = second.wait_exit(SOON_ENDED)?;
    ensure!(code == Some(1), "{code:?}");
    says(&second, &["60104"])
}

/// Unmounts at the end.
struct Mount(std::path::PathBuf);

impl Mount {
    fn tmpfs(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(at).ok()?;
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(at)
            .output()
            .ok()?;
        status.status.success().then(|| Self(at.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

async fn full_disk(place: &Place) -> Result<()> {
    let folder = place.folder.path().join("full");
    fs::create_dir_all(&folder)?;
    let Some(mount) = Mount::tmpfs(&folder.join("disk"), "512m") else {
        println!("a full disk: left out, mounting is not allowed here");
        return Ok(());
    };
    let data = mount.0.join("data");
    let (client, peer) = (dm_tests::process::free_port()?, dm_tests::process::free_port()?);
    let args = master_args("alone", client, peer, &data, &format!("alone=http://127.0.0.1:{peer}"));
    let dmctl = place.cluster.dmctl().at(format!("127.0.0.1:{client}"));
    let mut alone = Process::start(&folder, "alone", "dm-master", &args, &[])?;
    wait::until("it leads", SOON, || async { Ok(dmctl.ok(&["list-member", "-l"]).await.ok()) }).await?;
    // a neighbour fills the disk
    let big = mount.0.join("big");
    let filled = Command::new("dd").args(["if=/dev/zero", "bs=1M"]).arg(format!("of={}", big.display())).output()?;
    ensure!(!filled.status.success(), "the disk did not fill");
    // what would make the store grow is refused, or the process ends and says why; reading goes on while it runs
    let mut meta = dm_proto::meta::meta_client::MetaClient::connect(format!("http://127.0.0.1:{client}")).await?;
    let put =
        || dm_proto::meta::PutRequest { key: "full".to_owned(), value: "x".to_owned(), client: String::new(), seq: 0 };
    let refused = loop {
        match tokio::time::timeout(SOON, meta.put(put())).await? {
            Err(status) => break status.message().to_owned(),
            // the disk is looked at every second
            Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    println!("a full disk: {refused}");
    if alone.is_running() {
        ensure!(refused.contains("disk") && refused.contains("code="), "{refused}");
        dmctl.ok(&["list-member"]).await?;
    } else {
        says(&alone, &["code=6010"])?;
    }
    fs::remove_file(&big)?;
    if !alone.is_running() {
        alone = Process::start(&folder, "alone", "dm-master", &args, &[])?;
    }
    wait::until("writes again", SOON, || async {
        let mut meta = dm_proto::meta::meta_client::MetaClient::connect(format!("http://127.0.0.1:{client}")).await?;
        Ok(meta.put(put()).await.ok())
    })
    .await
    .with_context(|| alone.log_tail(10))?;
    ensure!(alone.terminate(Duration::from_secs(10))? == Some(0));
    drop(mount);
    Ok(())
}
