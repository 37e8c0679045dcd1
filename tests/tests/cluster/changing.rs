//! Rules that several instances change at once: each change is made from the one before, once.

use crate::inside::Inside;
use crate::wire::Wire;
use crate::{shop, stage_with};
use muster::lifecycle::{Action, Share, Step, Subject};
use muster::manager::{ActError, oversee};
use muster_tests::cluster::{SILENCE_MAX, Stage, WORKSPACE, until};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What a process takes that changes rules.
const LOCK: &str = "rules";
const OTHER: &str = "audiences:
  - { id: japanese, where: { profile: { country: JP } } }
";

/// Overseeing looks each second.
const LOOKS: Duration = Duration::from_secs(4);

fn changes(instance: &Inside) -> Vec<serde_json::Value> {
    let prefix = format!("change\0{WORKSPACE}\0");
    let found = instance.service().store.documents(&prefix, None, usize::MAX).unwrap();
    found.iter().map(|(_, change)| serde_json::from_slice(change).unwrap()).collect()
}

fn by_itself(instance: &Inside) -> Vec<serde_json::Value> {
    changes(instance).into_iter().filter(|change| change["by"] == "muster").collect()
}

/// Settings by which nobody is taken for gone on a slow machine.
fn patient(settings: String) -> String {
    let patient = settings.replace("silence_max = \"2s\"", "silence_max = \"8s\"");
    assert_ne!(patient, settings);
    patient
}

/// Looks after the rules for a while.
fn look_after(instance: &Inside) {
    let overseeing = oversee(instance.service().clone());
    let looked = async { tokio::time::timeout(LOOKS, overseeing).await };
    assert!(instance.runtime.block_on(looked).is_err(), "it looks until it is dropped");
}

#[test]
fn of_instances_that_oversee_the_same_schedule_one_takes_the_step() {
    let stage = stage_with(&shop(), 1);
    let first = Inside::start_with(&stage, "first", patient).unwrap();
    let second = Inside::start_with(&stage, "second", patient).unwrap();
    first.deploy(OTHER);
    let step = |percent, hold_ms| Step { share: Share::of_percent(percent).unwrap(), hold_ms };
    let steps = vec![step(0.0, 1), step(10.0, 3_600_000), step(100.0, 0)];
    let begun = first.act(Action::Rollout { of: Subject::Rules, steps }).unwrap();
    second.service().follow_rules().unwrap();
    assert_eq!(second.state(), begun);
    until("both know that everybody has gone over", || {
        let knows =
            |instance: &Inside| instance.service().worker.is_swept(WORKSPACE, begun.revision);
        let known = [&first, &second].map(knows);
        Ok(if known == [true; 2] { Ok(()) } else { Err(format!("{known:?}")) })
    })
    .unwrap();
    // Neither follows the other from here on: both have seen that the first step has held.
    std::thread::scope(|scope| {
        for instance in [&first, &second] {
            scope.spawn(|| look_after(instance));
        }
    });
    let by_itself = by_itself(&first);
    assert_eq!(by_itself.len(), 1, "{by_itself:?}");
    assert_eq!(by_itself[0]["revision"], begun.revision + 1);
    for instance in [&first, &second] {
        instance.service().follow_rules().unwrap();
        let state = instance.state();
        assert_eq!(state.share(Subject::Rules), Share::of_percent(10.0).unwrap());
        assert_eq!(state.revision, begun.revision + 1);
    }
}

#[test]
fn a_step_waits_for_the_users_of_all_instances() {
    let stage = stage_with(&shop(), 1);
    let first = Inside::start_with(&stage, "first", patient).unwrap();
    let second = Inside::start_with(&stage, "second", patient).unwrap();
    let others = || match first.service().store.companions() {
        1 => Ok(Ok(())),
        others => Ok(Err(format!("{others} others"))),
    };
    until("the other is known of", others).unwrap();
    first.deploy(OTHER);
    let step = |percent, hold_ms| Step { share: Share::of_percent(percent).unwrap(), hold_ms };
    let steps = vec![step(0.0, 1), step(10.0, 3_600_000), step(100.0, 0)];
    first.act(Action::Rollout { of: Subject::Rules, steps }).unwrap();
    // The second has not taken the rules over.
    look_after(&first);
    assert_eq!(by_itself(&first), Vec::<serde_json::Value>::new());
    second.service().follow_rules().unwrap();
    until("the step is taken", || {
        look_after(&first);
        Ok(if by_itself(&first).is_empty() { Err("not yet".to_string()) } else { Ok(()) })
    })
    .unwrap();
    assert_eq!(by_itself(&first).len(), 1);
    assert_eq!(first.state().share(Subject::Rules), Share::of_percent(10.0).unwrap());
}

