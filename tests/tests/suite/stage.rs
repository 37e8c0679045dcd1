//! A service under traffic, and the command line that changes its rules.

use crate::http::{PATIENCE, get, request};
use crate::process::Service;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(crate) const FIRST: &str = "audiences:
  - { id: buyers, where: { event: purchase, within: 1h } }
  - { id: regulars, where: { event: visit, count: { gte: 3 }, within: 2h } }
  - { id: spenders, where: { event: purchase, sum: { gte: 60 }, of: amount, within: 3h } }
  - { id: gone, where: { event: refund } }
";

/// `spenders` is changed, `gone` is gone, `returners` is new and refers to what is not.
pub(crate) const SECOND: &str = "audiences:
  - { id: buyers, where: { event: purchase, within: 1h } }
  - { id: regulars, where: { event: visit, count: { gte: 3 }, within: 2h } }
  - { id: spenders, where: { event: purchase, sum: { gte: 40 }, of: amount, within: 6h } }
  - id: returners
    where: { all: [ { audience: buyers }, { event: visit, count: { gte: 1 }, within: 4h } ] }
";

const USERS: u64 = 600;
/// Messages of a request, and requests a second.
pub(crate) const MESSAGES: usize = 40;
const REQUESTS_PER_SECOND: u32 = 25;
/// How far the events' clock goes on between two requests.
const TURN_MS: i64 = 15_000;
const BEGIN_MS: i64 = 1_767_225_600_000;

/// Traffic at a steady rate, on the clock of events.
pub(crate) struct Traffic {
    ended: Arc<AtomicBool>,
    /// What was accepted, in order.
    sent: Arc<Mutex<Vec<Value>>>,
    /// How long each answer took.
    took: Arc<Mutex<Vec<Duration>>>,
    thread: Option<JoinHandle<()>>,
}

impl Traffic {
    pub(crate) fn start(address: SocketAddr) -> Traffic {
        let (ended, sent, took) = (Arc::default(), Arc::default(), Arc::default());
        let (ending, sending, taking): (Arc<AtomicBool>, Arc<Mutex<Vec<Value>>>, _) =
            (Arc::clone(&ended), Arc::clone(&sent), Arc::clone(&took));
        let thread = std::thread::spawn(move || {
            let mut random = fastrand::Rng::with_seed(7);
            let begun = Instant::now();
            for turn in 0.. {
                if ending.load(Ordering::Acquire) {
                    return;
                }
                let messages: Vec<Value> =
                    (0..MESSAGES).map(|_| message(&mut random, turn)).collect();
                let asked = Instant::now();
                let headers = "content-type: application/json\r\n";
                let body = Value::from(messages.clone()).to_string();
                let answer = request(address, "POST", "/v1/messages", headers, &body);
                assert_eq!(answer.status, 200, "{}", answer.body);
                let taking: &Mutex<Vec<Duration>> = &taking;
                taking.lock().unwrap().push(asked.elapsed());
                sending.lock().unwrap().extend(messages);
                let next = begun + Duration::from_secs(1) / REQUESTS_PER_SECOND * (turn as u32 + 1);
                std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
            }
        });
        Traffic { ended, sent, took, thread: Some(thread) }
    }

    /// The 99th percentile of what was answered since the last look.
    pub(crate) fn p99(&self) -> Duration {
        let mut took = std::mem::take(&mut *self.took.lock().unwrap());
        took.sort_unstable();
        took.get(took.len() * 99 / 100).copied().unwrap_or_default()
    }

    pub(crate) fn stop(mut self) -> Vec<Value> {
        self.ended.store(true, Ordering::Release);
        self.thread.take().unwrap().join().unwrap();
        std::mem::take(&mut *self.sent.lock().unwrap())
    }
}

fn message(random: &mut fastrand::Rng, turn: i64) -> Value {
    let event = match random.u8(0..10) {
        0..6 => "visit",
        6..9 => "purchase",
        _ => "refund",
    };
    // Some are late.
    let late = if random.u8(0..10) == 0 { random.i64(0..7_200_000) } else { 0 };
    let time = BEGIN_MS + turn * TURN_MS + random.i64(0..TURN_MS) - late;
    json!({
        "workspace": "shop",
        "user": format!("u{}", random.u64(0..USERS)),
        "events": [{ "name": event, "time": time, "properties": { "amount": random.i64(1..40) } }],
    })
}

/// A service, its folder, and the command line that talks to it.
pub(crate) struct Stage {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) service: Service,
}

