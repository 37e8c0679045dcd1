//! Messages in, transitions out: what comes of them is what a replay says.

use crate::{shop, stage, stage_with};
use muster_tests::cluster::{
    Instance, Load, Members, PATIENCE, Stage, expected, read_told, until, until_within,
};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn send(stage: &Stage, messages: &[serde_json::Value], end_ms: i64) -> Load {
    let load = Load::of(messages.iter().map(ToString::to_string).collect(), end_ms).unwrap();
    load.send(stage, Duration::ZERO).unwrap();
    load
}

fn held(instance: &mut Instance, expected: &Members, stage: &Stage) {
    instance.wait_members(expected).unwrap();
    let told = read_told(stage, expected).unwrap();
    assert_eq!(told.problems, Vec::<String>::new());
    until("everything is acknowledged", || stage.is_drained()).unwrap();
}

/// An instance that waits so long for more messages, so that those that are there are of one turn.
fn start_patiently(stage: &Stage, wait: &str) -> Instance {
    let ingest = format!("[ingest]\nbatch_wait = \"{wait}\"\n");
    let mut instance = Instance::start(&stage.settings("one", &ingest).unwrap()).unwrap();
    instance.wait_ready().unwrap();
    instance
}

/// The same as `held`, and that each message was taken once.
fn took_all(instance: &mut Instance, load: &Load, expected: &Members, stage: &Stage) {
    held(instance, expected, stage);
    let taken = instance.metric("muster_messages_total{workspace=\"shop\"}").unwrap();
    assert_eq!(taken as usize, load.all().count());
}

fn from(user: &str, country: &str) -> serde_json::Value {
    json!({ "workspace": "shop", "user": user, "attributes": { "country": country } })
}

fn send_by_http(instance: &mut Instance, message: &serde_json::Value) {
    post_to(instance.address().unwrap().unwrap(), message);
}

fn post_to(address: SocketAddr, message: &serde_json::Value) {
    let mut answer = ureq::post(format!("http://{address}/v1/messages"))
        .config()
        .timeout_global(Some(PATIENCE))
        .build()
        .header("content-type", "application/json")
        .send(message.to_string())
        .unwrap();
    let answer = answer.body_mut().read_to_string().unwrap();
    assert!(answer.contains("\"accepted\":1"), "{answer}");
}

#[test]
fn one_instance_says_what_a_replay_says() {
    let stage = stage();
    let load = Load::new(7, 80, 1_500).unwrap();
    let expected = expected(&shop(), &load).unwrap();
    assert!(expected.len() > 10);
    let mut instance = stage.start("one").unwrap();
    load.send(&stage, Duration::ZERO).unwrap();
    held(&mut instance, &expected, &stage);
    instance.stop().unwrap();
}

#[test]
fn two_instances_say_what_a_replay_says() {
    let stage = stage();
    let load = Load::new(8, 80, 1_500).unwrap();
    let expected = expected(&shop(), &load).unwrap();
    let mut one = stage.start("one").unwrap();
    let mut two = stage.start("two").unwrap();
    load.send(&stage, Duration::from_secs(2)).unwrap();
    held(&mut one, &expected, &stage);
    assert_eq!(two.members().unwrap(), expected);
    for instance in [&mut one, &mut two] {
        assert!(instance.metric("muster_messages_total{workspace=\"shop\"}").unwrap() > 0.0);
    }
    one.stop().unwrap();
    two.stop().unwrap();
}

#[test]
fn an_instance_that_is_told_to_end_leaves_nothing_half_done() {
    let stage = stage();
    let load = Load::new(9, 60, 1_000).unwrap();
    let expected = expected(&shop(), &load).unwrap();
    let first = stage.start("first").unwrap();
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| load.send(&stage, Duration::from_secs(2)));
        std::thread::sleep(Duration::from_millis(700));
        first.stop().unwrap();
        let mut second = stage.start("second").unwrap();
        sending.join().unwrap().unwrap();
        held(&mut second, &expected, &stage);
        assert_eq!(second.metric("muster_recovered_total").unwrap(), 0.0);
    });
}

#[test]
fn what_cannot_be_used_is_put_aside_with_the_reason() {
    let stage = stage_with(&shop(), 2);
    let mut instance = stage.start("one").unwrap();
    let end = 1_767_225_700_000_i64;
    let good = json!({ "workspace": "shop", "user": "ann", "attributes": { "country": "US" } });
    let partly = json!({ "workspace": "shop", "user": "bob", "attributes": { "country": "CA" },
        "events": [{ "name": "view", "time": "yesterday" }] });
    let nowhere =
        json!({ "workspace": "elsewhere", "user": "cat", "attributes": { "country": "US" } });
    let load =
        Load::of(vec![good.to_string(), partly.to_string(), nowhere.to_string()], end).unwrap();
    load.send(&stage, Duration::ZERO).unwrap();
    let ids = |user: &str| (user.to_string(), ["north-americans".to_string()].into());
    let expected: Members = [ids("ann"), ids("bob")].into();
    instance.wait_members(&expected).unwrap();
    until("two messages are put aside", || {
        let aside = instance.metric("muster_dead_letters_total")?;
        Ok(if aside == 2.0 { Ok(()) } else { Err(aside.to_string()) })
    })
    .unwrap();
    until("everything is acknowledged", || stage.is_drained()).unwrap();
}

