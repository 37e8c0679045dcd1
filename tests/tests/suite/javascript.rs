//! Rules in JavaScript: the contract is what counts. Builds the example, which needs Node and what npm
//! brings; without them nothing is tested, which is said.

use muster::traffic::Traffic;
use muster_core::Time;
use muster_tests::examples;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// 2026-01-01, and some minutes between messages: months of traffic, so that windows pass.
const BEGINNING_MS: i64 = 1_767_225_600_000;
const PAUSE_MS: i64 = 37 * 60_000;
const MESSAGES: i64 = 5_000;
const USERS: u64 = 30;
/// What the traffic must bring about at the least, for the comparison to mean something.
const TRANSITIONS_MIN: usize = 300;

fn muster() -> Command {
    Command::new(env!("CARGO_BIN_EXE_muster-service"))
}

fn exists(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Runs it in the example's folder, and gives what it writes.
fn run(command: &mut Command) -> String {
    let output = command.current_dir(examples::folder("javascript")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let written = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}:\n{told}\n{written}");
    written
}

/// Builds the example as its README says, into a folder of the test's own.
fn build(folder: &Path) -> PathBuf {
    if !examples::folder("javascript").join("node_modules").exists() {
        run(Command::new("npm").args(["install", "--no-audit", "--no-fund"]));
    }
    let out = folder.join("rules-in-javascript.wasm");
    run(Command::new("npm").args(["run", "build", "--", "--out"]).arg(&out));
    let told = run(muster().args(["build", "--config", "muster.toml", "--component"]).arg(&out));
    assert!(told.contains("audience `big-ios-spenders`, version "), "{told}");
    folder.join("muster/rules-in-javascript.wasm")
}

fn messages() -> String {
    let mut traffic = Traffic::new(7, USERS);
    let message = |at| {
        let now = Time::from_milliseconds(BEGINNING_MS + at * PAUSE_MS).unwrap();
        traffic.message("shop", now) + "\n"
    };
    (0..MESSAGES).map(message).collect()
}

/// Transitions without the versions of the rules.
fn replay(rules: &Path, events: &Path) -> Vec<Value> {
    let mut command = muster();
    command.args(["replay", "--engine", "both", "--config", "muster.toml", "--rules"]).arg(rules);
    let written = run(command.arg("--events").arg(events));
    let lines = written.lines().map(|line| serde_json::from_str(line).unwrap());
    lines
        .map(|mut line: Value| {
            line["rules"].take();
            line
        })
        .collect()
}

#[test]
fn javascript_says_the_same_as_the_definitions() {
    for program in ["node", "npm"] {
        if !exists(program) {
            let told = format!(
                "\nmissing: {program} (Node 20 or later): rules in JavaScript are not tested\n"
            );
            // Written past what a test that passes keeps to itself.
            std::io::stderr().write_all(told.as_bytes()).unwrap();
            return;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let component = build(folder.path());
    let told = run(muster()
        .args(["inspect", "--config", "muster.toml", "--format", "json"])
        .arg(&component));
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["imports"], serde_json::json!([]));

    let rust = examples::folder("recent-ios-buyers");
    let mut test = muster();
    test.arg("test").arg(rust.join("cases")).args(["--config", "muster.toml", "--rules"]);
    run(test.arg(&component));

    let events = folder.path().join("events.ndjson");
    std::fs::write(&events, messages()).unwrap();
    let expected = replay(&rust.join("audiences.yaml"), &events);
    assert!(expected.len() > TRANSITIONS_MIN, "only {}", expected.len());
    for audience in ["recent-ios-buyers", "big-ios-spenders"] {
        let told = expected.iter().filter(|told| told["audience"] == audience);
        assert!(told.count() > TRANSITIONS_MIN / 10, "few of {audience}");
    }
    let found = replay(&component, &events);
    let differing = expected.iter().zip(&found).find(|(one, other)| one != other);
    assert!(differing.is_none(), "the first difference: {differing:#?}");
    assert_eq!(expected.len(), found.len());
}
