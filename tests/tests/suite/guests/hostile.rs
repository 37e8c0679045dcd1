//! Modules that fail: the call is lost, and nothing else.

use super::{engine, load, question};
use muster::guest::GuestInstances;
use muster_core::{Candidate, Decide, Event, Fields, Selection, Time, Value};
use muster_tests::guests::{HOSTILE, HOSTILE_SELECTS, PARITY, failing_to_select, module};

/// Whatever a module does, its next good call works, and its neighbour never notices.
#[test]
fn what_a_module_does_in_a_call_costs_that_call_only() {
    let engine = engine();
    let good = load(&engine, &module("good", PARITY));
    for hostile in HOSTILE {
        let modules = vec![load(&engine, &hostile.module()), good.clone()];
        let mut instances = GuestInstances::new(modules);
        for _ in 0..2 {
            assert_eq!(instances.decide(question(1, &[3])), Ok(vec![true, true]));
            let error = instances.decide(question(0, &[3])).unwrap_err();
            let told = format!("module `hostile`{}", hostile.told);
            assert_eq!(error.to_string(), told, "{}", hostile.name);
            assert_eq!(instances.decide(question(0, &[3, 4])), Ok(vec![false, false]));
            assert_eq!(instances.decide(question(1, &[])), Ok(vec![false, false]));
        }
    }
}

#[test]
fn what_a_module_does_when_it_selects_costs_that_call_only() {
    let engine = engine();
    let event = Event {
        name: "visit".into(),
        time: Time::from_milliseconds(1).unwrap(),
        id: None,
        properties: Fields::default(),
        context: Fields::default().into(),
    };
    let candidate = |predicates: &[u32]| Candidate { event: &event, predicates: predicates.into() };
    let (odd, even) = ([candidate(&[0, 1])], [candidate(&[0]), candidate(&[1])]);
    let odd = Selection { module: 0, candidates: &odd };
    let even = Selection { module: 0, candidates: &even };
    for hostile in HOSTILE_SELECTS {
        let text = failing_to_select(hostile.instructions);
        let mut instances = GuestInstances::new(vec![load(&engine, &text)]);
        for _ in 0..2 {
            let error = instances.select(odd).unwrap_err();
            let told = format!("module `hostile`{}", hostile.told);
            assert_eq!(error.to_string(), told, "{}", hostile.name);
            assert_eq!(instances.select(even).unwrap(), [true, true]);
            assert_eq!(instances.decide(question(0, &[3])), Ok(vec![true, true]));
        }
    }
}

#[test]
fn a_module_that_runs_out_of_time_again_and_again_rests() {
    let engine = engine();
    let endless = HOSTILE.iter().find(|hostile| hostile.name == "endless-loop").unwrap();
    let modules = vec![load(&engine, &endless.module()), load(&engine, &module("good", PARITY))];
    let mut instances = GuestInstances::new(modules);
    let mut told = Vec::new();
    while told.len() < 100 {
        told.push(instances.evaluate(question(0, &[3])).unwrap_err().to_string());
    }
    let rests = |told: &&String| told.starts_with("module `hostile` rests, since it failed");
    assert_eq!(told.iter().position(|told| rests(&told)), Some(3), "{told:#?}");
    assert!(told.iter().filter(rests).count() > 90, "{told:#?}");
    assert_eq!(instances.evaluate(question(1, &[3])).unwrap(), [true, true]);
}

#[test]
fn a_module_that_fails_at_once_is_asked_again_at_once() {
    let engine = engine();
    let trap = HOSTILE.iter().find(|hostile| hostile.name == "trap").unwrap();
    let mut instances = GuestInstances::new(vec![load(&engine, &trap.module())]);
    for _ in 0..1_000 {
        let told = instances.evaluate(question(0, &[3])).unwrap_err().to_string();
        assert!(told.contains("trapped"), "{told}");
    }
}

#[test]
fn every_file_of_a_hostile_guest_is_tried() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/guests/hostile");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let guests = files.filter(|path| path.extension().is_some_and(|end| end == "wat"));
    assert_eq!(guests.count(), HOSTILE.len());
}

#[test]
fn values_reach_the_module() {
    let engine = engine();
    let mut instances = GuestInstances::new(vec![load(&engine, &module("values", VALUES))]);
    let number = muster_core::Decimal::parse("-12.5").unwrap();
    let values = [
        None,
        Some(Value::Boolean(true)),
        Some(Value::Number(number)),
        Some(Value::text("iOS")),
        Some(Value::Composite("[1]".into())),
    ];
    let question = muster_core::Question {
        module: 0,
        audiences: &[0, 1, 2, 3, 4, 5],
        conditions: &[],
        values: &values,
    };
    // The tags 0 to 4 in order, and the low and high half of -12,500,000,000 billionths.
    assert_eq!(instances.evaluate(question).unwrap(), vec![true; 6]);
}

/// Six decisions about the five values of 24 bytes each: is the tag of each its place, and is the
/// third the number -12.5.
const VALUES: &str = "
    (local $i i32)
    (loop $next
        (i32.store8 (i32.add (i32.const 1024) (local.get $i))
            (i32.eq (local.get $i) (i32.load8_u (i32.add (local.get $values)
                (i32.mul (local.get $i) (i32.const 24))))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $i) (i32.const 5))))
    (i32.store8 (i32.const 1029) (i32.and
        (i64.eq (i64.load offset=56 (local.get $values)) (i64.const -1))
        (i64.eq (i64.load offset=64 (local.get $values)) (i64.const -12500000000))))
    (i32.store (i32.const 512) (i32.const 1024))
    (i32.store (i32.const 516) (i32.const 6))
    (i32.const 512)";
