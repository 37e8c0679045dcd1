//! Requests as clients really send them: packed, cut off, half sent, half wrong.

use crate::http::{PATIENCE, connect, post, receive, until};
use crate::process::Service;
use crate::running::{self, Running, message};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::time::Instant;

#[test]
fn a_malformed_element_costs_that_element_only() {
    let service = Running::start("");
    let (ann, bob) = (message("ann", "purchase", 1), message("bob", "purchase", 2));
    let cases = [
        (format!("[{ann}, oops, {bob}]"), 2, 1),
        (format!("[{ann}, {bob},]"), 2, 2),
        (format!("[{ann}, {bob}] {ann}"), 2, 2),
        (format!("[{ann}, {bob}"), 1, 1),
    ];
    for (body, accepted, refused) in cases {
        let json = "content-type: application/json\r\n";
        let told = service.request("POST", "/v1/messages", json, &body).json();
        assert_eq!(told["accepted"], accepted, "{body}: {told}");
        assert_eq!(told["refused"][0]["item"], refused, "{body}: {told}");
    }
    assert_eq!(service.members("buyers"), ["ann", "bob"]);
    assert_eq!(service.metric("muster_refused_total"), 4.0);
    let letters = service.get("/v1/dead-letters").body;
    assert_eq!(letters.lines().count(), 4, "{letters}");
    service.stop();
}

#[test]
fn a_body_may_be_packed() {
    let service = Running::start("");
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(json!([message("ann", "purchase", 1)]).to_string().as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let send = |encoding: &str| {
        let mut stream = connect(service.address);
        let length = packed.len();
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\ncontent-encoding: {encoding}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&packed).unwrap();
        receive(stream)
    };
    let told = send("gzip");
    assert_eq!((told.status, &told.json()["accepted"]), (200, &json!(1)), "{}", told.body);
    let told = send("zstd");
    assert_eq!(told.status, 415);
    assert!(told.body.contains("send it as it is, or in `gzip`"), "{}", told.body);
    assert_eq!(service.get("/v1/dead-letters").body, "");
    let none = "content-encoding: identity\r\n";
    let told =
        service.request("POST", "/v1/messages", none, &message("bob", "purchase", 2).to_string());
    assert_eq!(told.status, 200, "{}", told.body);
    service.stop();
}

#[test]
fn a_snapshot_is_read_to_its_end_whatever_users_are_called() {
    let service = Running::start("");
    let users = ["a\nb", "a%41", "añ1", "b/c d", "c&e=f", "日本"];
    let messages: Vec<Value> = users.iter().map(|user| message(user, "purchase", 1)).collect();
    assert_eq!(service.post(&json!(messages)).json()["accepted"], users.len());
    let mut found = Vec::new();
    let mut path = "/v1/workspaces/shop/memberships?limit=1".to_string();
    for _ in 0..=users.len() {
        let page = service.get(&path);
        assert_eq!(page.status, 200, "{}", page.body);
        found.extend(
            page.body
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap()["user"].clone()),
        );
        // Heads are in lower case here, which a place is not.
        let next = page.raw_head.lines().find_map(|line| line.strip_prefix("muster-next: "));
        let Some(next) = next else { break };
        path = format!("/v1/workspaces/shop/memberships?limit=1&after={next}");
    }
    assert_eq!(found, users);
    service.stop();
}

#[test]
fn who_sends_nothing_is_not_waited_for() {
    let service = Running::start("body_wait = \"200ms\"\n");
    for half in
        ["POST /v1/mess", "POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"]
    {
        let mut stream = connect(service.address);
        stream.write_all(half.as_bytes()).unwrap();
        let mut told = String::new();
        let begun = Instant::now();
        stream.read_to_string(&mut told).unwrap();
        assert!(begun.elapsed() < PATIENCE / 2);
        assert!(told.is_empty() || told.starts_with("HTTP/1.1 408"), "{told}");
    }
    service.stop();
}

#[test]
fn a_request_that_does_not_end_does_not_keep_the_service_from_ending() {
    let folder = tempfile::tempdir().unwrap();
    let settings = "[http]\nlisten = \"127.0.0.1:0\"\ndrain_wait = \"300ms\"\n[access]\nopen = true\n[workspaces]\nshop = \"rules\"\n";
    fs::write(folder.path().join("muster.toml"), settings).unwrap();
    running::write_rules(folder.path(), running::RULES);
    let service = Service::start(folder.path(), None);
    assert_eq!(post(service.address, &message("ann", "purchase", 1)).status, 200);
    let mut half = connect(service.address);
    half.write_all(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{").unwrap();
    // It is being answered when its head was read, which nothing tells.
    until("another answer", || post(service.address, &message("bob", "purchase", 1)).status == 200);
    assert!(service.stop());
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("everything accepted is committed"), "{log}");
}