/// Messages of a user whose row does not decode go to the dead letters. Everybody else's count, and hers do
/// when the row is what it was, or repaired.
#[test]
fn a_damaged_row_holds_nobody_up() {
    let stage = stage_with(&shop(), 1);
    let is_in = |user: &str| (user.to_string(), ["north-americans".to_string()].into());
    let end = 1_767_225_700_000_i64;
    let users = ["ann", "bob", "cat", "eve"];
    let mut first = stage.start("one").unwrap();
    send(&stage, &users.map(|user| from(user, "US")), end);
    held(&mut first, &users.map(is_in).into(), &stage);
    first.stop().unwrap();
    let damage = |column: &str, user: &str, value: &str| {
        let user = format!("workspace = 'shop' AND user = '{user}'");
        stage.meddle(&format!("UPDATE {{}}.users SET {column} = {value} WHERE {user}")).unwrap();
    };
    damage("state", "ann", "0xffff");
    damage("untold", "bob", "0xff");
    damage("shadow", "eve", "0xff");
    damage("hint", "cat", "9223372036854775807");

    let mut second = stage.start("one").unwrap();
    send(&stage, &["ann", "bob", "cat", "dan", "eve"].map(|user| from(user, "FR")), end + 10);
    second.wait_members(&["ann", "bob", "eve"].map(is_in).into()).unwrap();
    until("three messages are put aside", || {
        let aside = second.metric("muster_dead_letters_total")?;
        Ok(if aside == 3.0 { Ok(()) } else { Err(aside.to_string()) })
    })
    .unwrap();
    until("everything is acknowledged", || stage.is_drained()).unwrap();
    let log = second.log().unwrap();
    for user in ["ann", "bob", "eve"] {
        let told =
            |line: &str| line.contains("put aside") && line.contains(&format!("user `{user}`"));
        assert!(log.lines().any(told), "{log}");
    }
    let address = second.address().unwrap().unwrap();
    let both = format!("{}\n{}\n", from("ann", "FR"), from("dan", "US"));
    let mut answer = ureq::post(format!("http://{address}/v1/messages"))
        .header("content-type", "application/x-ndjson")
        .send(both)
        .unwrap();
    let answer = answer.body_mut().read_to_string().unwrap();
    assert!(answer.contains("\"accepted\":1") && answer.contains("damaged"), "{answer}");
    assert_eq!(second.ready().unwrap().0, 200);
    assert!(second.metric("muster_damaged_users").unwrap() >= 1.0);
    second.stop().unwrap();

    damage("untold", "bob", "null");
    let settings = stage.settings("one", "").unwrap();
    let repair = ["store", "repair", "shop", "ann", "--config"];
    let said = stage.command(&repair, &settings).unwrap();
    assert!(said.contains("damaged: state"), "{said}");
    let mut third = stage.start("one").unwrap();
    third.wait_members(&["ann", "bob", "dan", "eve"].map(is_in).into()).unwrap();
    send(&stage, &["ann", "bob"].map(|user| from(user, "FR")), end + 20);
    third.wait_members(&["dan", "eve"].map(is_in).into()).unwrap();
    third.stop().unwrap();
    let said = stage.command(&repair, &settings).unwrap();
    assert!(said.contains("nothing of user `ann`"), "{said}");
}

/// Both are of one turn, and what the one brings about cannot be published.
#[test]
fn a_message_that_brings_nothing_about_does_not_wait_for_one_that_does() {
    let stage = stage_with(&shop(), 1);
    let mut instance = start_patiently(&stage, "2s");
    let address = instance.address().unwrap().unwrap();
    let post = |user: &str, country: &str| post_to(address, &from(user, country));
    let turns = |instance: &mut Instance| instance.metric("muster_batch_messages_count").unwrap();
    let before = turns(&mut instance);
    stage.admin.delete_partitioned_topic(&stage.told()).unwrap();
    std::thread::scope(|scope| {
        let entering = scope.spawn(|| post("ann", "US"));
        post("bob", "FR");
        assert!(!entering.is_finished());
        until("it says what it waits for", || {
            let (status, said) = instance.ready()?;
            let waits = status == 503 && said.contains(&stage.told());
            Ok(if waits { Ok(()) } else { Err(said) })
        })
        .unwrap();
        stage.admin.create_topic(&stage.told(), 1).unwrap();
        entering.join().unwrap();
    });
    assert_eq!(turns(&mut instance) - before, 1.0, "they were of one turn");
    instance.stop().unwrap();
}

