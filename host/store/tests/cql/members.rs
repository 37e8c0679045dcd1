//! Who is in an audience: read in order over all parts of users, and what a later word does to it.

use crate::make::{at, key, members_of, membership, someone, tell, user, vip, workspace};
use crate::place::shared;
use muster_core::{AudienceKey, Time};
use muster_store::{Store, UserCommit};
use std::sync::Arc;

fn names(count: usize) -> Vec<Arc<str>> {
    (0..count).map(|number| format!("{number:05}").into()).collect()
}

/// Every page of an audience, one after the other.
fn pages(workspace: &str, limit: usize) -> Vec<Arc<str>> {
    let mut all: Vec<Arc<str>> = Vec::new();
    loop {
        let after = all.last().cloned();
        let page = shared().members(workspace, vip(), after.as_deref(), limit).unwrap();
        assert!(page.len() <= limit);
        let is_last = page.len() < limit;
        all.extend(page.into_iter().map(|(user, _)| user));
        if is_last {
            return all;
        }
    }
}

#[test]
fn pages_of_any_size_come_to_the_same_in_order() {
    let workspace = workspace();
    let names = names(120);
    let of = |name: &Arc<str>| membership(&key(&workspace, name), 1, Some(5));
    tell(shared(), names.iter().map(of).collect());
    for limit in (1..=40).chain([119, 120, 121, 5_000, usize::MAX]) {
        assert_eq!(pages(&workspace, limit), names, "by {limit}");
    }
}

#[test]
fn more_members_than_a_page_of_the_database_are_read_at_once() {
    let workspace = workspace();
    let names = names(2_500);
    let of = |name: &Arc<str>| membership(&key(&workspace, name), 1, Some(5));
    for names in names.chunks(500) {
        tell(shared(), names.iter().map(of).collect());
    }
    assert_eq!(pages(&workspace, usize::MAX), names);
    assert_eq!(pages(&workspace, 700), names);
}

#[test]
fn a_page_may_begin_after_somebody_who_is_none_and_be_of_none() {
    let workspace = workspace();
    let of = |name: &Arc<str>| membership(&key(&workspace, name), 1, Some(5));
    tell(shared(), names(5).iter().map(of).collect());
    let page = |after: &str, limit: usize| -> Vec<String> {
        let found = shared().members(&workspace, vip(), Some(after), limit).unwrap();
        found.into_iter().map(|(user, _)| user.to_string()).collect()
    };
    assert_eq!(page("00002x", 9), ["00003", "00004"]);
    assert_eq!(page("", 1), ["00000"]);
    assert_eq!(page("9", 9), [] as [String; 0]);
    assert_eq!(page("0", 0), [] as [String; 0]);
}

#[test]
fn who_leaves_is_no_member_and_who_comes_back_is_one_since_then() {
    let ann = someone();
    tell(shared(), vec![membership(&ann, 1, Some(10))]);
    assert_eq!(members_of(shared(), &ann.workspace), [("ann".to_string(), 10)]);
    tell(shared(), vec![membership(&ann, 2, None)]);
    assert_eq!(members_of(shared(), &ann.workspace), []);
    tell(shared(), vec![membership(&ann, 3, Some(30))]);
    assert_eq!(members_of(shared(), &ann.workspace), [("ann".to_string(), 30)]);
    // An earlier instant by a later word.
    tell(shared(), vec![membership(&ann, 4, Some(2))]);
    assert_eq!(members_of(shared(), &ann.workspace), [("ann".to_string(), 2)]);
}

#[test]
fn an_earlier_word_that_is_written_later_changes_nothing() {
    let (ann, bob) = (someone(), someone());
    tell(shared(), vec![membership(&ann, 8, Some(80)), membership(&bob, 8, None)]);
    tell(shared(), vec![membership(&ann, 7, None), membership(&bob, 7, Some(70))]);
    assert_eq!(members_of(shared(), &ann.workspace), [("ann".to_string(), 80)]);
    assert_eq!(members_of(shared(), &bob.workspace), []);
}

#[test]
fn audiences_and_workspaces_have_members_of_their_own() {
    let (ann, bob) = (someone(), someone());
    let new = AudienceKey::of("new");
    let members = vec![(vip(), Some(at(1))), (new, Some(at(2)))];
    tell(shared(), vec![UserCommit { members, transition: 1, ..user(&ann) }]);
    tell(shared(), vec![UserCommit { members: vec![(vip(), None)], transition: 2, ..user(&ann) }]);
    let read = |workspace: &str, audience| shared().members(workspace, audience, None, 9).unwrap();
    assert_eq!(read(&ann.workspace, vip()), []);
    assert_eq!(read(&ann.workspace, new), [("ann".into(), at(2))]);
    assert_eq!(read(&bob.workspace, new), []);
    assert_eq!(read(&ann.workspace, AudienceKey::from_bits(u64::MAX)), []);
}

#[test]
fn audiences_of_any_bits_and_instants_of_any_time_are_kept() {
    let ann = someone();
    let all = [(0, Time::MIN), (u64::MAX, Time::MAX), (1 << 63, Time::EPOCH)];
    let members = all.map(|(bits, since)| (AudienceKey::from_bits(bits), Some(since))).to_vec();
    tell(shared(), vec![UserCommit { members, transition: u64::MAX >> 1, ..user(&ann) }]);
    for (bits, since) in all {
        let audience = AudienceKey::from_bits(bits);
        let found = shared().members(&ann.workspace, audience, None, 9).unwrap();
        assert_eq!(found, [("ann".into(), since)]);
    }
}
