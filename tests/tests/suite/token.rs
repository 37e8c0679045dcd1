//! `muster token`: what it prints is what the settings take.

use muster::access::{Denied, Role};
use muster::config::Config;
use serde_json::{Value, json};
use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster-service"));
    command.arg("token").args(args).output().unwrap()
}

/// The lines for the settings, and the secret.
fn made(args: &[&str]) -> (String, String) {
    let Output { status, stdout, stderr } = run(args);
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let secret = String::from_utf8(stderr).unwrap();
    let secret = secret.strip_suffix('\n').unwrap().to_string();
    let digits = secret.strip_prefix("mst_").unwrap();
    assert!(digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{secret}");
    (String::from_utf8(stdout).unwrap(), secret)
}

fn header(secret: &str) -> Vec<u8> {
    format!("Bearer {secret}").into_bytes()
}

#[test]
fn each_role_may_what_it_says() {
    let roles = [Role::Viewer, Role::Author, Role::Operator];
    let mut settings = "[http]\nlisten = \"127.0.0.1:0\"\n".to_string();
    let mut secrets = Vec::new();
    for role in roles {
        let role = role.name();
        let (lines, secret) = made(&["--name", role, "--role", role, "--workspace", "shop"]);
        assert!(!lines.contains(&secret));
        settings.push_str(&lines);
        secrets.push(secret);
    }
    // All of them, one after another, as `>> muster.toml` appends them.
    let access = Config::parse(&settings).unwrap().access;
    for (had, secret) in roles.into_iter().zip(&secrets) {
        let caller = access.caller(Some(&header(secret))).unwrap();
        assert_eq!(caller.name(), had.name());
        for needed in roles {
            assert_eq!(caller.require(needed, "shop").is_ok(), had >= needed, "{had:?} {needed:?}");
        }
        assert!(matches!(caller.require(Role::Viewer, "other"), Err(Denied::Workspace { .. })));
        assert!(matches!(caller.require_ingest(), Err(Denied::Role { .. })));
    }
    assert_ne!(secrets[0], secrets[1]);
}

#[test]
fn a_key_sends_messages_and_nothing_else() {
    let (lines, secret) =
        made(&["--name", "website", "--ingest", "--workspace", "shop", "--workspace", "blog"]);
    let access = Config::parse(&lines).unwrap().access;
    let caller = access.caller(Some(&header(&secret))).unwrap();
    caller.require_ingest().unwrap();
    assert!(caller.covers("shop") && caller.covers("blog") && !caller.covers("other"));
    assert!(matches!(caller.require(Role::Viewer, "shop"), Err(Denied::Role { .. })));
    assert_eq!(access.caller(Some(&header("mst_0"))).unwrap_err(), Denied::Unknown);
}

#[test]
fn programs_get_json() {
    let args = ["--name", "it", "--role", "author", "--workspace", "*", "--format", "json"];
    let Output { status, stdout, stderr } = run(&args);
    assert!(status.success() && stderr.is_empty());
    let told: Value = serde_json::from_slice(&stdout).unwrap();
    let expected = json!({
        "secret": told["secret"], "list": "tokens", "name": "it", "role": "author",
        "workspaces": ["*"], "hash": told["hash"],
    });
    assert_eq!(told, expected);
    assert!(told["hash"].as_str().unwrap().starts_with("sha256:"));
}

#[test]
fn wrong_options_are_told_and_make_nothing() {
    for (args, expected) in [
        (&["--role", "viewer", "--workspace", "shop"][..], "--name <NAME>"),
        (&["--name", "a", "--workspace", "shop"], "--role <ROLE>"),
        (&["--name", "a", "--role", "viewer"], "--workspace <WORKSPACES>"),
        (&["--name", "a", "--role", "king", "--workspace", "shop"], "viewer, author, operator"),
        (
            &["--name", "a", "--role", "viewer", "--ingest", "--workspace", "shop"],
            "'--role <ROLE>' cannot be used with '--ingest'",
        ),
        (&["--name", "", "--ingest", "--workspace", "shop"], "a value is required for '--name"),
        (&["--name", "a", "--ingest", "--workspace", ""], "a value is required for '--workspace"),
    ] {
        let Output { status, stdout, stderr } = run(args);
        let told = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(2), "{told}");
        assert!(told.contains(expected) && stdout.is_empty(), "{told}");
        assert!(!told.contains("mst_"), "{told}");
    }
}