#[test]
fn changes_of_who_has_lost_the_lock_are_refused_or_follow_one_another() {
    let stage = stage_with(&shop(), 1);
    let instances =
        [Inside::start(&stage, "first").unwrap(), Inside::start(&stage, "second").unwrap()];
    let begun = instances[0].state().revision;
    let (ended, overtaken) = (AtomicBool::new(false), AtomicU64::new(0));
    let made: u64 = std::thread::scope(|scope| {
        // Nobody keeps the lock for long.
        let taking = scope.spawn(|| {
            while !ended.load(Ordering::Acquire) {
                // Where all want the row at once, the database may give up over it.
                stage.meddle("DELETE FROM {}.locks WHERE name = 'rules' IF EXISTS").ok();
            }
        });
        let overtaken = &overtaken;
        let changing = [(&instances[0], "recent-buyers"), (&instances[1], "big-spenders")].map(
            |(instance, audience)| {
                scope.spawn(move || pause_and_resume(instance, audience, overtaken))
            },
        );
        let made = changing.map(|thread| thread.join());
        ended.store(true, Ordering::Release);
        taking.join().unwrap();
        made.into_iter().map(Result::unwrap).sum()
    });
    assert!(overtaken.load(Ordering::Acquire) > 0, "nobody lost the lock at the wrong time");
    instances.iter().for_each(|instance| instance.service().follow_rules().unwrap());
    assert_eq!(instances[0].state().revision, begun + made);
    assert_eq!(instances[1].state(), instances[0].state());
    assert_eq!(changes(&instances[0]).len() as u64, begun + made);
}

/// Makes changes until somebody was overtaken. Gives how many.
fn pause_and_resume(instance: &Inside, audience: &str, overtaken: &AtomicU64) -> u64 {
    let (mut made, mut is_paused) = (0, false);
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline && (made < 20 || overtaken.load(Ordering::Acquire) == 0) {
        let audiences = vec![audience.to_string()];
        let action = match is_paused {
            true => Action::Resume { audiences },
            false => Action::Pause { audiences },
        };
        match instance.act(action) {
            Ok(_) => (made, is_paused) = (made + 1, !is_paused),
            Err(ActError::Overtaken(_)) => drop(overtaken.fetch_add(1, Ordering::AcqRel)),
            Err(error) if error.is_for_another() => {}
            Err(other) => panic!("{other}"),
        }
    }
    made
}

fn write_rules(stage: &Stage, rules: &str) {
    std::fs::write(stage.rules(), rules).unwrap();
}

fn has_japanese(instance: &Inside) -> bool {
    let (_, audiences) = instance.get("/v1/workspaces/shop/audiences");
    audiences.contains("\"japanese\"")
}

#[test]
fn a_start_waits_for_whoever_changes_rules() {
    let stage = stage_with(&shop(), 1);
    let first = Inside::start(&stage, "first").unwrap();
    first.service().store.lock(LOCK).unwrap();
    write_rules(&stage, OTHER);
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| Inside::start(&stage, "second").unwrap());
        std::thread::sleep(SILENCE_MAX);
        assert!(!starting.is_finished(), "it has started while another changes the rules");
        first.service().store.unlock(LOCK).unwrap();
        let mut second = starting.join().unwrap();
        let _serving = second.serve();
        assert!(has_japanese(&second));
    });
}

#[test]
fn a_start_takes_the_lock_of_one_that_was_killed() {
    let stage = stage_with(&shop(), 1);
    drop(Inside::start(&stage, "first").unwrap());
    stage.meddle("INSERT INTO {}.locks (name, owner) VALUES ('rules', 'killed')").unwrap();
    // Longer than a start takes where nothing is waited for.
    let silence_s = 3 * SILENCE_MAX.as_secs();
    let beat = format!(
        "INSERT INTO {{}}.instances (id, owner) VALUES (0, 'killed') USING TTL {silence_s}"
    );
    stage.meddle(&beat).unwrap();
    write_rules(&stage, OTHER);
    let mut second = Inside::start(&stage, "second").unwrap();
    let _serving = second.serve();
    assert!(has_japanese(&second));
}

