//! The service over TLS.

use crate::http::{connect, until, written};
use crate::secure::{Authority, get, secured};
use muster::config::Config;
use muster::service::Started;
use rcgen::KeyPair;
use rustls::version::{TLS12, TLS13};
use rustls::{ALL_VERSIONS, ClientConfig};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What compiles rules, as `muster` does by itself.
const COMPILER: &str = env!("CARGO_BIN_EXE_muster-service");
const SETTINGS: &str = "[http]\nlisten = \"127.0.0.1:0\"\n[access]\nopen = true\n[workspaces]\nshop = \"rules\"\n[http.tls]\ncertificates = \"certificates.pem\"\nkey = \"key.pem\"\n";

fn config(folder: &Path, tls: &str) -> Config {
    fs::create_dir_all(folder.join("rules")).unwrap();
    let path = folder.join("muster.toml");
    fs::write(&path, format!("{SETTINGS}{tls}[modules]\ncompiler = {COMPILER:?}\n")).unwrap();
    Config::read(&path).unwrap()
}

/// Runs a service with a certificate of an authority, and gives what ends it.
fn with_service(tls: &str, check: impl FnOnce(SocketAddr, &Authority, oneshot::Sender<()>)) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.issue(folder.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let started = runtime.block_on(Started::new(config(folder.path(), tls))).unwrap();
    let address = started.address().unwrap();
    let (end, ended) = oneshot::channel::<()>();
    let served = runtime.spawn(started.serve(Box::pin(async { drop(ended.await) })));
    check(address, &authority, end);
    runtime.block_on(served).unwrap().unwrap();
}

fn failed(address: SocketAddr, client: &Arc<ClientConfig>, reason: &str) -> u64 {
    let text = get(address, client, "/metrics").body;
    let name = format!("muster_failed_handshakes_total{{reason=\"{reason}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

#[test]
fn clients_that_trust_the_authority_are_answered() {
    with_service("", |address, authority, end| {
        assert_eq!(get(address, &authority.client(ALL_VERSIONS), "/healthz").body, "ok\n");
        for version in [&TLS12, &TLS13] {
            let stranger = Authority::new().client(&[version]);
            let refused = secured(address, &stranger).map(drop).unwrap_err();
            assert!(refused.to_string().contains("invalid peer certificate"), "{refused}");
        }
        drop(end);
    });
}

#[test]
fn versions_and_protocols_are_agreed_on() {
    with_service("", |address, authority, end| {
        let client = |version, protocol: &[u8]| {
            let mut client = Arc::unwrap_or_clone(authority.client(&[version]));
            client.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(client)
        };
        for version in [&TLS12, &TLS13] {
            let client = client(version, b"http/1.1");
            let stream = secured(address, &client).unwrap();
            assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
            assert_eq!(stream.conn.protocol_version(), Some(version.version));
            assert_eq!(get(address, &client, "/readyz").status, 200);
        }
        let refused = secured(address, &client(&TLS13, b"h2")).map(drop).unwrap_err().to_string();
        assert!(refused.contains("NoApplicationProtocol"), "{refused}");
        drop(end);
    });
}

#[test]
fn plain_http_is_not_answered() {
    with_service("", |address, authority, end| {
        let client = &authority.client(ALL_VERSIONS);
        let mut stream = connect(address);
        stream.write_all(written("GET", "/healthz", "", "").as_bytes()).unwrap();
        let mut answer = Vec::new();
        // Whether the connection is closed or reset, it was not answered.
        let ended = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP"), "{ended:?}: {}", String::from_utf8_lossy(&answer));
        until("counting it", || failed(address, client, "broken") == 1);
        drop(end);
    });
}

#[test]
fn silent_handshakes_hold_nobody_up() {
    const SILENT: u64 = 20;
    with_service("handshake_time = \"1h\"\nhandshakes = 4\n", |address, authority, end| {
        let client = &authority.client(ALL_VERSIONS);
        let silent: Vec<_> = (0..SILENT).map(|_| connect(address)).collect();
        assert_eq!(get(address, client, "/healthz").status, 200);
        // Four may be under way, one of which has become that of this very question.
        until("counting them", || failed(address, client, "crowded_out") >= SILENT - 4);
        let mut oldest = &silent[0];
        assert!(matches!(oldest.read(&mut [0]), Ok(0) | Err(_)));
        drop(end);
    });
}

#[test]
fn a_silent_handshake_ends() {
    with_service("handshake_time = \"500ms\"\n", |address, authority, end| {
        let client = &authority.client(ALL_VERSIONS);
        let mut silent = connect(address);
        assert!(matches!(silent.read(&mut [0]), Ok(0)));
        until("counting it", || failed(address, client, "late") == 1);
        drop(end);
    });
}

#[test]
fn what_is_under_way_is_ended_in_order() {
    with_service("", |address, authority, end| {
        let client = &authority.client(ALL_VERSIONS);
        let mut stream = secured(address, client).unwrap();
        let path = "/v1/workspaces/shop/transitions";
        let headers = "accept: text/event-stream\r\n";
        stream.write_all(written("GET", path, headers, "").as_bytes()).unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).unwrap();
        }
        drop(end);
        // Without TLS's own end of the stream this fails.
        stream.read_to_end(&mut Vec::new()).unwrap();
    });
}

#[test]
fn files_that_will_not_do_are_refused_with_the_mend() {
    let refusal = |certificates: &str, key: &str| {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), "");
        Authority::new().issue(folder.path());
        let write = |name: &str, text: &str| match text {
            "missing" => fs::remove_file(folder.path().join(name)).unwrap(),
            "as it is" => {}
            text => fs::write(folder.path().join(name), text).unwrap(),
        };
        write("certificates.pem", certificates);
        write("key.pem", key);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let Err(error) = runtime.block_on(Started::new(config)) else { panic!("it has started") };
        assert!(!folder.path().join("muster-data").exists(), "a store was made");
        format!("{error:#}")
    };
    let other = KeyPair::generate().unwrap().serialize_pem();
    let block = |name: &str, base64: &str| {
        format!("-----BEGIN {name}-----\n{base64}\n-----END {name}-----\n")
    };
    for (certificates, key, expected) in [
        ("missing", "as it is", "name a file in [http.tls] that the service may read: No such"),
        ("as it is", "missing", "name a file in [http.tls] that the service may read: No such"),
        ("", "as it is", "certificates.pem` holds no certificate: put the service's there"),
        (&*other, "as it is", "certificates.pem` holds no certificate: put the service's there"),
        ("as it is", "secret", "key.pem` holds no private key: put the certificate's there"),
        ("as it is", &other, "is not that of the first certificate in `"),
        ("as it is", &other[..other.len() - 30], "key.pem` is not PEM: "),
        (&*block("CERTIFICATE", "?"), "as it is", "certificates.pem` is not PEM: "),
        (&*block("CERTIFICATE", "AAAA"), "as it is", "have a certificate made for a key of RSA"),
        ("as it is", &*block("PRIVATE KEY", "AAAA"), "have a certificate made for a key of RSA"),
    ] {
        let told = refusal(certificates, key);
        assert!(told.contains(expected), "{told}");
    }
    let half = Config::parse("[http.tls]\nkey = \"key.pem\"\n").unwrap_err();
    assert_eq!(half, "`http.tls` has one of `certificates` and `key`: name both, or neither");
    let none = Config::parse("[http.tls]\nhandshakes = 0\n").unwrap_err();
    assert_eq!(none, "`http.tls.handshakes` must be at least 1");
}
