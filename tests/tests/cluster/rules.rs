//! Rules that one instance is given are those of all, within seconds.

use crate::{shop, stage_with};
use muster_tests::cluster::{Instance, Load, Members, until};
use serde_json::{Value, json};
use std::time::Duration;

fn post(instance: &mut Instance, path: &str, body: &Value) -> String {
    let address = instance.address().unwrap().unwrap();
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let mut answer = agent
        .post(format!("http://{address}{path}"))
        .header("content-type", "application/json")
        .send(body.to_string())
        .unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    assert!(answer.status().is_success(), "{path}: {text}");
    text
}

fn wait_audience(instance: &mut Instance, id: &str) {
    until("the audience is in force", || {
        let (_, said) = instance.get("/v1/workspaces/shop/audiences")?;
        Ok(if said.contains(&format!("\"{id}\"")) { Ok(()) } else { Err(said) })
    })
    .unwrap();
}

/// So many audiences that nobody is in.
fn audiences(count: usize) -> String {
    let audience =
        |at| format!("  - {{ id: a{at}, where: {{ profile: {{ country: C{at} }} }} }}\n");
    (0..count).map(audience).collect()
}

const DEPLOYED: &str = "audiences:
  - { id: japanese, where: { profile: { country: JP } } }
  - { id: north-americans, where: { profile: { country: { in: [US, CA] } } } }
";

#[test]
fn a_version_deployed_by_one_instance_decides_at_all_of_them() {
    let stage = stage_with(&shop(), 2);
    let mut one = stage.start("one").unwrap();
    let mut two = stage.start("two").unwrap();
    let from = |user: &str, country: &str| {
        json!({ "workspace": "shop", "user": user, "attributes": { "country": country } })
            .to_string()
    };
    let countries = ["JP", "US", "DE"];
    let messages: Vec<String> =
        (0..60).map(|at| from(&format!("u{at}"), countries[at % 3])).collect();
    let load = Load::of(messages, 1_767_225_700_000).unwrap();
    load.send(&stage, Duration::ZERO).unwrap();
    until("all users are known", || {
        let found = one.members()?.len();
        Ok(if found == 20 { Ok(()) } else { Err(found.to_string()) })
    })
    .unwrap();
    let files = json!({ "definitions": [{ "name": "audiences.yaml", "text": DEPLOYED }] });
    post(&mut one, "/v1/workspaces/shop/rules/versions", &files);
    post(&mut one, "/v1/workspaces/shop/rules/actions/promote", &json!({}));
    wait_audience(&mut two, "japanese");
    let expected: Members = (0..60)
        .filter(|at| at % 3 < 2)
        .map(|at| {
            let audience = ["japanese", "north-americans"][at % 3].to_string();
            (format!("u{at}"), [audience].into())
        })
        .collect();
    // Users go over where they fall to, at both of them.
    one.wait_members(&expected).unwrap();
    assert_eq!(two.members().unwrap(), expected);
    // And back again, asked of the other.
    post(&mut two, "/v1/workspaces/shop/rules/actions/rollback", &json!({}));
    wait_audience(&mut one, "recent-buyers");
    until("the members of old are back", || {
        let found = one.members()?;
        let left = found.values().filter(|audiences| audiences.contains("japanese")).count();
        Ok(if left == 0 { Ok(()) } else { Err(format!("{left} are still in")) })
    })
    .unwrap();
}

/// It decides users who have gone over already by the rules of before, and then takes the new ones over.
#[test]
fn users_do_not_stay_with_rules_that_an_instance_was_late_to_take_over() {
    let stage = stage_with(&shop(), 4);
    // Nobody is taken for gone meanwhile.
    let start = |name: &str| {
        let path = stage.settings(name, "").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let patient = text.replace("silence_max = \"2s\"", "silence_max = \"60s\"");
        assert_ne!(patient, text);
        std::fs::write(&path, patient).unwrap();
        let mut instance = Instance::start(&path).unwrap();
        instance.wait_ready().unwrap();
        instance
    };
    let (mut one, mut two) = (start("one"), start("two"));
    let message = |at: i64, attributes: &Value| {
        let user = format!("u{at}");
        json!({ "workspace": "shop", "user": user, "attributes": attributes }).to_string()
    };
    let all = |attributes: Value| (0..60).map(|at| message(at, &attributes)).collect();
    let end = 1_767_225_700_000_i64;
    let load = Load::of(all(json!({ "country": "JP" })), end).unwrap();
    load.send(&stage, Duration::ZERO).unwrap();
    until("everything is acknowledged", || stage.is_drained()).unwrap();
    // They take a while to compile.
    let text = DEPLOYED.replace("[US, CA]", "[US, CA, JP]") + &audiences(10_000);
    let files = json!({ "definitions": [{ "name": "audiences.yaml", "text": text }] });
    post(&mut one, "/v1/workspaces/shop/rules/versions", &files);
    two.pause().unwrap();
    post(&mut one, "/v1/workspaces/shop/rules/actions/promote", &json!({}));
    let load = Load::of(all(json!({ "language": "ja" })), end + 10).unwrap();
    load.send(&stage, Duration::ZERO).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    two.resume().unwrap();
    wait_audience(&mut two, "japanese");
    until("everything is acknowledged", || stage.is_drained()).unwrap();
    let both = ["japanese", "north-americans"].map(str::to_string);
    let is_in = |at: i64| (format!("u{at}"), both.clone().into());
    one.wait_members(&(0..60).map(is_in).collect()).unwrap();
    one.stop().unwrap();
    two.stop().unwrap();
}