impl Stage {
    /// With users on three threads, whatever the machine has. Settings go on in `[engine]`.
    pub(crate) fn new(settings: &str) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let all = "[http]\nlisten = \"127.0.0.1:0\"\n[access]\nopen = true\n\
                   [time]\nclock = \"events\"\n[engine]\nthreads = 3\n";
        fs::write(folder.path().join("muster.toml"), format!("{all}{settings}")).unwrap();
        for (name, text) in [("first.yaml", FIRST), ("second.yaml", SECOND)] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let service = Service::start(folder.path(), None);
        Stage { folder, service }
    }

    /// Kills the service, and starts it again.
    pub(crate) fn restart(&mut self) {
        self.service.process.kill().unwrap();
        self.service.process.wait().unwrap();
        self.service = Service::start(self.folder.path(), None);
    }

    /// Writes a file that can be deployed.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// What was done last, and by whom.
    pub(crate) fn last(&self) -> (String, String, String) {
        let history = self.muster(&["history", "--limit", "1"]);
        let text = |key: &str| history[0][key].as_str().unwrap_or_default().to_string();
        (text("action"), text("by"), text("reason"))
    }

    /// Everybody in an audience.
    pub(crate) fn members(&self, audience: &str) -> BTreeSet<String> {
        let members = self.memberships().into_iter();
        members.filter(|(_, of)| of == audience).map(|(user, _)| user).collect()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn try_muster(&self, args: &[&str]) -> Output {
        let server = format!("http://{}", self.service.address);
        let to = ["--server", &server, "--workspace", "shop", "--format", "json"];
        let command = env!("CARGO_BIN_EXE_muster-service");
        Command::new(command).args(args).args(to).output().unwrap()
    }

    /// Does something, and gives what the service says.
    pub(crate) fn muster(&self, args: &[&str]) -> Value {
        let output = self.try_muster(args);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {told}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn deploy(&self, file: &str, more: &[&str]) {
        let path = self.path(file);
        let mut args = vec!["deploy", path.to_str().unwrap()];
        args.extend(more);
        self.muster(&args);
    }

    /// Waits until the status is as it should be.
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let status = self.muster(&["status"]);
            if holds(&status) {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE * 3, "{what} did not come about: {status}");
        }
    }

    /// Waits until all users have gone over to the step, and what they enter and leave matches it.
    pub(crate) fn verified(&self, args: &[&str]) -> Value {
        self.until("going over", |status| status["filling"].is_null());
        let begun = Instant::now();
        loop {
            let found = self.muster(&[&["rollout", "verify"], args].concat());
            if found["agrees"] == json!(true) {
                return found;
            }
            assert_eq!(found["agrees"], Value::Null, "{found}");
            assert!(begun.elapsed() < PATIENCE * 3, "too few users: {found}");
        }
    }

    /// Who is in what.
    pub(crate) fn memberships(&self) -> BTreeSet<(String, String)> {
        let path = "/v1/workspaces/shop/memberships?limit=10000";
        pairs(&get(self.service.address, path).body)
    }

    /// The same by a replay of what was sent.
    pub(crate) fn replayed(&self, rules: &str, sent: &[Value]) -> BTreeSet<(String, String)> {
        let lines: String = sent.iter().map(|message| format!("{message}\n")).collect();
        fs::write(self.path("sent.ndjson"), lines).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_muster-service"))
            .args(["replay", "--rules"])
            .arg(self.path(rules))
            .arg("--events")
            .arg(self.path("sent.ndjson"))
            .args(["--memberships", "-", "--transitions"])
            .arg(self.path("transitions.ndjson"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        pairs(&String::from_utf8(output.stdout).unwrap())
    }

    pub(crate) fn metric(&self, line: &str) -> f64 {
        let text = get(self.service.address, "/metrics").body;
        let values =
            text.lines().filter_map(|found| found.strip_prefix(line)?.split(' ').next_back());
        values.map(|value| value.parse::<f64>().unwrap()).sum()
    }
}

pub(crate) fn pairs(lines: &str) -> BTreeSet<(String, String)> {
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines = lines.filter(|line| line["audience"].is_string());
    let text = |value: &Value| value.as_str().unwrap().to_string();
    lines.map(|line| (text(&line["user"]), text(&line["audience"]))).collect()
}

/// All transitions, folded: who is in what.
pub(crate) fn folded(address: SocketAddr) -> BTreeSet<(String, String)> {
    let (mut members, mut ids) = (BTreeSet::new(), BTreeSet::new());
    let mut after = "0".to_string();
    loop {
        let path = format!("/v1/workspaces/shop/transitions?after={after}&limit=10000");
        let answer = get(address, &path);
        let mut found = 0;
        for line in answer.body.lines() {
            let transition: Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| transition[key].as_str().unwrap().to_string();
            assert!(ids.insert(text("id")), "told twice: {line}");
            let member = (text("user"), text("audience"));
            let is_news = match text("change").as_str() {
                "entered" => members.insert(member),
                _ => members.remove(&member),
            };
            assert!(is_news, "{line}");
            found += 1;
        }
        if found == 0 {
            return members;
        }
        let cursor = answer.head.lines().find_map(|line| line.strip_prefix("muster-cursor: "));
        after = cursor.unwrap().to_string();
    }
}