#[test]
fn messages_may_come_by_http_too_and_transitions_are_read_from_the_topic() {
    let stage = stage_with(&shop(), 1);
    let mut instance = stage.start("one").unwrap();
    send_by_http(&mut instance, &from("ann", "US"));
    let expected: Members = [("ann".to_string(), ["north-americans".to_string()].into())].into();
    assert_eq!(instance.members().unwrap(), expected);
    assert_eq!(read_told(&stage, &expected).unwrap().transitions, 1);
    let (status, said) = instance.get("/v1/workspaces/shop/transitions").unwrap();
    assert_eq!(status, 501, "{said}");
    assert!(said.contains("read them where they are published"), "{said}");
}

#[test]
fn timers_of_users_fire_with_nobody_sending_anything() {
    let stage = stage_with(&shop(), 1);
    let mut instance = stage.start("one").unwrap();
    let begin = 1_767_225_600_000_i64;
    let bought = |user: &str, at: i64| {
        json!({ "workspace": "shop", "user": user,
            "events": [{ "name": "purchase", "time": at, "properties": { "amount": 1 } }] })
    };
    let buyer = |user: &str| (user.to_string(), ["recent-buyers".to_string()].into());
    send(&stage, &[bought("ann", begin), bought("bob", begin + 8_000)], begin + 9_000);
    instance.wait_members(&[buyer("ann"), buyer("bob")].into()).unwrap();
    // Time goes on, and says nothing of either.
    send(&stage, &[], begin + 12_000);
    let expected: Members = [buyer("bob")].into();
    instance.wait_members(&expected).unwrap();
    let told = read_told(&stage, &expected).unwrap();
    assert_eq!((told.transitions, told.problems.len()), (3, 0));
}

/// Each of them is as long as a message may be, and all of them together are more than the database takes in one
/// write.
#[test]
fn a_user_who_sends_more_than_a_write_may_hold_is_taken_in_parts() {
    let stage = stage_with(&shop(), 1);
    let begin = 1_767_225_600_000_i64;
    let note = "x".repeat(16_000);
    let long = |at: i64| {
        let mut properties: serde_json::Map<_, _> =
            (0..60).map(|number| (format!("note-{number}"), json!(note))).collect();
        properties.insert("amount".to_string(), json!(1));
        json!({ "workspace": "shop", "user": "ann",
            "events": [{ "name": "purchase", "time": begin + at, "properties": properties }] })
    };
    let messages: Vec<_> = (0..24).map(long).collect();
    let load = send(&stage, &messages, begin + 30);
    let expected = expected(&shop(), &load).unwrap();
    assert_eq!(expected.len(), 1);
    let mut instance = start_patiently(&stage, "4s");
    took_all(&mut instance, &load, &expected, &stage);
    assert_eq!(instance.metric("muster_dead_letters_total").unwrap(), 0.0);
    instance.stop().unwrap();
}

/// All of them together are more rows than the database takes in one write, and than its driver sends.
#[test]
fn a_user_whose_events_are_spread_over_years_is_taken_in_parts() {
    let stage = stage_with(&shop(), 1);
    let begin = 1_767_225_600_000_i64;
    let hour = |at: i64| begin - 2 * 3_600_000 * at;
    let message = |of: i64| {
        let looked =
            |at: i64| json!({ "name": format!("look-{}", at % 70), "time": hour(at / 70) });
        let events: Vec<_> = (of * 1_000..(of + 1) * 1_000).map(looked).collect();
        json!({ "workspace": "shop", "user": "ann", "attributes": { "country": "US" },
            "events": events })
    };
    let messages: Vec<_> = (0..70).map(message).collect();
    let load = send(&stage, &messages, begin + 30);
    let expected: Members = [("ann".to_string(), ["north-americans".to_string()].into())].into();
    let mut instance = start_patiently(&stage, "4s");
    took_all(&mut instance, &load, &expected, &stage);
    assert_eq!(instance.metric("muster_dead_letters_total").unwrap(), 0.0);
    instance.stop().unwrap();
}

