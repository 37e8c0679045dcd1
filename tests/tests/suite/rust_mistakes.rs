//! Rules in Rust that are wrong: the compiler says what to write. Each file in `guests/mistakes`
//! begins with what it must say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const EXPECTED: &str = "// the compiler says: ";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/mistakes")
}

/// What the compiler says of each example.
fn compile() -> BTreeMap<String, String> {
    let output = Command::new(env!("CARGO"))
        .args(["check", "--examples", "--keep-going", "--message-format=json"])
        .current_dir(folder())
        .output()
        .expect("cargo runs");
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(line).expect("cargo writes JSON");
        if let Some(rendered) = message["message"]["rendered"].as_str() {
            let name = message["target"]["name"].as_str().unwrap_or_default();
            told.entry(name.to_owned()).or_default().push_str(rendered);
        }
    }
    told
}

#[test]
fn the_compiler_says_what_to_write() {
    let told = compile();
    let mut failures = Vec::new();
    let mut expected = 0;
    for entry in std::fs::read_dir(folder().join("examples")).expect("there are examples") {
        let path = entry.expect("the folder is readable").path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("the example is readable");
        let found = told.get(&name).map_or("nothing", String::as_str);
        for wanted in text.lines().filter_map(|line| line.strip_prefix(EXPECTED)) {
            expected += 1;
            if !found.contains(wanted) {
                failures.push(format!("{name}: `{wanted}` is not said:\n{found}"));
            }
        }
    }
    assert!(expected >= 12, "only {expected} expectations");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
