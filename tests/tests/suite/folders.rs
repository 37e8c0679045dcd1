//! Rules from folders, as folders really change: emptied, swapped as a whole, full of other things.

use crate::http::{get, post, until};
use crate::process::Service;
use serde_json::json;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

const AUDIENCES: &str = "/v1/workspaces/shop/audiences";

fn rules(audience: &str) -> String {
    format!("audiences:\n  - {{ id: {audience}, where: {{ event: purchase }} }}\n")
}

/// A service whose rules lie in the folder `rules`.
fn start(folder: &Path) -> Service {
    let settings = "[http]\nlisten = \"127.0.0.1:0\"\n[access]\nopen = true\n[workspaces]\nshop = \"rules\"\n[time]\nclock = \"events\"\n";
    fs::write(folder.join("muster.toml"), settings).unwrap();
    Service::start(folder, None)
}

fn audiences(service: &Service) -> Vec<String> {
    let told = get(service.address, AUDIENCES).json();
    let ids = told.as_array().unwrap().iter().map(|told| told["id"].as_str().unwrap().to_string());
    ids.collect()
}

fn loads(service: &Service, outcome: &str) -> u32 {
    let line = format!("muster_rule_loads_total{{outcome=\"{outcome}\"}} ");
    let text = get(service.address, "/metrics").body;
    text.lines().find_map(|told| told.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
}

#[test]
fn nobody_leaves_when_a_folder_is_emptied() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules/audiences.yaml");
    fs::create_dir(folder.path().join("rules")).unwrap();
    fs::write(&file, rules("buyers")).unwrap();
    let service = start(folder.path());
    let purchase = json!({ "workspace": "shop", "user": "ann", "events": [{ "name": "purchase", "time": 0 }] });
    assert_eq!(post(service.address, &purchase).status, 200);
    fs::remove_file(&file).unwrap();
    until("the refusal", || loads(&service, "refused") == 1);
    assert_eq!(audiences(&service), ["buyers"]);
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("put them back, or take audiences away with `muster remove`"), "{log}");
    fs::write(&file, rules("buyers")).unwrap();
    fs::write(file.with_file_name("more.yaml"), rules("more")).unwrap();
    until("the new audience", || audiences(&service).len() == 2);
    until("its members", || {
        get(service.address, "/v1/workspaces/shop/transitions").body.lines().count() == 2
    });
    let told = get(service.address, "/v1/workspaces/shop/transitions").body;
    assert!(!told.contains("\"left\""), "{told}");
    assert!(service.stop());
}

#[test]
fn a_folder_may_begin_empty() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("rules")).unwrap();
    let service = start(folder.path());
    assert!(audiences(&service).is_empty());
    fs::write(folder.path().join("rules/audiences.yaml"), rules("buyers")).unwrap();
    until("the first audience", || audiences(&service) == ["buyers"]);
    assert!(service.stop());
}

/// As Kubernetes mounts files: links into a hidden folder, itself a link, which is swapped.
#[test]
fn what_is_hidden_is_not_read_and_a_mounted_folder_is_swapped() {
    let folder = tempfile::tempdir().unwrap();
    let rules_folder = folder.path().join("rules");
    for (version, audience) in [("..1", "first"), ("..2", "second")] {
        fs::create_dir_all(rules_folder.join(version)).unwrap();
        fs::write(rules_folder.join(version).join("a.yaml"), rules(audience)).unwrap();
    }
    fs::create_dir(rules_folder.join(".git")).unwrap();
    fs::write(rules_folder.join(".git/config.json"), "{ \"no\": \"rules\" }").unwrap();
    fs::write(rules_folder.join(".a.yaml"), "half written").unwrap();
    symlink("..1", rules_folder.join("..data")).unwrap();
    symlink("..data/a.yaml", rules_folder.join("a.yaml")).unwrap();
    let service = start(folder.path());
    assert_eq!(audiences(&service), ["first"]);
    symlink("..2", rules_folder.join("..new")).unwrap();
    fs::rename(rules_folder.join("..new"), rules_folder.join("..data")).unwrap();
    until("the other version", || audiences(&service) == ["second"]);
    assert!(service.stop());
}

#[test]
fn a_hangup_loads_what_looks_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules/audiences.yaml");
    fs::create_dir(folder.path().join("rules")).unwrap();
    fs::write(&file, rules("aaa")).unwrap();
    let changed = file.metadata().unwrap().modified().unwrap();
    let service = start(folder.path());
    // Of the same length, and from the same time.
    let other = file.with_extension("other");
    fs::write(&other, rules("bbb")).unwrap();
    File::options().write(true).open(&other).unwrap().set_modified(changed).unwrap();
    fs::rename(&other, &file).unwrap();
    assert_eq!(audiences(&service), ["aaa"]);
    service.signal("-HUP");
    until("the other audience", || audiences(&service) == ["bbb"]);
    assert!(service.stop());
}

#[test]
fn folders_that_lead_in_circles_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    symlink(".", folder.path().join("again")).unwrap();
    fs::write(folder.path().join("a.yaml"), rules("a")).unwrap();
    let checked = std::process::Command::new(env!("CARGO_BIN_EXE_muster-service"))
        .arg("check")
        .arg(folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&checked.stderr);
    assert!(!checked.status.success());
    assert!(told.contains("more than 16 folders deep"), "{told}");
}
