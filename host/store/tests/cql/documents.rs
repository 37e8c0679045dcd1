//! Documents: small ones, large ones in pieces, and that a commit writes all of its own or none.

use crate::make::{commit, workspace};
use crate::place::{Own, eventually, open, rows, settings, shared};
use crate::proxy::{Fault, Proxy};
use muster_store::{Commit, CqlStore, Store};
use std::sync::Arc;

const MIB: usize = 1 << 20;

fn put(store: &CqlStore, documents: &[(&str, Option<&[u8]>)]) {
    let named = documents.iter().map(|(name, body)| (Arc::from(*name), body.map(<[u8]>::to_vec)));
    store.commit(Commit { documents: named.collect(), ..commit(Vec::new()) }).unwrap();
}

/// Bytes that differ by place, and from those of another seed.
fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.u8(..)).collect()
}

fn names(prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let found = shared().documents(prefix, after, limit).unwrap();
    found.into_iter().map(|(name, _)| name.to_string()).collect()
}

#[test]
fn a_document_is_what_was_put_last() {
    let name = workspace();
    assert_eq!(shared().document(&name).unwrap(), None);
    for body in [&b"one"[..], b"", b"two\0\xff"] {
        put(shared(), &[(&name, Some(body))]);
        assert_eq!(shared().document(&name).unwrap().as_deref(), Some(body));
    }
    put(shared(), &[(&name, None)]);
    assert_eq!(shared().document(&name).unwrap(), None);
    put(shared(), &[(&name, None)]);
}

#[test]
fn documents_of_any_size_are_put_together_again() {
    let name = workspace();
    for (seed, length) in (0..).zip([MIB - 1, MIB, MIB + 1, 2 * MIB, 5 * MIB + 7, 3 * MIB]) {
        let body = bytes(seed, length);
        put(shared(), &[(&name, Some(&body))]);
        assert!(shared().document(&name).unwrap().unwrap() == body, "of {length}");
    }
}

#[test]
fn a_large_document_is_replaced_by_a_small_one_and_back() {
    let name = workspace();
    let large = bytes(1, 3 * MIB);
    for body in [&large[..], b"small", &large[..MIB + 5], b"", &large] {
        put(shared(), &[(&name, Some(body))]);
        assert!(shared().document(&name).unwrap().unwrap() == body);
    }
    put(shared(), &[(&name, None)]);
    assert_eq!(shared().document(&name).unwrap(), None);
    put(shared(), &[(&name, Some(b"again"))]);
    assert_eq!(shared().document(&name).unwrap().unwrap(), b"again");
}

#[test]
fn pieces_of_what_was_replaced_or_deleted_are_not_kept() {
    let own = Own::take();
    let store = own.open();
    let name = workspace();
    let pieces = || rows(&format!("SELECT piece FROM {}.document_pieces", own.keyspace)).len();
    let others = pieces();
    put(&store, &[(&name, Some(&bytes(1, 4 * MIB)))]);
    assert_eq!(pieces(), others + 4);
    put(&store, &[(&name, Some(&bytes(2, 2 * MIB)))]);
    assert_eq!(pieces(), others + 2);
    put(&store, &[(&name, Some(b"small"))]);
    assert_eq!(pieces(), others);
    put(&store, &[(&name, Some(&bytes(3, 2 * MIB)))]);
    put(&store, &[(&name, None)]);
    assert_eq!(pieces(), others);
}

#[test]
fn a_large_document_that_was_not_committed_leaves_the_one_before_whole() {
    let own = Own::take();
    let name = workspace();
    let (before, after) = (bytes(1, 3 * MIB), bytes(2, 2 * MIB + 9));
    put(&own.open(), &[(&name, Some(&before))]);
    let proxy = Proxy::start(&own.nodes[0]);
    let store = open(&muster_store::CqlSettings {
        nodes: vec![proxy.address()],
        ..settings(&own.nodes[0], &own.keyspace)
    });
    proxy.on_batches(Fault::Lose);
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| {
            let documents = vec![(name.clone(), Some(after.clone()))];
            store.commit(Commit { documents, ..commit(Vec::new()) })
        });
        proxy.wait_for(2);
        store.close();
        assert!(committing.join().unwrap().is_err());
    });
    assert!(own.open().document(&name).unwrap().unwrap() == before);
}

