//! The service over HTTP: what is accepted, refused, answered and reloaded.

use crate::http::{self, until};
use crate::running::{RULES, Running, message, message_at, write_rules};
use muster::config::Config;
use muster::service::Started;
use serde_json::{Value, json};
use std::io::Read;
use std::net::TcpStream;

#[test]
fn bad_items_are_refused_with_their_place_and_their_neighbours_count() {
    let service = Running::start("");
    let half = json!({ "workspace": "shop", "user": "bob", "events": [
        { "name": "look", "time": "2026-01-01T00:00:01Z" }, { "name": "look", "time": "noon" } ] });
    let nobody = json!({ "workspace": "shop", "events": [] });
    let answer = service.post(&json!([
        message("ann", "purchase", 1),
        nobody,
        half,
        message("x", "look", 2)
            .as_object()
            .map(|o| {
                let mut o = o.clone();
                o["workspace"] = json!("other");
                o
            })
            .unwrap()
    ]));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((&told["accepted"], &told["refused_count"]), (&json!(2), &json!(3)));
    let places: Vec<(u64, &str)> = told["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["item"].as_u64().unwrap(), item["position"].as_str().unwrap()))
        .collect();
    assert_eq!(places, [(1, "user"), (2, "events[1].time"), (3, "workspace")]);
    assert_eq!(
        (service.members("buyers"), service.members("lookers")),
        (vec!["ann".into()], vec!["bob".into()])
    );
    let letters = service.get("/v1/dead-letters?limit=2");
    assert_eq!(letters.body.lines().count(), 2);
    assert!(letters.body.contains("missing: name the user"), "{}", letters.body);
    let all_bad = service.post(&nobody);
    assert_eq!(all_bad.status, 400);
    service.stop();
}

#[test]
fn a_malformed_line_costs_that_line_only() {
    let service = Running::start("");
    let lines = format!(
        "{}\n{{\"user\": \n\n{}\n",
        message("ann", "purchase", 1),
        message("bob", "purchase", 2)
    );
    let answer =
        service.request("POST", "/v1/messages", "content-type: application/x-ndjson\r\n", &lines);
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((&told["accepted"], &told["refused_count"]), (&json!(2), &json!(1)));
    assert_eq!(told["refused"][0]["item"], json!(1));
    assert_eq!(service.members("buyers"), ["ann", "bob"]);
    service.stop();
}

#[test]
fn wrong_requests_are_told_in_json_what_is_wrong() {
    let service = Running::start("");
    let wrong = [
        ("GET", "/v1/workspaces/shop/transitions?limit=few", 400, "a parameter is wrong: limit:"),
        (
            "GET",
            "/v1/dead-letters?afer=1",
            400,
            "unknown field `afer`, expected `after` or `limit`",
        ),
        ("DELETE", "/v1/messages", 405, "DELETE"),
        ("GET", "/v1/nothing", 404, "no such path"),
        ("GET", "/v1/workspaces/other/audiences", 404, "no rules for workspace `other`"),
    ];
    for (method, path, status, reason) in wrong {
        let answer = service.request(method, path, "", "");
        let told = answer.json()["error"].as_str().unwrap().to_string();
        assert!(answer.status == status && told.contains(reason), "{} {told}", answer.status);
    }
    service.stop();
}

#[test]
fn users_members_and_transitions_are_read_back() {
    let service = Running::start("");
    for (at, user) in ["ann", "bob", "cat"].into_iter().enumerate() {
        assert_eq!(service.post(&message(user, "purchase", at as u32)).status, 200);
    }
    let mut ann = message("ann", "look", 9);
    ann["attributes"] = json!({ "country": "US" });
    service.post(&ann);
    let told: Value =
        serde_json::from_str(&service.get("/v1/workspaces/shop/users/ann").body).unwrap();
    assert_eq!(told["attributes"], json!({ "country": "US" }));
    assert_eq!(
        told["audiences"],
        json!([{ "audience": "buyers", "since": "2026-01-01T00:00:00.000Z" }])
    );
    let page = service.get("/v1/workspaces/shop/audiences/buyers/members?limit=2&after=ann").body;
    assert!(page.contains("bob") && page.contains("\"next\":\"cat\""), "{page}");
    let lines = service.get("/v1/workspaces/shop/transitions?limit=2");
    assert!(lines.head.contains("muster-cursor: 2"), "{}", lines.head);
    let rest = service.get("/v1/workspaces/shop/transitions?after=2").body;
    assert!(rest.contains("\"user\":\"cat\"") && rest.lines().count() == 1, "{rest}");
    let snapshot = service.get("/v1/workspaces/shop/memberships");
    assert!(snapshot.head.contains("muster-cursor: 3"), "{}", snapshot.head);
    assert_eq!(snapshot.body.lines().count(), 3);
    for (path, status) in [
        ("/v1/workspaces/shop/users/nobody", 404),
        ("/v1/workspaces/other/audiences", 404),
        ("/v1/workspaces/shop/audiences/none/members", 404),
        ("/v1/workspaces/shop/audiences/buyers/members?after=%00", 400),
        ("/v1/workspaces/shop/transitions?after=soon", 400),
        ("/nowhere", 404),
        ("/healthz", 200),
        ("/readyz", 200),
    ] {
        assert_eq!(service.get(path).status, status, "{path}");
    }
    service.stop();
}

#[test]
fn transitions_are_streamed_as_they_come() {
    let service = Running::start("");
    let accept = "accept: text/event-stream\r\n";
    let mut stream = service.send("GET", "/v1/workspaces/shop/transitions?after=end", accept, "");
    let mut seen = String::new();
    let mut read_until = |part: &str, stream: &mut TcpStream| {
        let mut buffer = [0; 1024];
        while !seen.contains(part) {
            let length = stream.read(&mut buffer).unwrap();
            assert!(length > 0, "the stream ended: {seen}");
            seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    };
    read_until("text/event-stream", &mut stream);
    service.post(&message("ann", "purchase", 1));
    read_until("\"user\":\"ann\"", &mut stream);
    assert!(seen.contains("id: 1") && seen.contains("event: transition"), "{seen}");
    service.stop();
}

#[test]
fn whoever_fell_behind_goes_on_from_a_snapshot() {
    // By the machine's clock: that of events stands still here.
    let service = Running::start("[store]\ntransitions_retention = \"1s\"\n");
    service.post(&message("ann", "purchase", 1));
    let transitions = "/v1/workspaces/shop/transitions";
    // Deleting is done now and then, between messages.
    until("the expiry", || service.get(transitions).status == 410);
    let told = service.get(transitions).json();
    assert_eq!(told["error"], "this cursor has expired: read the snapshot, and go on from there");
    assert_eq!(told["oldest"], 1);
    let accept = "accept: text/event-stream\r\n";
    assert_eq!(service.request("GET", transitions, accept, "").status, 410);

    let snapshot = service.get(told["snapshot"].as_str().unwrap());
    assert_eq!(snapshot.status, 200);
    assert!(!snapshot.head.contains("muster-next"), "{}", snapshot.head);
    let member = |line: &str| serde_json::from_str::<Value>(line).unwrap()["user"].clone();
    let members: Vec<Value> = snapshot.body.lines().map(member).collect();
    assert_eq!(members, ["ann"]);
    let cursor = snapshot.head.lines().find_map(|line| line.strip_prefix("muster-cursor: "));
    service.post(&message("bob", "purchase", 1));
    let rest = service.get(&format!("{transitions}?after={}", cursor.unwrap()));
    let rest: Vec<Value> = rest.body.lines().map(member).collect();
    assert_eq!(rest, ["bob"]);
    service.stop();
}

#[test]
fn a_cursor_of_another_store_is_gone_too() {
    let service = Running::start("");
    service.post(&message("ann", "purchase", 1));
    let transitions = "/v1/workspaces/shop/transitions";
    for after in ["2", "18446744073709551615"] {
        let told = service.get(&format!("{transitions}?after={after}"));
        assert_eq!(told.status, 410, "{after}: {}", told.body);
        assert_eq!(told.json()["newest"], 1);
        let accept = format!("accept: text/event-stream\r\nlast-event-id: {after}\r\n");
        assert_eq!(service.request("GET", transitions, &accept, "").status, 410);
    }
    service.stop();
}

#[test]
fn an_audience_tells_from_when_on_it_is_exact() {
    let service = Running::start("[store]\nhistory_retention = \"1d\"\n");
    service.post(&message_at("ann", "visit", "2026-01-01T00:00:00Z"));
    service.post(&message_at("bob", "purchase", "2026-01-05T00:00:00Z"));
    let deleted = "muster_expired_rows_total{table=\"history\"}";
    until("the expiry", || service.metric(deleted) == 1.0);
    let visitors = "  - { id: visitors, where: { event: visit, within: 30d } }\n";
    write_rules(service.folder.path(), &format!("{RULES}{visitors}"));
    let audiences = || service.get("/v1/workspaces/shop/audiences").json();
    until("the new audience", || audiences().as_array().unwrap().len() == 3);
    let audiences = audiences();
    assert_eq!(audiences[0]["exact"], true, "{audiences}");
    // What was deleted may have happened up to an hour after the first event of its row.
    assert_eq!(
        (&audiences[2]["exact"], &audiences[2]["exact_from"]),
        (&json!(false), &json!("2026-01-31T01:00:00.000Z"))
    );
    service.post(&message_at("bob", "purchase", "2026-01-31T01:00:00Z"));
    until("exact answers", || {
        service.get("/v1/workspaces/shop/audiences").json()[2]["exact"] == true
    });
    service.stop();
}

#[test]
fn a_full_queue_answers_429_and_takes_nothing() {
    let service = Running::start("[ingest]\nqueue_messages_max = 1\nbatch_wait = \"2s\"\n");
    let address = service.address;
    let waiting = std::thread::spawn(move || http::post(address, &message("ann", "purchase", 1)));
    until("the message in the queue", || service.metric("muster_queue_messages") == 1.0);
    let answer = service.post(&message("bob", "purchase", 2));
    assert_eq!(answer.status, 429, "{}", answer.body);
    assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);
    assert_eq!(waiting.join().unwrap().status, 200);
    assert_eq!(service.members("buyers"), ["ann"]);
    assert_eq!(service.post(&message("bob", "purchase", 2)).status, 200);
    assert_eq!(service.members("buyers"), ["ann", "bob"]);
    service.stop();
}

#[test]
fn an_array_may_be_longer_than_the_queue_and_is_one_whatever_it_is_called() {
    let service = Running::start("[ingest]\nqueue_messages_max = 2\n");
    let users = ["ann", "bob", "cat", "dan", "eve"];
    let messages: Vec<Value> = users.iter().map(|user| message(user, "purchase", 1)).collect();
    let text = serde_json::to_string_pretty(&messages).unwrap();
    for kind in ["", "content-type: application/x-www-form-urlencoded\r\n"] {
        let answer = service.request("POST", "/v1/messages", kind, &text);
        assert_eq!(
            (answer.status, &answer.json()["accepted"]),
            (200, &json!(5)),
            "{}",
            answer.body
        );
    }
    assert_eq!(service.members("buyers"), users);
    service.stop();
}

#[test]
fn rules_are_reloaded_when_they_check_and_stay_when_they_do_not() {
    let service = Running::start("");
    service.post(&json!([message("ann", "purchase", 1), message("bob", "look", 2)]));
    let shoppers = RULES
        .replace("id: buyers", "id: shoppers")
        .replace("audience: buyers", "audience: shoppers");
    write_rules(service.folder.path(), &shoppers);
    until("the new audience", || service.members("shoppers") == ["ann"]);
    // A commit's rows are not read at one instant.
    let told = || service.get("/v1/workspaces/shop/transitions").body;
    until("who left", || told().contains("\"left\""));
    let told = told();
    let left = told.lines().find(|line| line.contains("\"left\"")).unwrap();
    assert!(
        left.contains("\"audience\":\"buyers\"") && left.contains("\"cause\":\"rules\""),
        "{left}"
    );
    write_rules(service.folder.path(), "audiences: [{ id: a, where: { any: [] } }]");
    until("the refusal", || service.metric("muster_rule_loads_total{outcome=\"refused\"}") >= 1.0);
    assert_eq!(service.members("shoppers"), ["ann"]);
    service.stop();
}

#[test]
fn what_was_accepted_is_there_after_a_restart_and_a_busy_port_is_told() {
    let service = Running::start("");
    service.post(&message("ann", "purchase", 1));
    let taken = service.address;
    let folder = tempfile::tempdir().unwrap();
    write_rules(folder.path(), RULES);
    let text = format!("[http]\nlisten = \"{taken}\"\n[workspaces]\nshop = \"rules\"\n");
    std::fs::write(folder.path().join("muster.toml"), text).unwrap();
    let config = Config::read(&folder.path().join("muster.toml")).unwrap();
    let refused = service.runtime.block_on(Started::new(config)).err().unwrap().to_string();
    assert!(refused.contains("set another `http.listen`, or stop who has it"), "{refused}");
    let folder = service.stop();
    let service = Running::start_in(folder, "").unwrap();
    assert_eq!(service.members("buyers"), ["ann"]);
    service.stop();
}
