//! The service with hostile modules: everything else of the workspace, and every other workspace,
//! goes on as if there were none.

use crate::http::{get, post, until};
use crate::process::{Service, spawn};
use muster_tests::guests::{
    ALL, HOSTILE, HOSTILE_SELECTS, Hostile, PARITY, Text, compile_bomb, failing, failing_to_select,
    manifest_asking_for, manifest_selecting, module,
};
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

const SETTINGS: &str = "[http]\nlisten = \"127.0.0.1:0\"\n[access]\nopen = true\n[workspaces]\nshop = \"shop\"\n\
                        other = \"other\"\n[time]\nclock = \"events\"\n\
                        [engine]\nthreads = 1\n";
const RULES: &str = "audiences:\n  - { id: buyers, where: { event: purchase } }\n";

/// A folder with settings, and definitions for two workspaces.
fn folder(settings: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for workspace in ["shop", "other"] {
        fs::create_dir(folder.path().join(workspace)).unwrap();
        fs::write(folder.path().join(workspace).join("audiences.yaml"), RULES).unwrap();
    }
    fs::write(folder.path().join("muster.toml"), format!("{SETTINGS}{settings}")).unwrap();
    folder
}

/// Puts a module into the workspace `shop`, with an audience of its own name that asks for
/// purchases; for those that it selects, if it does.
fn put(folder: &Path, name: &str, text: Text) {
    let manifest = match &text.select {
        None => manifest_asking_for(name, Some("purchase")),
        Some(_) => manifest_selecting(name, "purchase"),
    };
    let text = Text { manifests: (manifest.clone(), manifest), ..text };
    // Whole or not at all, since the service looks for changes.
    let path = folder.join("shop").join(name);
    fs::write(&path, text.component().unwrap()).unwrap();
    fs::rename(&path, path.with_extension("wasm")).unwrap();
}

fn message(workspace: &str, user: &str, event: &str, second: usize) -> Value {
    let time = format!("2026-01-01T00:00:{second:02}Z");
    json!({ "workspace": workspace, "user": user, "events": [{ "name": event, "time": time }] })
}

fn members(address: SocketAddr, workspace: &str, audience: &str) -> Vec<String> {
    let path = format!("/v1/workspaces/{workspace}/audiences/{audience}/members");
    let members = get(address, &path).json()["members"].take();
    let members = members.as_array().unwrap().iter();
    members.map(|member| member["user"].as_str().unwrap().to_string()).collect()
}

fn metric(address: SocketAddr, line: &str) -> f64 {
    let text = get(address, "/metrics").body;
    let found = text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok());
    found.unwrap_or(0.0)
}

/// The name of the module that tries in `select` what others try in `evaluate`.
fn selecting(hostile: &Hostile) -> String {
    format!("selecting-{}", hostile.name)
}

#[test]
fn modules_that_fail_disturb_nobody() {
    let folder = folder("");
    for hostile in HOSTILE {
        put(folder.path(), hostile.name, failing(hostile.instructions));
    }
    for hostile in HOSTILE_SELECTS {
        put(folder.path(), &selecting(hostile), failing_to_select(hostile.instructions));
    }
    put(folder.path(), "steady", module("steady", PARITY));
    let service = Service::start(folder.path(), None);
    let users = ["ann", "bob", "cat", "dan"];
    for (second, user) in users.into_iter().enumerate() {
        for workspace in ["shop", "other"] {
            let answer = post(service.address, &message(workspace, user, "purchase", second));
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
    }
    for (workspace, audience) in [("shop", "buyers"), ("shop", "steady"), ("other", "buyers")] {
        assert_eq!(members(service.address, workspace, audience), users, "{audience}");
    }
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    let names = HOSTILE.iter().map(|hostile| hostile.name.to_owned());
    for name in names.chain(HOSTILE_SELECTS.iter().map(selecting)) {
        assert!(members(service.address, "shop", &name).is_empty(), "{name}");
        let failed = "muster_failed_decisions_total{audience=";
        let failed = format!("{failed}\"{name}\",workspace=\"shop\"}}");
        assert!(metric(service.address, &failed) >= users.len() as f64, "{failed}");
        let told = log.lines().find(|line| line.contains(&format!("module `{name}`")));
        let told = told.unwrap_or_else(|| panic!("{name} is not named in {log}"));
        assert!(told.contains(&format!("audience={name}")), "{told}");
    }
    let other = "muster_failed_decisions_total{audience=\"buyers\"";
    assert!(!get(service.address, "/metrics").body.contains(other));
    assert!(service.stop());
}

#[test]
fn a_module_that_takes_minutes_to_compile_holds_nobody_up() {
    let folder = folder("[modules.limits_of.bomb]\ncompile_time = \"2s\"\n");
    let service = Service::start(folder.path(), None);
    put(folder.path(), "bomb", compile_bomb("bomb"));
    let refused = "muster_rule_loads_total{outcome=\"refused\"}";
    let mut sent = 0;
    until("the refusal", || {
        let answer = post(service.address, &message("shop", &format!("u{sent}"), "purchase", 1));
        assert_eq!(answer.status, 200, "{}", answer.body);
        sent += 1;
        metric(service.address, refused) >= 1.0
    });
    assert!(sent > 10, "only {sent} messages were answered meanwhile");
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    let told = log.lines().find(|line| line.contains("rules stay as they are")).unwrap();
    assert!(
        told.contains("bomb.wasm") && told.contains("module `bomb` takes more than 2s to compile"),
        "{told}"
    );
    assert!(service.stop());
}

/// The processes that a process started, all of its threads together.
fn children(process: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().map(|id| id.parse().unwrap()).collect::<Vec<_>>())
        .collect()
}

