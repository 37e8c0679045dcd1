//! Settings that change while the service runs: who may ask for what, and certificates.

use crate::http::{Answer, PATIENCE, connect, request, until, written};
use crate::process::Service;
use crate::secure::{Authority, secured};
use muster::access::Secret;
use rustls::ALL_VERSIONS;
use rustls::pki_types::CertificateDer;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

const RULES: &str = "audiences:\n  - { id: buyers, where: { event: purchase } }\n";
const AUDIENCES: &str = "/v1/workspaces/shop/audiences";
const TRANSITIONS: &str = "/v1/workspaces/shop/transitions";

/// Somebody with a token or a key.
struct Person {
    name: &'static str,
    secret: Secret,
    /// What the settings say of it.
    kind: &'static str,
}

const VIEWER: &str = "tokens]]\nrole = \"viewer\"";
const KEY: &str = "ingest_keys]]";

impl Person {
    fn new(name: &'static str, kind: &'static str) -> Person {
        Person { name, secret: Secret::generate().unwrap(), kind }
    }

    fn header(&self) -> String {
        format!("authorization: Bearer {}\r\n", self.secret.text())
    }

    fn asks(&self, address: SocketAddr) -> u16 {
        request(address, "GET", AUDIENCES, &self.header(), "").status
    }
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("rules")).unwrap();
    fs::write(folder.path().join("rules/audiences.yaml"), RULES).unwrap();
    folder
}

fn write(folder: &Path, people: &[&Person], settings: &str) {
    let mut text = format!("{settings}\n[workspaces]\nshop = \"rules\"\n");
    for Person { name, secret, kind } in people {
        let hash = secret.hash();
        text.push_str(&format!(
            "[[access.{kind}\nname = \"{name}\"\nworkspaces = [\"*\"]\nhash = \"{hash}\"\n"
        ));
    }
    fs::write(folder.join("muster.toml"), text).unwrap();
}

const HTTP: &str = "[http]\nlisten = \"127.0.0.1:0\"";

/// Asks once more on a connection that stays open.
fn again(stream: &mut BufReader<impl Read + Write>, header: &str) -> Answer {
    let asked = format!("GET {AUDIENCES} HTTP/1.1\r\nhost: x\r\n{header}\r\n");
    stream.get_mut().write_all(asked.as_bytes()).unwrap();
    let head = head(stream);
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.split_once("content-length: ").unwrap().1;
    let mut body = vec![0; length.split_once('\r').unwrap().0.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    Answer { status, raw_head: head.clone(), head, body: String::from_utf8(body).unwrap() }
}

/// The beginning of an answer, in lower case.
fn head(stream: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).unwrap() > 0, "no answer: {head}");
    }
    head.to_lowercase()
}

/// An open stream of transitions.
fn follow(address: SocketAddr, person: &Person) -> impl BufRead {
    let headers = format!("accept: text/event-stream\r\n{}", person.header());
    let mut stream = connect(address);
    stream.write_all(written("GET", TRANSITIONS, &headers, "").as_bytes()).unwrap();
    let mut stream = BufReader::new(stream);
    assert!(head(&mut stream).starts_with("http/1.1 200"));
    stream
}

fn told(folder: &Path, text: &str) -> bool {
    fs::read_to_string(folder.join("log")).unwrap().contains(text)
}

#[test]
fn a_token_that_is_gone_is_refused_from_then_on() {
    let folder = folder();
    let (gone, stays) = (Person::new("gone", VIEWER), Person::new("stays", VIEWER));
    let (new, key) = (Person::new("new", VIEWER), Person::new("key", KEY));
    write(folder.path(), &[&gone, &stays, &key], HTTP);
    let service = Service::start(folder.path(), None);
    let address = service.address;
    assert_eq!((gone.asks(address), stays.asks(address), new.asks(address)), (200, 200, 401));
    let (mut ended, mut going_on) = (follow(address, &gone), follow(address, &stays));
    let mut connection = BufReader::new(connect(address));
    assert_eq!(again(&mut connection, &gone.header()).status, 200);

    write(folder.path(), &[&stays, &key, &new], HTTP);
    service.signal("-HUP");
    until("the new token", || new.asks(address) == 200);
    assert_eq!((gone.asks(address), stays.asks(address)), (401, 200));
    // Its stream ends; what is left in it are signs of life.
    let begun = Instant::now();
    let mut rest = String::new();
    while ended.read_line(&mut rest).unwrap() > 0 {
        assert!(begun.elapsed() < PATIENCE, "the stream goes on: {rest}");
    }
    assert!(!rest.contains("transition"), "{rest}");
    // Connections are kept: each request is looked at by itself.
    assert_eq!(again(&mut connection, &gone.header()).status, 401);
    assert_eq!(again(&mut connection, &stays.header()).status, 200);
    let message = r#"{"workspace":"shop","user":"ann","events":[{"name":"purchase","time":0}]}"#;
    let headers = format!("content-type: application/json\r\n{}", key.header());
    assert_eq!(request(address, "POST", "/v1/messages", &headers, message).status, 200);
    let mut line = String::new();
    while !line.starts_with("event: transition") {
        line.clear();
        assert!(going_on.read_line(&mut line).unwrap() > 0, "the stream has ended");
    }
    assert!(service.stop());
}

