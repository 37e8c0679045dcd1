//! What looks after rules by itself, what stays when the service is killed, and what may not be done.

use crate::http::{self, get, post};
use crate::stage::{Stage, Traffic};
use muster_tests::guests::{PARITY, Text, manifest_asking_for, module};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const QUICK: &str = "[modules]\nquarantine_after = \"500ms\"\n";

/// A component whose one audience, `steady`, holds who purchased, if `evaluate` is [`PARITY`].
fn steady(evaluate: &str) -> Vec<u8> {
    let manifest = manifest_asking_for("steady", Some("purchase"));
    let text = Text { manifests: (manifest.clone(), manifest), ..module("steady", evaluate) };
    text.component().unwrap()
}

/// Fails for whoever purchased.
fn bad() -> Vec<u8> {
    let when = "(i32.and (local.get $conditions_len) (i32.const 1))";
    steady(&format!("(if {when} (then unreachable)) {PARITY}"))
}

/// The same audience, of the same version, by code that says that nobody is in it.
const NOBODY: &str = "
    (memory.fill (i32.const 1024) (i32.const 0) (local.get $audiences_len))
    (i32.store (i32.const 512) (i32.const 1024))
    (i32.store (i32.const 516) (local.get $audiences_len))
    (i32.const 512)";

fn purchasers(sent: &[Value]) -> BTreeSet<String> {
    let bought = sent.iter().filter(|message| message["events"][0]["name"] == "purchase");
    bought.map(|message| message["user"].as_str().unwrap().to_string()).collect()
}

fn purchase(stage: &Stage, user: &str) {
    let events = json!([{ "name": "purchase", "time": 0, "properties": { "amount": 5 } }]);
    let message = json!({ "workspace": "shop", "user": user, "events": events });
    assert_eq!(post(stage.service.address, &message).status, 200);
}

#[test]
fn a_module_that_keeps_failing_gives_way_to_its_last_good_version() {
    let stage = Stage::new(QUICK);
    for (file, component) in [("good.wasm", steady(PARITY)), ("bad.wasm", bad())] {
        stage.write(file, &component);
        stage.deploy(file, &["--promote"]);
    }
    let traffic = Traffic::start(stage.service.address);
    stage.until("the version before", |_| stage.last().0 == "replace");
    let (_, by, reason) = stage.last();
    assert_eq!(by, "muster");
    assert!(reason.starts_with("module `steady` keeps failing, "), "{reason}");
    assert!(reason.contains("trapped in `evaluate`"), "{reason}");
    stage.until("everybody", |status| status["filling"].is_null());
    let sent = traffic.stop();
    assert_eq!(stage.members("steady"), purchasers(&sent));
    let status = stage.muster(&["status"]);
    assert_eq!((&status["failures"], &status["paused"]), (&json!([]), &json!([])), "{status}");
}

#[test]
fn a_candidate_that_keeps_failing_is_taken_back() {
    let stage = Stage::new(QUICK);
    stage.write("good.wasm", &steady(PARITY));
    stage.deploy("good.wasm", &["--promote"]);
    stage.write("bad.wasm", &bad());
    stage.deploy("bad.wasm", &[]);
    let traffic = Traffic::start(stage.service.address);
    stage.muster(&["rollout", "50%"]);
    stage.until("going back", |status| status["candidate"].is_null());
    let (action, by, reason) = stage.last();
    assert_eq!((action.as_str(), by.as_str()), ("rollback", "muster"));
    assert!(reason.contains("module `steady` keeps failing"), "{reason}");
    stage.until("everybody", |status| status["filling"].is_null());
    let sent = traffic.stop();
    assert_eq!(stage.members("steady"), purchasers(&sent));
}