#[test]
fn a_large_document_is_read_whole_while_it_is_replaced() {
    let name = workspace();
    let bodies = [bytes(1, 2 * MIB), bytes(2, 3 * MIB), b"small".to_vec()];
    put(shared(), &[(&name, Some(&bodies[0]))]);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for body in bodies.iter().cycle().take(20) {
                put(shared(), &[(&name, Some(body))]);
            }
        });
        while !writing.is_finished() {
            let found = shared().document(&name).unwrap().unwrap();
            assert!(bodies.contains(&found), "a document of {} bytes", found.len());
        }
        writing.join().unwrap();
    });
}

#[test]
fn documents_are_listed_by_prefix_in_order() {
    let prefix = workspace();
    let of = |name: &str| format!("{prefix}\0{name}");
    let all = ["", "a", "a/1", "a/10", "a/2", "b", "é"].map(of);
    let documents: Vec<(&str, Option<&[u8]>)> =
        all.iter().rev().map(|name| (&**name, Some(name.as_bytes()))).collect();
    put(shared(), &documents);
    put(shared(), &[(&format!("{prefix}\u{1}"), Some(b"no")), (&prefix, Some(b"no"))]);
    assert_eq!(names(&of(""), None, 99), all);
    assert_eq!(names(&of("a/"), None, 99), all[2..5]);
    assert_eq!(names(&of(""), None, 2), all[..2]);
    assert_eq!(names(&of(""), Some(&all[2]), 2), all[3..5]);
    assert_eq!(names(&of("a"), Some(&all[4]), 9), [] as [String; 0]);
    assert_eq!(names(&of("c"), None, 9), [] as [String; 0]);
    let bodies = shared().documents(&of(""), None, 99).unwrap();
    assert!(bodies.iter().all(|(name, body)| name.as_bytes() == body));
}

#[test]
fn none_are_listed_where_none_are_asked_for() {
    let name = workspace();
    put(shared(), &[(&name, Some(b"body"))]);
    assert_eq!(names(&name, None, 0), [] as [String; 0]);
    assert_eq!(names(&name, None, usize::MAX), [name.to_string()]);
}

#[test]
fn large_documents_are_listed_whole() {
    let prefix = workspace();
    let (one, two) = (format!("{prefix}1"), format!("{prefix}2"));
    let large = bytes(9, 2 * MIB + 1);
    put(shared(), &[(&one, Some(&large)), (&two, Some(b"small"))]);
    let found = shared().documents(&prefix, None, 9).unwrap();
    assert!(found == [(one.into(), large), (two.into(), b"small".to_vec())]);
}

#[test]
fn documents_of_one_commit_are_seen_together() {
    let prefix = workspace();
    let all: Vec<String> = (0..8).map(|number| format!("{prefix}{number}")).collect();
    let put_all = |turn: u8| {
        let body = [turn];
        let documents: Vec<(&str, Option<&[u8]>)> =
            all.iter().map(|name| (&**name, Some(&body[..]))).collect();
        put(shared(), &documents);
    };
    put_all(0);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| (1..60).for_each(put_all));
        while !writing.is_finished() {
            let found = shared().documents(&prefix, None, 99).unwrap();
            assert_eq!(found.len(), all.len());
            assert!(found.iter().all(|(_, body)| *body == found[0].1), "{found:?}");
        }
        writing.join().unwrap();
    });
}

#[test]
fn a_document_is_seen_by_other_stores() {
    let own = Own::take();
    let (one, other) = (own.open(), own.open());
    let name = workspace();
    put(&one, &[(&name, Some(b"body"))]);
    eventually("it is there", || other.document(&name).unwrap().is_some());
    put(&other, &[(&name, None)]);
    assert_eq!(one.document(&name).unwrap(), None);
}
