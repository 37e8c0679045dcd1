//! Documents that are put only if one of them is as it was read, whoever is late with it.

use crate::make::workspace;
use crate::place::{Own, open, rows};
use crate::proxy::{Fault, Proxy};
use muster_store::{CqlSettings, CqlStore, Store};
use std::sync::Arc;
use std::time::Duration;

const MIB: usize = 1 << 20;

/// Puts a body where another was read, and beside it a document with the same body.
fn replace(store: &CqlStore, name: &str, read: Option<&[u8]>, body: &[u8]) -> bool {
    let beside = beside(name, body);
    let others = vec![(beside, Some(body.to_vec()))];
    store.replace((name, body.to_vec()), &|found| found == read, others).unwrap()
}

fn beside(name: &str, body: &[u8]) -> Arc<str> {
    format!("beside {name} {}", body.first().unwrap()).into()
}

/// What is there must be of the last that counted, and nothing of others.
fn is_as_of(store: &CqlStore, name: &str, counted: &[&[u8]], refused: &[&[u8]]) {
    assert!(store.document(name).unwrap().as_deref() == counted.last().copied());
    for body in counted {
        assert!(store.document(&beside(name, body)).unwrap().as_deref() == Some(*body));
    }
    for body in refused {
        assert_eq!(store.document(&beside(name, body)).unwrap(), None);
    }
}

fn wired(own: &Own, proxy: &Proxy) -> CqlStore {
    open(&CqlSettings {
        nodes: vec![proxy.address()],
        request_time: Duration::from_secs(1),
        silence_max: Duration::from_secs(20),
        ..(**own).clone()
    })
}

#[test]
fn who_is_late_changes_nothing() {
    let own = Own::take();
    let (one, other) = (own.open(), own.open());
    let name = workspace();
    assert!(replace(&one, &name, None, b"1"));
    assert!(replace(&other, &name, Some(b"1"), b"2"));
    assert!(!replace(&one, &name, Some(b"1"), b"3"));
    assert!(!replace(&one, &name, None, b"4"));
    is_as_of(&one, &name, &[b"1", b"2"], &[b"3", b"4"]);
}

#[test]
fn what_arrives_after_another_took_over_changes_nothing() {
    let own = Own::take();
    let proxy = Proxy::start(&own.nodes[0]);
    let (wired, other) = (wired(&own, &proxy), own.open());
    let name = workspace();
    assert!(replace(&other, &name, None, b"1"));
    proxy.on_batches(Fault::Hold);
    std::thread::scope(|scope| {
        let late = scope.spawn(|| replace(&wired, &name, Some(b"1"), b"2"));
        proxy.wait_for(1);
        assert!(replace(&other, &name, Some(b"1"), b"3"));
        proxy.let_go();
        assert!(!late.join().unwrap());
    });
    is_as_of(&other, &name, &[b"1", b"3"], &[b"2"]);
}

#[test]
fn what_is_not_told_is_found_out() {
    let own = Own::take();
    let proxy = Proxy::start(&own.nodes[0]);
    let (wired, other) = (wired(&own, &proxy), own.open());
    let name = workspace();
    assert!(replace(&other, &name, None, b"1"));
    for (fault, before, body) in [
        (Fault::CutAnswer, b"1", b"2"),
        (Fault::LoseAnswer, b"2", b"3"),
        (Fault::CutAnswer, b"3", b"4"),
    ] {
        proxy.on_batches(fault);
        assert!(replace(&wired, &name, Some(before), body), "{fault:?}");
        proxy.wait_for(1);
    }
    is_as_of(&other, &name, &[b"1", b"2", b"3", b"4"], &[]);
}

#[test]
fn what_never_arrived_is_sent_again() {
    let own = Own::take();
    let proxy = Proxy::start(&own.nodes[0]);
    let (wired, other) = (wired(&own, &proxy), own.open());
    let name = workspace();
    proxy.on_batches(Fault::Lose);
    std::thread::scope(|scope| {
        let late = scope.spawn(|| replace(&wired, &name, None, b"1"));
        proxy.wait_for(2);
        assert_eq!(other.document(&name).unwrap(), None);
        proxy.let_go();
        assert!(late.join().unwrap());
    });
    is_as_of(&other, &name, &[b"1"], &[]);
}

#[test]
fn large_documents_are_replaced_and_leave_no_pieces() {
    let own = Own::take();
    let store = own.open();
    let name = workspace();
    let pieces = || rows(&format!("SELECT piece FROM {}.document_pieces", own.keyspace)).len();
    let others = pieces();
    let bodies: Vec<Vec<u8>> = (1..=4).map(|byte| vec![byte; 2 * MIB]).collect();
    let put = |read: Option<&[u8]>, body: &[u8]| {
        store.replace((&name, body.to_vec()), &|found| found == read, Vec::new()).unwrap()
    };
    assert!(put(None, &bodies[0]));
    assert!(put(Some(&bodies[0]), &bodies[1]));
    assert!(!put(Some(&bodies[0]), &bodies[2]));
    assert_eq!(pieces(), others + 2);
    assert!(put(Some(&bodies[1]), b"small"));
    assert_eq!(pieces(), others);
    assert!(put(Some(b"small"), &bodies[3]));
    assert!(store.document(&name).unwrap().unwrap() == bodies[3]);
}

#[test]
fn of_many_who_read_the_same_one_counts() {
    let own = Own::take();
    let stores = [own.open(), own.open(), own.open()];
    let name = workspace();
    let mut read: Option<Vec<u8>> = None;
    for round in 0..10u8 {
        let counted: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let threads: Vec<_> = stores
                .iter()
                .zip(0..)
                .map(|(store, at)| {
                    let (name, read) = (&name, read.as_deref());
                    let body = vec![round, at];
                    scope.spawn(move || {
                        let is_put =
                            store.replace((name, body.clone()), &|found| found == read, Vec::new());
                        is_put.unwrap().then_some(body)
                    })
                })
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(counted.len(), 1, "in round {round}");
        read = stores[0].document(&name).unwrap();
        assert_eq!(read.as_ref(), counted.first());
    }
}