#[test]
fn a_key_that_is_gone_ends_a_stream_of_messages() {
    let folder = folder();
    let (reader, key) = (Person::new("reader", VIEWER), Person::new("key", KEY));
    let other = Person::new("other", VIEWER);
    write(folder.path(), &[&reader, &key], HTTP);
    let service = Service::start(folder.path(), None);
    let mut sender = connect(service.address);
    let line = |user: &str| {
        let line = format!("{{\"workspace\":\"shop\",\"user\":\"{user}\"}}\n");
        format!("{:x}\r\n{line}\r\n", line.len())
    };
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n{}\r\n",
        key.header()
    );
    write!(sender, "{head}{}", line("ann")).unwrap();

    write(folder.path(), &[&reader, &other], HTTP);
    service.signal("-HUP");
    until("the new token", || other.asks(service.address) == 200);
    write!(sender, "{}", line("bob")).unwrap();
    let mut sender = BufReader::new(sender);
    assert!(self::head(&mut sender).starts_with("http/1.1 401"));
    let user = |user: &str| {
        let path = format!("/v1/workspaces/shop/users/{user}");
        request(service.address, "GET", &path, &reader.header(), "").status
    };
    assert_eq!((user("ann"), user("bob")), (404, 404));
    assert!(service.stop());
}

#[test]
fn what_is_wrong_is_logged_and_changes_nothing() {
    let folder = folder();
    let (first, other) = (Person::new("first", VIEWER), Person::new("other", VIEWER));
    let namesake = Person::new("other", VIEWER);
    let everywhere = "[http]\nlisten = \"0.0.0.0:0\"";
    write(folder.path(), &[&first], everywhere);
    let service = Service::start(folder.path(), None);
    let address = service.address;
    let open = format!("{HTTP}\n[access]\nopen = true");
    for (people, settings, reason) in [
        (&[&other, &namesake][..], everywhere, "settings as before: "),
        (&[&other], "[http", "muster.toml`: line 1: "),
        // The file's own address would do, and the service listens on another.
        (&[&other], &open, "access as before: `access.open` lets everybody in, and `0.0.0.0:0`"),
    ] {
        write(folder.path(), people, settings);
        service.signal("-HUP");
        until(reason, || told(folder.path(), reason));
        assert_eq!((first.asks(address), other.asks(address)), (200, 401), "{reason}");
    }
    let counted =
        |line: &str| request(address, "GET", "/metrics", &first.header(), "").body.contains(line);
    for refused in ["part=\"settings\"} 2", "part=\"access\"} 1"] {
        let line = format!("muster_setting_loads_total{{outcome=\"refused\",{refused}\n");
        until("counting it", || counted(&line));
    }
    assert!(service.stop());
}

#[test]
fn another_certificate_is_shown_to_those_who_come_next() {
    let folder = folder();
    let authority = Authority::new();
    let client = authority.client(ALL_VERSIONS);
    let person = Person::new("first", VIEWER);
    let tls =
        format!("{HTTP}\n[http.tls]\ncertificates = \"certificates.pem\"\nkey = \"key.pem\"\n");
    write(folder.path(), &[&person], &tls);
    let first = authority.issue(folder.path());
    let service = Service::listening(folder.path(), None);
    let shown = || -> CertificateDer<'static> {
        let stream = secured(service.address, &client).unwrap();
        stream.conn.peer_certificates().unwrap()[0].clone()
    };
    assert_eq!(shown(), first);
    let mut connection = BufReader::new(secured(service.address, &client).unwrap());
    assert_eq!(again(&mut connection, &person.header()).status, 200);

    let second = authority.issue(folder.path());
    service.signal("-HUP");
    until("the new certificate", || shown() == second);
    assert_eq!(again(&mut connection, &person.header()).status, 200);

    let other = rcgen::KeyPair::generate().unwrap();
    fs::write(folder.path().join("key.pem"), other.serialize_pem()).unwrap();
    service.signal("-HUP");
    until("a refusal", || told(folder.path(), "certificates as before: the key in `"));
    assert_eq!(shown(), second);
    write(folder.path(), &[&person], HTTP);
    service.signal("-HUP");
    until("a refusal", || told(folder.path(), "`http.tls` is gone: start the service anew"));
    assert_eq!(shown(), second);
    assert!(service.stop());
}
