//! Rules changed under traffic, from the first version to the last: deployed, shadowed, rolled out step
//! by step, verified, rolled back, promoted. Nothing is lost, and in the end everybody is where a
//! replay of everything by the last rules puts her.

use crate::http;
use crate::stage::{MESSAGES, Stage, Traffic, folded};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[test]
fn a_version_is_tried_taken_back_and_promoted_under_traffic() {
    let stage = Stage::new("");
    stage.deploy("first.yaml", &["--promote"]);
    let traffic = Traffic::start(stage.service.address);
    stage.until("traffic", |_| stage.metric("muster_messages_total") > 2_000.0);
    let before = traffic.p99();

    stage.deploy("second.yaml", &[]);
    let diff = stage.muster(&["diff"]);
    assert_eq!(diff["added"], json!(["returners"]));
    assert_eq!((&diff["changed"], &diff["removed"]), (&json!(["spenders"]), &json!(["gone"])));
    stage.muster(&["shadow", "30%"]);
    let shadowed = stage.until("differences", |status| {
        status["differences"]["definition_changed"].as_u64() > Some(20)
    });
    let classes = shadowed["differences"].as_object().unwrap();
    assert_eq!(classes.len(), 1, "rules that did not change do not differ: {classes:?}");
    let listed = stage.try_muster(&["differences", "--limit", "5"]);
    let first: Value =
        serde_json::from_slice(listed.stdout.split(|b| *b == b'\n').next().unwrap()).unwrap();
    let first = &first["difference"];
    assert_ne!(first["counts"]["member"], first["shadow"]["member"], "{first}");
    assert_ne!(first["counts"]["version"], first["shadow"]["version"], "{first}");
    let members = stage.memberships();
    assert!(
        members.iter().all(|(_, audience)| audience != "returners"),
        "a shadow is not published"
    );

    for share in ["3%", "40%"] {
        stage.muster(&["rollout", share]);
        stage.verified(&[]);
    }
    let mut buyers = Value::Null;
    http::until("buyers who entered or left", || {
        let mut found = stage.verified(&[]);
        let mut rows = found["rows"].as_array_mut().unwrap().iter_mut();
        buyers = rows.find(|row| row["audience"] == "buyers").map(Value::take).unwrap_or_default();
        !buyers.is_null()
    });
    assert_eq!(buyers["same_rules"], json!(true), "{buyers}");
    let has_new = |members: BTreeSet<(String, String)>| {
        members.iter().any(|(_, audience)| audience == "returners")
    };
    assert!(has_new(stage.memberships()));
    let entered =
        "muster_transitions_total{audience=\"returners\",cause=\"event\",change=\"entered\"";
    stage.until("a returner by the candidate", |_| stage.metric(entered) > 0.0);

    stage.muster(&["rollback"]);
    stage.until("going back", |status| status["filling"].is_null());
    assert!(!has_new(stage.memberships()), "who was in a new audience has left it");
    assert_eq!(stage.metric(entered), 0.0, "versions that are gone are not counted for ever");

    stage.deploy("second.yaml", &[]);
    stage.muster(&["rollout", "100%"]);
    stage.muster(&["promote"]);
    let status = stage.until("going over", |status| status["filling"].is_null());
    let during = traffic.p99();
    println!(
        "p99 of a request of {MESSAGES} messages: {before:?} before, {during:?} while rules changed"
    );
    let sent = traffic.stop();
    assert_eq!(status["candidate"], Value::Null);
    assert_eq!(stage.metric("muster_messages_total"), sent.len() as f64, "every message counts");

    let members = stage.memberships();
    assert_eq!(members, stage.replayed("second.yaml", &sent));
    assert!(members.len() > 100, "{}", members.len());
    assert_eq!(members, folded(stage.service.address));
    let actions = stage.muster(&["history", "--limit", "50"]);
    let actions: Vec<&str> =
        actions.as_array().unwrap().iter().rev().map(|c| c["action"].as_str().unwrap()).collect();
    let expected = "deploy promote deploy shadow rollout rollout rollback deploy rollout promote";
    assert_eq!(actions.join(" "), expected);
    assert!(stage.service.stop());
}

#[test]
fn an_engine_is_rolled_out_without_a_difference() {
    let stage = Stage::new("name = \"scan\"\n");
    stage.deploy("first.yaml", &["--promote"]);
    let traffic = Traffic::start(stage.service.address);
    stage.until("traffic", |_| stage.metric("muster_messages_total") > 2_000.0);
    stage.muster(&["shadow", "50%", "--engine"]);
    stage.until("evaluations", |status| status["shadowed"].as_u64() > Some(1_000));
    for share in ["3%", "40%"] {
        stage.muster(&["rollout", share, "--engine"]);
        stage.verified(&["--engine"]);
    }
    let entered = "muster_transitions_total{audience=\"buyers\",cause=\"event\",\
                   change=\"entered\",engine=\"state\"";
    stage.until("a buyer by the new engine", |_| stage.metric(entered) > 0.0);
    stage.muster(&["rollout", "100%", "--engine"]);
    let status = stage.until("going over", |status| status["filling"].is_null());
    let sent = traffic.stop();
    assert_eq!(status["differences"], json!({}), "{status}");
    assert_eq!(stage.memberships(), stage.replayed("first.yaml", &sent));
    assert!(stage.service.stop());
}