#[test]
fn audiences_of_a_failing_module_without_a_version_before_are_paused() {
    let stage = Stage::new(QUICK);
    stage.write("bad.wasm", &bad());
    stage.deploy("bad.wasm", &["--promote"]);
    let traffic = Traffic::start(stage.service.address);
    let status = stage.until("the pause", |status| status["paused"] == json!(["steady"]));
    assert_eq!(status["candidate"], Value::Null);
    let audiences = get(stage.service.address, "/v1/workspaces/shop/audiences").json();
    assert_eq!(audiences[0]["paused"], true);
    stage.write("good.wasm", &steady(PARITY));
    stage.deploy("good.wasm", &["--promote"]);
    stage.muster(&["resume", "steady"]);
    stage.until("everybody", |status| status["filling"].is_null());
    let sent = traffic.stop();
    assert_eq!(stage.members("steady"), purchasers(&sent));
}

#[test]
fn a_difference_that_nothing_explains_takes_the_candidate_back() {
    let stage = Stage::new("");
    stage.write("good.wasm", &steady(PARITY));
    stage.deploy("good.wasm", &["--promote"]);
    stage.write("liar.wasm", &steady(NOBODY));
    stage.deploy("liar.wasm", &[]);
    assert_eq!(stage.muster(&["diff"])["same"], 1);
    stage.muster(&["rollout", "40%"]);
    stage.muster(&["shadow", "100%"]);
    let traffic = Traffic::start(stage.service.address);
    stage.until("going back", |status| status["candidate"].is_null());
    let (action, by, reason) = stage.last();
    assert_eq!((action.as_str(), by.as_str()), ("rollback", "muster"));
    assert!(reason.ends_with(" differences that nothing explains"), "{reason}");
    stage.until("everybody", |status| status["filling"].is_null());
    let sent = traffic.stop();
    assert_eq!(stage.members("steady"), purchasers(&sent));
    let told = stage.try_muster(&["differences", "--limit", "1"]).stdout;
    let told: Value = serde_json::from_slice(&told).unwrap();
    let told = &told["difference"];
    assert_eq!((&told["class"], &told["audience"]), (&json!("unexplained"), &json!("steady")));
    assert_ne!(told["counts"]["member"], told["shadow"]["member"], "{told}");
    assert_eq!(told["counts"]["grounds"], told["shadow"]["grounds"], "the same events: {told}");
}

#[test]
fn a_schedule_goes_on_by_itself_while_everything_agrees() {
    let stage = Stage::new("");
    stage.deploy("first.yaml", &["--promote"]);
    stage.deploy("second.yaml", &[]);
    let traffic = Traffic::start(stage.service.address);
    stage.muster(&["rollout", "30%:300ms", "60%:1h", "100%"]);
    let status = stage.until("the next step", |status| status["candidate"]["share"] != 30.0);
    assert_eq!(status["candidate"]["share"], 60.0);
    let (action, by, reason) = stage.last();
    assert_eq!((&*action, &*by, &*reason), ("advance", "muster", "schedule"));
    let status = stage.until("what is waited for", |status| status["waits_for"].is_string());
    assert!(status["waits_for"].as_str().unwrap().starts_with("the step holds for another"));
    let gauge = "muster_rollout_ratio{of=\"rules\",workspace=\"shop\"}";
    assert_eq!(stage.metric(gauge), 0.6);
    stage.muster(&["rollout", "advance"]);
    let status = stage.muster(&["status"]);
    assert_eq!((&status["candidate"]["share"], &status["schedule"]), (&json!(100.0), &Value::Null));
    traffic.stop();
}

#[test]
fn a_paused_audience_stays_as_it_is_until_it_is_resumed() {
    let stage = Stage::new("");
    stage.deploy("first.yaml", &["--promote"]);
    purchase(&stage, "ann");
    stage.muster(&["pause", "buyers"]);
    purchase(&stage, "bob");
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(stage.members("buyers"), names(&["ann"]));
    stage.muster(&["resume", "buyers"]);
    stage.until("everybody", |status| status["filling"].is_null());
    assert_eq!(stage.members("buyers"), names(&["ann", "bob"]));
    stage.muster(&["remove", "buyers"]);
    stage.until("everybody", |status| status["filling"].is_null());
    let told = get(stage.service.address, "/v1/workspaces/shop/transitions").body;
    let left = told.lines().filter(|line| line.contains("\"left\"") && line.contains("buyers"));
    assert_eq!(left.count(), 2, "{told}");
    stage.muster(&["rollback"]);
    stage.until("everybody", |status| status["filling"].is_null());
    assert_eq!(stage.members("buyers"), names(&["ann", "bob"]));
}

