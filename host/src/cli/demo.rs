//! `muster demo`

use super::{Exit, Format, output, serve};
use crate::access::Secret;
use crate::api::Service;
use crate::clock::wall_time;
use crate::config::Config;
use crate::decode::decode;
use crate::service::Started;
use crate::store::UserKey;
use crate::traffic::Traffic;
use anyhow::Context;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// The sample audiences.
const AUDIENCES: &str = include_str!("../../../examples/shop/audiences.yaml");
const WORKSPACE: &str = "shop";
/// Transitions shown at once.
const SHOWN_MAX: usize = 1_000;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  muster demo
  muster demo --seconds 20 --rate 200 --listen 127.0.0.1:8080")]
pub(super) struct Args {
    /// End after so long; without it, Ctrl-C ends it.
    #[arg(long)]
    seconds: Option<u64>,
    /// Messages a second.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    rate: u64,
    /// Users beside the hot ones.
    #[arg(long, default_value_t = 40)]
    users: u64,
    /// Where the service listens; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:7400", value_name = "ADDRESS")]
    listen: String,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<Exit> {
    let folder = Folder::new()?;
    std::fs::create_dir(folder.0.join("rules"))?;
    std::fs::write(folder.0.join("rules").join("audiences.yaml"), AUDIENCES)?;
    let settings = folder.0.join("muster.toml");
    let listen = &args.listen;
    let secret = Secret::generate()?;
    let hash = secret.hash();
    std::fs::write(
        &settings,
        format!(
            "[http]\nlisten = {listen:?}\n[workspaces]\n{WORKSPACE} = \"rules\"\n\
             [[access.tokens]]\nname = \"demo\"\nrole = \"operator\"\nworkspaces = [\"*\"]\n\
             hash = \"{hash}\"\n"
        ),
    )?;
    let config = Config::read(&settings)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let started = Started::new(config).await?;
        introduce(&started.address()?.to_string(), secret.text());
        let service = started.service();
        let end = serve::end_signal()?;
        let (ended, stop) = oneshot::channel::<()>();
        let serving = tokio::spawn(started.serve(Box::pin(async {
            // Either way it is over.
            drop(stop.await);
        })));
        let limit = args.seconds.map_or(Duration::MAX, Duration::from_secs);
        let result = tokio::select! {
            () = end => Ok(()),
            () = tokio::time::sleep(limit) => Ok(()),
            result = send(&service, args) => result,
            result = show(&service, format) => result,
        };
        drop(ended);
        serving.await.context("the service ended early")??;
        result.map(|()| Exit::Done)
    })
}

fn introduce(address: &str, token: &str) {
    let at = format!("http://{address}/v1/workspaces/{WORKSPACE}");
    output::note(&format!(
        "A shop with generated traffic, its audiences, and who enters and leaves them.\n\
         \n  token='authorization: Bearer {token}'\
         \n  curl -H \"$token\" {at}/audiences\
         \n  curl -H \"$token\" {at}/audiences/recent-buyers/members\
         \n  curl -H \"$token\" {at}/users/hot-0\
         \n  curl -H \"$token\" -H 'accept: text/event-stream' '{at}/transitions?after=end'\
         \n  curl -H \"$token\" http://{address}/metrics\n\nCtrl-C ends it.\n"
    ));
}

/// Sends traffic at a steady rate, each message answered when it is durable.
async fn send(service: &Arc<Service>, args: &Args) -> anyhow::Result<()> {
    let mut traffic = Traffic::new(7, args.users);
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / u32::try_from(args.rate)?);
    loop {
        ticks.tick().await;
        let json = traffic.message(WORKSPACE, wall_time());
        let decoded = decode(json.as_bytes(), None).map_err(|r| anyhow::anyhow!("{r}"))?;
        let Some(message) = decoded.message else { continue };
        let key = UserKey { workspace: decoded.workspace, user: decoded.user };
        let permit = service.worker.reserve(1)?;
        // What came of it is seen in the transitions.
        drop(service.worker.deliver(vec![(key, message)], Vec::new(), permit));
    }
}

/// Shows transitions as they are committed.
async fn show(service: &Arc<Service>, format: Format) -> anyhow::Result<()> {
    let mut commits = service.worker.commits();
    let mut after = 0;
    loop {
        commits.changed().await?;
        let store = service.store.clone();
        let read = move || store.transitions(WORKSPACE, after, SHOWN_MAX);
        let found = tokio::task::spawn_blocking(read).await??;
        let mut out = std::io::stdout().lock();
        for (sequence, line) in found {
            after = sequence;
            match format {
                Format::Json => writeln!(out, "{}", String::from_utf8_lossy(&line))?,
                Format::Text => writeln!(out, "{}", sentence(&line)?)?,
            }
        }
        out.flush()?;
    }
}

fn sentence(line: &[u8]) -> anyhow::Result<String> {
    let transition: serde_json::Value = serde_json::from_slice(line)?;
    let text = |key: &str| transition[key].as_str().unwrap_or_default().to_string();
    let time = text("at").split_once('T').map_or_else(String::new, |(_, time)| time.to_string());
    let sign = if transition["change"] == "entered" { "+" } else { "-" };
    let (user, change, audience) = (text("user"), text("change"), text("audience"));
    Ok(format!("{time:13} {sign} {user:6} {change:7} {audience:20} ({})", text("cause")))
}

/// A folder that is gone when the demo is over.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Folder> {
        let path = std::env::temp_dir().join(format!("muster-demo-{}", std::process::id()));
        std::fs::create_dir(&path)
            .with_context(|| format!("cannot make the folder `{}`", path.display()))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            output::note(&format!("`{}` is left behind: {error}", self.0.display()));
        }
    }
}