#[test]
fn an_instance_that_comes_later_has_the_rules_that_are_in_force() {
    let stage = stage_with(&shop(), 1);
    let mut one = stage.start("one").unwrap();
    let files = json!({ "definitions": [{ "name": "audiences.yaml", "text": DEPLOYED }] });
    post(&mut one, "/v1/workspaces/shop/rules/versions", &files);
    post(&mut one, "/v1/workspaces/shop/rules/actions/promote", &json!({}));
    let mut two = stage.start("two").unwrap();
    wait_audience(&mut two, "japanese");
    one.stop().unwrap();
    let (status, said) = two.get("/v1/workspaces/shop/rules/history").unwrap();
    assert_eq!(status, 200);
    assert!(said.contains("promote"), "{said}");
}

#[test]
fn messages_of_a_new_workspace_wait_until_its_rules_are_there() {
    let stage = stage_with(&shop(), 4);
    let mut instances: Vec<Instance> =
        ["one", "two", "three"].iter().map(|name| stage.start(name).unwrap()).collect();
    let files = json!({ "definitions": [{ "name": "audiences.yaml", "text": DEPLOYED }] });
    for round in 0..5 {
        let workspace = format!("w{round}");
        let of = |path: &str| format!("/v1/workspaces/{workspace}/rules/{path}");
        post(&mut instances[0], &of("versions"), &files);
        let messages: Vec<String> = (0..100)
            .map(|at| {
                let attributes = json!({ "country": "JP" });
                let user = format!("u{at}");
                json!({ "workspace": workspace, "user": user, "attributes": attributes })
                    .to_string()
            })
            .collect();
        let load = Load::of(messages, 1_767_225_700_000).unwrap();
        post(&mut instances[0], &of("actions/promote"), &json!({}));
        load.send(&stage, Duration::ZERO).unwrap();
        until("all users are members", || {
            let path = format!("/v1/workspaces/{workspace}/memberships?limit=10000");
            let (_, said) = instances[0].get(&path)?;
            let found = said.lines().filter(|line| line.contains("japanese")).count();
            Ok(if found == 100 {
                Ok(())
            } else {
                Err(format!("{found}: {}", dead(&mut instances)))
            })
        })
        .unwrap();
    }
    assert_eq!(dead(&mut instances), 0.0);
    // Where nobody has deployed anything, nothing is waited for.
    let lost = json!({ "workspace": "nobodys", "user": "ann", "attributes": {} }).to_string();
    Load::of(vec![lost], 1_767_225_700_000).unwrap().send(&stage, Duration::ZERO).unwrap();
    until("it is put aside", || {
        let dead = dead(&mut instances);
        Ok(if dead == 1.0 { Ok(()) } else { Err(dead.to_string()) })
    })
    .unwrap();
}

/// Messages that were put aside, by all instances.
fn dead(instances: &mut [Instance]) -> f64 {
    instances
        .iter_mut()
        .map(|instance| instance.metric("muster_dead_letters_total ").unwrap())
        .sum()
}

#[test]
fn rules_that_cannot_be_taken_over_hold_up_no_others_and_are_told() {
    let stage = stage_with(&shop(), 1);
    let mut one = stage.start("one").unwrap();
    // Enough for what is small.
    let limits = "[modules.limits]\ncomponent_bytes = 20000\n";
    let mut two = Instance::start(&stage.settings("two", limits).unwrap()).unwrap();
    two.wait_ready().unwrap();
    let large = audiences(400);
    let deploy = |one: &mut Instance, workspace: &str, text: &str| {
        let files = json!({ "definitions": [{ "name": "audiences.yaml", "text": text }] });
        post(one, &format!("/v1/workspaces/{workspace}/rules/versions"), &files);
        post(one, &format!("/v1/workspaces/{workspace}/rules/actions/promote"), &json!({}));
    };
    // The first by name is the one that fails.
    deploy(&mut one, "first", &format!("audiences:\n{large}"));
    deploy(&mut one, "shop", DEPLOYED);
    wait_audience(&mut two, "japanese");
    let mut ready = |is_so: &dyn Fn(u16, &str) -> bool| {
        until("it says whether it is ready", || {
            let (status, said) = two.ready()?;
            Ok(if is_so(status, &said) { Ok(()) } else { Err(format!("{status}: {said}")) })
        })
        .unwrap();
    };
    ready(&|status, said| {
        status == 503
            && said.contains("waiting for the rules of `first`, which cannot be taken over: ")
    });
    assert_eq!(one.ready().unwrap().0, 200);
    deploy(&mut one, "first", DEPLOYED);
    ready(&|status, _| status == 200);
}
