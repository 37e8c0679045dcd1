//! Who may ask for what, over HTTP: every route with every kind of caller.

use crate::http::{get, request};
use muster::access::{Role, Secret, SecretHash};
use muster::api::{Need, ROUTES};
use muster::config::Config;
use muster::service::Started;
use serde_json::json;
use std::net::SocketAddr;
use tokio::sync::oneshot;

const RULES: &str = "audiences:\n  - { id: buyers, where: { event: purchase } }\n";
/// What compiles rules, as `muster` does by itself.
const COMPILER: &str = env!("CARGO_BIN_EXE_muster-service");
const SETTINGS: &str = "[http]\nlisten = \"127.0.0.1:0\"\n[workspaces]\nshop = \"rules\"\nother = \"rules\"\n[time]\nclock = \"events\"\n";
const JSON: &str = "content-type: application/json\r\n";

/// Who asks, with what, and for which workspaces.
struct Caller {
    header: String,
    role: Option<Role>,
    ingest: bool,
    workspace: &'static str,
}

/// Runs a service with a caller of each kind.
fn with_service(check: impl FnOnce(SocketAddr, &[Caller])) {
    with_settings("", check);
}

/// The same, with more settings.
fn with_settings(more: &str, check: impl FnOnce(SocketAddr, &[Caller])) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("rules")).unwrap();
    std::fs::write(folder.path().join("rules/audiences.yaml"), RULES).unwrap();
    let mut settings = format!("{SETTINGS}{more}[modules]\ncompiler = {COMPILER:?}\n");
    let mut callers = Vec::new();
    for workspace in ["shop", "other", "*"] {
        for role in [Some(Role::Viewer), Some(Role::Author), Some(Role::Operator), None] {
            let secret = Secret::generate().unwrap();
            let (list, line) = match role {
                Some(role) => ("tokens", format!("role = \"{}\"\n", role.name())),
                None => ("ingest_keys", String::new()),
            };
            let name = format!("{role:?} of {workspace}");
            settings.push_str(&format!(
                "[[access.{list}]]\nname = \"{name}\"\n{line}workspaces = [\"{workspace}\"]\nhash = \"{}\"\n",
                secret.hash()
            ));
            let header = format!("authorization: Bearer {}\r\n", secret.text());
            callers.push(Caller { header, role, ingest: role.is_none(), workspace });
        }
    }
    let path = folder.path().join("muster.toml");
    std::fs::write(&path, settings).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let started = runtime.block_on(Started::new(Config::read(&path).unwrap())).unwrap();
    let address = started.address().unwrap();
    let (end, ended) = oneshot::channel::<()>();
    let served = runtime.spawn(started.serve(Box::pin(async { drop(ended.await) })));
    check(address, &callers);
    drop(end);
    runtime.block_on(served).unwrap().unwrap();
}

fn may(caller: &Caller, need: Need, is_of_workspace: bool) -> bool {
    let covers = caller.workspace == "*" || is_of_workspace && caller.workspace == "shop";
    let has = |role| caller.role.is_some_and(|had| had >= role);
    match need {
        Need::Open => true,
        Need::Ingest => caller.ingest,
        Need::Metrics => has(Role::Viewer) && covers,
        Need::Role(role) => has(role) && covers,
    }
}

#[test]
fn every_route_lets_in_those_it_lists_and_nobody_else() {
    with_service(|address, callers| {
        for route in ROUTES {
            let path = route.path.replace("{workspace}", "shop").replace("{user}", "ann");
            let path = path.replace("{audience}", "buyers");
            let method = route.method.as_str();
            let nobody = request(address, method, &path, "", "");
            if route.need == Need::Open {
                assert_eq!(nobody.status, 200, "{path}");
            } else {
                assert_eq!(nobody.status, 401, "{path}");
                assert!(nobody.head.contains("www-authenticate: bearer"), "{}", nobody.head);
            }
            for caller in callers {
                let status = request(address, method, &path, &caller.header, "").status;
                let may = may(caller, route.need, route.path.contains("{workspace}"));
                let (role, of) = (caller.role, caller.workspace);
                assert!(status != 401, "{method} {path} as {role:?} of {of}: {status}");
                assert_eq!(status != 403, may, "{method} {path} as {role:?} of {of}: {status}");
            }
        }
        assert_eq!(request(address, "DELETE", "/healthz", "", "").status, 405);
    });
}

