//! The way from nothing to a live rule, run as the documentation of the guest SDK tells it. Needs a
//! toolchain for WebAssembly; what is missing is named.

use muster::build::Toolchain;
use serde_json::Value;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

const TUTORIAL: &str = include_str!("../../../guest-sdk/src/lib.rs");
/// Where it says that the service listens.
const ADDRESS: &str = "localhost:7400";
/// More than any machine needs; without it, a rule that does not go live is waited for.
const SECONDS_MAX: &str = "1200";

/// What the tutorial has the reader type, a text for each block.
fn commands() -> Vec<String> {
    let documentation = TUTORIAL.lines().map_while(|line| line.strip_prefix("//!"));
    let mut blocks = Vec::new();
    let mut is_inside = false;
    for line in documentation.map(|line| line.strip_prefix(' ').unwrap_or(line)) {
        match line {
            "```sh" => {
                blocks.push(String::new());
                is_inside = true;
            }
            "```" => is_inside = false,
            line if is_inside => blocks.last_mut().unwrap().push_str(&format!("{line}\n")),
            _ => {}
        }
    }
    blocks
}

/// The commands in one script. The crate is built where the examples are, with the same locked
/// dependencies, so that the standard library need not be compiled again; and the service takes a
/// port that is free.
fn script() -> String {
    let mut blocks = commands();
    assert!(blocks[0].ends_with("cd shop-rules\n"), "{}", blocks[0]);
    blocks[0].push_str(
        "ln -s \"$EXAMPLES/target\" target\ncp \"$EXAMPLES/recent-ios-buyers/Cargo.lock\" .\n",
    );
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (settings, address) = ("'[workspaces]", format!("127.0.0.1:{port}"));
    let text = blocks.concat();
    assert!(text.contains(settings) && text.contains(ADDRESS), "{text}");
    let listen = format!("'[http]\\nlisten = \"{address}\"\\n[workspaces]");
    let text = text.replace(settings, &listen).replace(ADDRESS, &address);
    format!("set -euo pipefail\ntrap 'kill $(jobs -p)' EXIT\n{text}")
}

#[test]
fn the_tutorial_leads_from_nothing_to_a_transition() {
    if let Err(missing) = Toolchain::find() {
        panic!("{missing}");
    }
    let folder = tempfile::tempdir().unwrap();
    let programs = folder.path().join("programs");
    fs::create_dir(&programs).unwrap();
    symlink(env!("CARGO_BIN_EXE_muster-service"), programs.join("muster")).unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    fs::create_dir_all(examples.join("target")).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let ran = Command::new("timeout")
        .args([SECONDS_MAX, "bash", "-c", &script()])
        .current_dir(folder.path())
        .env("PATH", path)
        // The crate's own folder, as the reader has it.
        .env_remove("CARGO_TARGET_DIR")
        .env("EXAMPLES", examples.canonicalize().unwrap())
        .output()
        .unwrap();
    let (told, log) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{told}\n{log}");
    for expected in [
        "test result: ok. 1 passed",
        "audience `recent-ios-buyers`, version 0.1.0+",
        "as expected  cases/refunds.txt",
        "a call for all audiences: ",
        "{\"accepted\":1,\"refused_count\":0,\"refused\":[]}",
    ] {
        assert!(told.contains(expected), "{expected}: {told}\n{log}");
    }
    // The answer to the message ends with no line.
    let answers = serde_json::Deserializer::from_str(told.lines().last().unwrap()).into_iter();
    let transition: Value = answers.last().unwrap().unwrap();
    let of = |key: &str| transition[key].as_str().unwrap();
    assert_eq!((of("user"), of("change")), ("ann", "entered"), "{told}");
    assert_eq!((of("audience"), of("cause")), ("recent-ios-buyers", "event"), "{told}");
}