#[test]
fn a_start_that_has_waited_for_long_says_for_whom() {
    let stage = stage_with(&shop(), 1);
    let _first = Inside::start(&stage, "first").unwrap();
    stage.meddle("INSERT INTO {}.locks (name, owner) VALUES ('rules', 'slow')").unwrap();
    stage.meddle("INSERT INTO {}.instances (id, owner) VALUES (0, 'slow')").unwrap();
    write_rules(&stage, OTHER);
    let Err(refused) = Inside::start(&stage, "second") else { panic!("it has started") };
    let said = format!("{refused:#}");
    assert!(
        said.starts_with("the rules of workspace `shop`: instance slow, as it is called"),
        "{said}"
    );
    assert!(said.contains("has been changing rules for "), "{said}");
}

#[test]
fn a_folder_that_was_refused_for_another_is_tried_again() {
    let stage = stage_with(&shop(), 1);
    let mut first = Inside::start(&stage, "first").unwrap();
    let _serving = first.serve();
    stage.meddle("INSERT INTO {}.locks (name, owner) VALUES ('rules', 'slow')").unwrap();
    stage.meddle("INSERT INTO {}.instances (id, owner) VALUES (0, 'slow') USING TTL 5").unwrap();
    write_rules(&stage, OTHER);
    // It is seen within a second, and cannot be deployed then.
    std::thread::sleep(Duration::from_secs(3));
    assert!(!has_japanese(&first));
    let deadline = Instant::now() + Duration::from_secs(30);
    while !has_japanese(&first) {
        assert!(Instant::now() < deadline, "the folder was forgotten");
        std::thread::sleep(Duration::from_millis(100));
    }
}

const READS: [&str; 6] = [
    "/v1/workspaces/shop/rules",
    "/v1/workspaces/shop/rules/history",
    "/v1/workspaces/shop/rules/diff",
    "/v1/workspaces/shop/rules/verify",
    "/v1/workspaces/shop/rules/differences",
    "/v1/workspaces/shop/rules/versions/zzz",
];

#[test]
fn rules_are_read_while_they_are_being_changed() {
    let stage = stage_with(&shop(), 1);
    let mut instance = Inside::start(&stage, "first").unwrap();
    let _serving = instance.serve();
    let (begun, told) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let service = instance.service().clone();
    let changing = std::thread::spawn(move || {
        service.manage(WORKSPACE, |_, _| {
            begun.send(()).unwrap();
            ended.recv().unwrap();
        });
    });
    told.recv().unwrap();
    let asked = Instant::now();
    for path in READS {
        let (status, said) = instance.get(path);
        let expected = if path.ends_with("zzz") { 404 } else { 200 };
        assert_eq!(status, expected, "{path}: {said}");
    }
    assert!(asked.elapsed() < Duration::from_secs(10), "it took {:?}", asked.elapsed());
    end.send(()).unwrap();
    changing.join().unwrap();
}

#[test]
fn what_would_wait_for_a_silent_database_is_answered() {
    let stage = stage_with(&shop(), 1);
    let wire = Wire::start(&stage.cassandra);
    let mut instance = Inside::start_with(&stage, "first", |settings| {
        settings.replace(&stage.cassandra, &wire.address())
    })
    .unwrap();
    let _serving = instance.serve();
    let held = wire.hold();
    for (path, expected) in READS.iter().zip([200, 503, 503, 200, 503, 503]) {
        let asked = Instant::now();
        let (status, said) = instance.get(path);
        assert_eq!(status, expected, "{path}: {said}");
        assert!(asked.elapsed() < Duration::from_secs(15), "{path} took {:?}", asked.elapsed());
        assert!(status == 200 || said.contains("waiting for the store"), "{said}");
    }
    drop(held);
    let deadline = Instant::now() + Duration::from_secs(30);
    while instance.get(READS[1]).0 != 200 {
        assert!(Instant::now() < deadline, "it does not answer again");
        std::thread::sleep(Duration::from_millis(100));
    }
}