#[test]
fn what_was_decided_outlives_a_kill() {
    let mut stage = Stage::new("");
    stage.deploy("first.yaml", &["--promote"]);
    let users: Vec<String> = (0..40).map(|user| format!("u{user}")).collect();
    users.iter().for_each(|user| purchase(&stage, user));
    stage.deploy("second.yaml", &[]);
    stage.muster(&["rollout", "40%:1h", "100%"]);
    stage.muster(&["shadow", "20%"]);
    stage.muster(&["pause", "regulars"]);
    let settled = |stage: &Stage| {
        let mut status = stage.until("everybody", |status| status["filling"].is_null());
        // What is seen begins anew with the service, and what is waited for goes on with the clock.
        for seen in ["shadowed", "differences", "waits_for", "failures"] {
            status.as_object_mut().unwrap().remove(seen);
        }
        status
    };
    let (before, members) = (settled(&stage), stage.memberships());
    let history = stage.muster(&["history"]);
    stage.restart();
    assert_eq!(settled(&stage), before);
    assert_eq!(stage.memberships(), members);
    assert_eq!(stage.muster(&["history"]), history);
    stage.muster(&["rollback"]);
    stage.until("everybody", |status| status["filling"].is_null());
    assert!(stage.memberships().iter().all(|(_, audience)| audience != "returners"));
}

#[test]
fn what_makes_no_sense_is_refused_and_nothing_changes() {
    let stage = Stage::new("");
    let told = |args: &[&str]| {
        let output = stage.try_muster(args);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), told)
    };
    let refused = |args: &[&str], code: i32, reason: &str| {
        let (found, told) = told(args);
        assert_eq!(found, code, "{args:?}: {told}");
        assert!(told.contains(reason), "{args:?}: {told}");
    };
    refused(&["status"], 1, "workspace `shop` has no rules yet: deploy some");
    refused(&["promote"], 1, "there is no candidate: deploy a version first");
    stage.write("typo.yaml", b"audiences:\n  - { id: a, where: { evnt: purchase } }\n");
    let typo = stage.path("typo.yaml");
    refused(&["deploy", typo.to_str().unwrap()], 3, "typo.yaml:2:23");
    stage.deploy("first.yaml", &[]);
    refused(&["rollout", "3%"], 1, "no version is active: promote the candidate first");
    refused(&["rollout", "101%"], 2, "`101%` is not a share");
    stage.muster(&["promote"]);
    let first = stage.path("first.yaml");
    refused(&["deploy", first.to_str().unwrap()], 1, "is active already: nothing was changed");
    refused(&["rollback"], 1, "to go back to");
    refused(&["pause", "nobody"], 1, "no audience `nobody` in the active version");
    refused(&["resume", "buyers"], 1, "audience `buyers` is not paused");
    refused(&["remove", "nobody"], 1, "no audience `nobody`");
    refused(&["rollout", "advance"], 1, "no further step is planned");
    refused(&["diff", "zzz"], 1, "no version `zzz`");
    let stale = r#"{"audiences":["buyers"],"revision":1}"#;
    let path = "/v1/workspaces/shop/rules/actions/pause";
    let answer = http::request(stage.service.address, "POST", path, "", stale);
    assert_eq!(answer.status, 409, "{}", answer.body);
    assert_eq!(stage.muster(&["status"])["revision"], 2);
    assert_eq!(stage.muster(&["history"]).as_array().unwrap().len(), 2);
}
