//! What ARCHITECTURE.md says never happens, and the compiler does not see to.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

#[test]
fn the_core_depends_on_nothing_that_waits_stores_or_runs() {
    let manifest = std::fs::read_to_string(root().join("host/core/Cargo.toml")).unwrap();
    let (_, after) = manifest.split_once("[dependencies]\n").unwrap();
    let dependencies: Vec<&str> = after
        .lines()
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ']).next().filter(|name| !name.is_empty()))
        .collect();
    assert_eq!(dependencies, ["regex", "thiserror", "xxhash-rust"]);
}

#[test]
fn the_core_reads_no_clock_file_network_thread_or_environment() {
    let files = sources(&root().join("host/core/src"));
    assert!(files.len() > 15, "only {} files of the core were found", files.len());
    let banned = ["std::time::", "std::fs", "std::net", "std::thread", "std::env", "std::io"];
    for (path, text) in files {
        for name in banned {
            assert!(!text.contains(name), "{} uses {name}", path.display());
        }
    }
}

#[test]
fn only_the_guest_module_knows_wasmtime_and_each_store_knows_its_own_tables() {
    for (path, text) in sources(&root().join("host/src")) {
        let inside = |part: &str| path.components().any(|c| c.as_os_str() == part);
        if !inside("guest") {
            assert!(!text.contains("wasmtime::"), "{} uses wasmtime", path.display());
        }
        for client in ["fjall::", "scylla::"] {
            assert!(!text.contains(client), "{} uses a store's tables", path.display());
        }
    }
    let stores = sources(&root().join("host/store/src"));
    assert!(stores.len() > 20, "only {} files of stores were found", stores.len());
    for (path, text) in stores {
        let of = |store: &str| path.components().any(|part| part.as_os_str() == store);
        let is = |name: &str| path.file_name().is_some_and(|file| file == name);
        if !of("embedded") && !is("embedded.rs") && !is("error.rs") {
            assert!(!text.contains("fjall::"), "{} uses the embedded tables", path.display());
        }
        if !of("cql") {
            assert!(!text.contains("scylla::"), "{} uses the database's client", path.display());
        }
    }
}

#[test]
fn architecture_names_only_what_exists() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut linked = 0;
    for part in text.split("](").skip(1) {
        let (target, _) = part.split_once(')').unwrap();
        assert!(root().join(target).exists(), "ARCHITECTURE.md links to {target}");
        linked += 1;
    }
    assert!(linked > 5);
    assert!(text.lines().count() < 300);
}