fn is_running(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit_once(") ").unwrap().1.starts_with('Z'))
}

#[test]
fn a_compiler_ends_with_the_service() {
    // Its time tells the compiler of the bomb from that of the definitions.
    let settings = "[modules.limits_of.bomb]\ncompile_time = \"600s\"\n";
    let folder = folder(settings);
    put(folder.path(), "bomb", compile_bomb("bomb"));
    let mut process = spawn(folder.path(), None);
    let command = |id: &u32| fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let mut child = None;
    until("the compiler of the bomb", || {
        let mut children = children(process.id()).into_iter();
        child = children.find(|id| command(id).contains("compile-guest\x00--seconds\x00600\x00"));
        child.is_some()
    });
    process.kill().unwrap();
    process.wait().unwrap();
    until("its end", || !is_running(child.unwrap()));
}

#[test]
fn what_was_not_selected_is_selected_later_without_a_message() {
    let folder = folder("");
    // It lasts for one call of each instance, as the module below.
    let select = format!(
        "(if (global.get $worn) (then unreachable)) (global.set $worn (i32.const 1)) {ALL}"
    );
    let definitions = "(global $worn (mut i32) (i32.const 0))".into();
    let text = Text { definitions, select: Some(select), ..module("fragile", PARITY) };
    put(folder.path(), "fragile", text);
    let service = Service::start(folder.path(), None);
    for user in ["ann", "bob"] {
        assert_eq!(post(service.address, &message("shop", user, "purchase", 1)).status, 200);
    }
    assert_eq!(members(service.address, "shop", "fragile"), ["ann"]);
    assert_eq!(post(service.address, &message("other", "cat", "look", 3)).status, 200);
    until("the decision", || members(service.address, "shop", "fragile") == ["ann", "bob"]);
    assert!(service.stop());
}

#[test]
fn who_was_not_decided_is_decided_later_without_a_message() {
    let folder = folder("");
    // It lasts for one call of each instance: the second one fails, and begins a new instance.
    let evaluate = format!(
        "(if (global.get $worn) (then unreachable)) (global.set $worn (i32.const 1)) {PARITY}"
    );
    let definitions = "(global $worn (mut i32) (i32.const 0))".into();
    put(folder.path(), "fragile", Text { definitions, ..module("fragile", &evaluate) });
    let service = Service::start(folder.path(), None);
    for user in ["ann", "bob"] {
        assert_eq!(post(service.address, &message("shop", user, "purchase", 1)).status, 200);
    }
    assert_eq!(members(service.address, "shop", "fragile"), ["ann"]);
    // Somebody else's message moves the clock past the first attempt.
    assert_eq!(post(service.address, &message("other", "cat", "look", 3)).status, 200);
    until("the decision", || members(service.address, "shop", "fragile") == ["ann", "bob"]);
    let told = get(service.address, "/v1/workspaces/shop/transitions").body;
    let told = told.lines().find(|line| line.contains("fragile") && line.contains("bob")).unwrap();
    assert!(told.contains("\"at\":\"2026-01-01T00:00:02.000Z\""), "{told}");
    assert!(told.contains("\"cause\":\"timer\""), "{told}");
    assert!(service.stop());
}