#[test]
fn what_is_no_known_token_is_refused() {
    with_service(|address, callers| {
        let path = "/v1/workspaces/shop/audiences";
        let good = &callers[0].header;
        assert_eq!(request(address, "GET", path, good, "").status, 200);
        let lower = good.replace("Bearer", "bearer");
        assert_eq!(request(address, "GET", path, &lower, "").status, 200);
        let twice = format!("{good}{good}");
        for header in [
            "authorization: Bearer\r\n",
            "authorization: Bearer mst_0\r\n",
            "authorization: Basic YTpi\r\n",
            &good.replace("Bearer", "Bearer x"),
            &good.replace("Bearer ", ""),
            &twice,
        ] {
            assert_eq!(request(address, "GET", path, header, "").status, 401, "{header}");
        }
    });
}

#[test]
fn a_key_sends_messages_of_its_workspaces_only() {
    with_service(|address, callers| {
        let message = |workspace: &str| {
            let events = json!([{ "name": "purchase", "time": "2026-01-01T00:00:00Z" }]);
            json!({ "workspace": workspace, "user": "ann", "events": events })
        };
        let body = json!([message("other"), message("shop"), message("none")]).to_string();
        let key = callers.iter().find(|caller| caller.ingest).unwrap();
        let headers = format!("{JSON}{}", key.header);
        let told = request(address, "POST", "/v1/messages", &headers, &body).json();
        assert_eq!((&told["accepted"], &told["refused_count"]), (&json!(1), &json!(2)));
        for (at, item) in [(0, 0), (1, 2)] {
            let refused = &told["refused"][at];
            assert_eq!(
                (&refused["item"], &refused["position"]),
                (&json!(item), &json!("workspace"))
            );
            let reason = refused["reason"].as_str().unwrap();
            assert!(reason.contains("does not cover workspace"), "{reason}");
        }
        assert_eq!(get(address, "/metrics").status, 401);
    });
}

#[test]
fn everybody_reads_the_figures_where_the_settings_say_so() {
    with_settings("[access]\nopen_metrics = true\n", |address, callers| {
        let figures = get(address, "/metrics");
        assert_eq!(figures.status, 200);
        assert!(figures.body.contains("muster_timers_total "));
        // Of a workspace's own token, too; and it is for the figures alone.
        assert_eq!(request(address, "GET", "/metrics", &callers[0].header, "").status, 200);
        assert_eq!(get(address, "/v1/dead-letters").status, 401);
        assert_eq!(get(address, "/v1/workspaces/shop/audiences").status, 401);
    });
}

#[test]
fn tokens_that_cannot_be_told_apart_are_refused() {
    let (one, other) = (Secret::generate().unwrap().hash(), Secret::generate().unwrap().hash());
    let entry = |list: &str, name: &str, workspaces: &str, hash: &SecretHash| {
        let role = if list == "tokens" { "role = \"viewer\"\n" } else { "" };
        format!(
            "[[access.{list}]]\nname = \"{name}\"\n{role}workspaces = [{workspaces}]\nhash = \"{hash}\"\n"
        )
    };
    let shop = "\"shop\"";
    let first = entry("tokens", "ann", shop, &one);
    Config::parse(&format!("{first}{}", entry("ingest_keys", "bob", shop, &other))).unwrap();
    for (second, expected) in [
        (entry("tokens", "ann", shop, &other), "two tokens or keys are named `ann`: give each"),
        (entry("ingest_keys", "ann", shop, &other), "two tokens or keys are named `ann`: give"),
        (entry("tokens", "bob", shop, &one), "`ann` and `bob` have the same hash: make a secret"),
        (entry("ingest_keys", "bob", shop, &one), "`ann` and `bob` have the same hash: make a"),
        (entry("tokens", "", shop, &other), "a token or key has an empty `name`: name whose it is"),
        (entry("tokens", "bob", "", &other), "`workspaces` of `bob` is empty: name some, or"),
        (entry("tokens", "bob", shop, &other).replace("viewer", "king"), "unknown variant `king`"),
        (entry("tokens", "bob", shop, &other).replace("sha256:", "md5:"), "is no hash: write the"),
    ] {
        let told = Config::parse(&format!("{first}{second}")).unwrap_err();
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn a_service_that_is_open_listens_on_this_machine_only() {
    let at = |listen: &str| {
        Config::parse(&format!("[http]\nlisten = \"{listen}\"\n[access]\nopen = true\n"))
    };
    for listen in ["0.0.0.0:7400", "192.0.2.1:7400", "[::]:7400"] {
        let told = at(listen).unwrap_err();
        assert!(told.contains(&format!("`{listen}` is reached from elsewhere")), "{told}");
        assert!(told.contains("listen on 127.0.0.1, or make tokens"), "{told}");
    }
    for listen in ["127.0.0.1:7400", "127.8.8.8:0", "[::1]:7400"] {
        at(listen).unwrap();
    }
}