/// Her messages take several turns, in each of which others' count.
#[test]
fn a_user_who_is_taken_in_parts_holds_up_nobody_else() {
    let stage = stage_with(&shop(), 1);
    let begin = 1_767_225_600_000_i64;
    let message = |of: i64| {
        let looked = |at: i64| json!({ "name": format!("look-{at}"), "time": begin - of });
        let events: Vec<_> = (0..1_000).map(looked).collect();
        json!({ "workspace": "shop", "user": "ann", "events": events })
    };
    let messages: Vec<_> = (0..40).map(message).collect();
    let mut instance = start_patiently(&stage, "4s");
    let load = Load::of(messages.iter().map(ToString::to_string).collect(), begin + 30).unwrap();
    load.send(&stage, Duration::ZERO).unwrap();
    until("her messages have come", || {
        let waiting = instance.metric("muster_queue_messages")?;
        Ok(if waiting >= 40.0 { Ok(()) } else { Err(waiting.to_string()) })
    })
    .unwrap();
    send_by_http(&mut instance, &from("bob", "FR"));
    let left = instance.metric("muster_queue_messages").unwrap();
    assert!(left >= 8.0, "all of hers were answered with his, but for {left}");
    until("everything is acknowledged", || stage.is_drained()).unwrap();
    instance.stop().unwrap();
}

/// Every turn has messages, and something of the turn before is always yet to be told.
#[test]
fn timers_fire_beside_messages_that_never_cease() {
    const BUYERS: i64 = 40;
    const SENDERS: i64 = 24;
    let stage = stage_with(&shop(), 1);
    let begin = 1_767_225_600_000_i64;
    let mut instance = stage.start("one").unwrap();
    let bought = |user: i64| {
        json!({ "workspace": "shop", "user": format!("buyer-{user}"),
            "events": [{ "name": "purchase", "time": begin, "properties": { "amount": 1 } }] })
    };
    send(&stage, &(0..BUYERS).map(bought).collect::<Vec<_>>(), begin + 1);
    until("all have bought", || {
        let found = instance.members()?.len() as i64;
        Ok(if found == BUYERS { Ok(()) } else { Err(found.to_string()) })
    })
    .unwrap();
    let address = instance.address().unwrap().unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let is_over = &is_over;
            scope.spawn(move || {
                let countries = ["US", "FR"].into_iter().cycle();
                for (at, country) in (0..).zip(countries) {
                    let message = json!({ "workspace": "shop", "user": format!("sender-{sender}"),
                        "time": begin + 20_000 + at, "attributes": { "country": country } });
                    post_to(address, &message);
                    if is_over.load(Ordering::Acquire) {
                        return;
                    }
                }
            });
        }
        let left = until_within(Duration::from_secs(30), "nobody has bought lately", || {
            let members = instance.members()?;
            let left = members.keys().filter(|user| user.starts_with("buyer")).count();
            Ok(if left == 0 { Ok(()) } else { Err(format!("{left} are left")) })
        });
        is_over.store(true, Ordering::Release);
        left.unwrap();
    });
    instance.stop().unwrap();
}

/// There are more of them than are looked for together, and all come before hers.
#[test]
fn timers_of_a_workspace_without_rules_hold_up_no_others() {
    let stage = stage_with(&shop(), 1);
    let begin = 1_767_225_600_000_i64;
    let span = (begin - 600_000) / 600_000;
    let noted = "INSERT INTO {}.timer_spans (id, span, part, noted) VALUES (0, ";
    stage.meddle(&format!("{noted}{span}, 0, true)")).unwrap();
    for piece in 0..50 {
        let timer = |at: i64| {
            let at = piece * 100 + at;
            format!(
                "INSERT INTO {{}}.timers (span, part, at, workspace, user) \
                 VALUES ({span}, 0, {}, 'elsewhere', 'u{at}'); ",
                span * 600_000 + at
            )
        };
        let timers: String = (0..100).map(timer).collect();
        stage.meddle(&format!("BEGIN UNLOGGED BATCH {timers} APPLY BATCH")).unwrap();
    }
    let mut instance = stage.start("one").unwrap();
    let bought = json!({ "workspace": "shop", "user": "ann",
        "events": [{ "name": "purchase", "time": begin, "properties": { "amount": 1 } }] });
    send(&stage, &[bought], begin + 1);
    let is_in = ("ann".to_string(), ["recent-buyers".to_string()].into());
    instance.wait_members(&[is_in].into()).unwrap();
    send(&stage, &[], begin + 20_000);
    instance.wait_members(&Members::new()).unwrap();
    instance.stop().unwrap();
}

#[test]
fn an_instance_that_cannot_go_on_ends_and_says_why() {
    let stage = stage_with(&shop(), 1);
    let mut instance = stage.start("one").unwrap();
    stage.meddle("DROP TABLE {}.journal").unwrap();
    let message = json!({ "workspace": "shop", "user": "ann", "attributes": { "country": "US" } });
    send(&stage, &[message], 1_767_225_700_000);
    let mut ended = None;
    until("it ends", || {
        ended = instance.ended()?;
        Ok(ended.map(drop).ok_or_else(|| "it runs".to_string()))
    })
    .unwrap();
    assert!(ended.is_some_and(|ended| !ended.success()), "{ended:?}");
    let log = instance.log().unwrap();
    assert!(log.contains("the store accepts nothing any more"), "{log}");
}
