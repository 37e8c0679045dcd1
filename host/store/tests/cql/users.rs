//! The users of a workspace, and how many there are.

use crate::make::{key, put, stamped, tell, user, workspace};
use crate::place::{Own, shared};
use muster_store::{CqlStore, Store, UserCommit};
use std::sync::Arc;

fn add(store: &CqlStore, workspace: &str, names: &[Arc<str>]) {
    tell(store, names.iter().map(|name| user(&key(workspace, name))).collect());
}

fn count(store: &CqlStore, workspace: &str) -> Option<u64> {
    let workspaces = store.workspaces().unwrap();
    workspaces.into_iter().find(|(name, _)| **name == *workspace).map(|(_, count)| count)
}

#[test]
fn pages_of_any_size_come_to_the_same_in_order() {
    let workspace = workspace();
    let mut names: Vec<Arc<str>> = (0..150).map(|number| format!("u{number}").into()).collect();
    add(shared(), &workspace, &names);
    names.sort();
    for limit in (1..=40).chain([149, 150, 151, usize::MAX]) {
        let mut all: Vec<Arc<str>> = Vec::new();
        loop {
            let after = all.last().cloned();
            let page = shared().users(&workspace, after.as_deref(), limit).unwrap();
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            all.extend(page);
        }
        assert_eq!(all, names, "by {limit}");
    }
}

#[test]
fn users_of_one_part_alone_are_paged_as_all_are() {
    // More of one beginning than a share of a page, whichever parts they are in.
    let workspace = workspace();
    let names: Vec<Arc<str>> = (0..700).map(|number| format!("{number:03}").into()).collect();
    for names in names.chunks(350) {
        add(shared(), &workspace, names);
    }
    assert_eq!(shared().users(&workspace, None, 700).unwrap(), names);
    assert_eq!(shared().users(&workspace, Some("499"), 100).unwrap(), names[500..600]);
}

#[test]
fn the_order_is_that_of_bytes() {
    let workspace = workspace();
    let mut names: Vec<Arc<str>> =
        ["é", "z", "Z", "~", "\u{1}", "🦀", "a", "ab", "\u{ffff}"].map(Arc::from).to_vec();
    add(shared(), &workspace, &names);
    names.sort_by(|one, other| one.as_bytes().cmp(other.as_bytes()));
    assert_eq!(shared().users(&workspace, None, 99).unwrap(), names);
    assert_eq!(shared().users(&workspace, Some("~"), 99).unwrap(), names[6..]);
}

#[test]
fn a_page_may_be_of_nobody() {
    let workspace = workspace();
    assert_eq!(shared().users(&workspace, None, 9).unwrap(), []);
    add(shared(), &workspace, &["ann".into()]);
    assert_eq!(shared().users(&workspace, None, 0).unwrap(), []);
    assert_eq!(shared().users(&workspace, Some("ann"), 9).unwrap(), []);
}

#[test]
fn users_are_counted_once_however_often_they_are_written() {
    let own = Own::take();
    let store = own.open();
    let workspace = workspace();
    assert_eq!(count(&store, &workspace), None);
    let names: Vec<Arc<str>> = (0..50).map(|number| format!("{number}").into()).collect();
    for _ in 0..3 {
        add(&store, &workspace, &names);
    }
    assert_eq!(count(&store, &workspace), Some(50));
    add(&store, &workspace, &["one more".into()]);
    add(&store, &workspace, &["one more".into()]);
    assert_eq!(count(&store, &workspace), Some(51));
    assert_eq!(count(&own.open(), &workspace), Some(51));
}

#[test]
fn a_user_who_was_made_twice_is_counted_once() {
    let own = Own::take();
    let store = own.open();
    let workspace = workspace();
    add(&store, &workspace, &["bob".into()]);
    assert_eq!(count(&store, &workspace), Some(1));
    // Somebody was quicker to make her, so that she is noted twice.
    let ann = key(&workspace, "ann");
    let late = stamped(&store, user(&ann));
    tell(&store, vec![user(&ann)]);
    let committed = store.commit(crate::make::commit(vec![late])).unwrap();
    assert_eq!(committed.overtaken, [ann]);
    assert_eq!(count(&store, &workspace), Some(2));
}

#[test]
fn workspaces_are_in_order_and_only_those_that_have_users() {
    let own = Own::take();
    let store = own.open();
    let mut names = [workspace(), workspace(), workspace()];
    for name in &names {
        add(&store, name, &["ann".into()]);
    }
    names.sort();
    let found = own.open().workspaces().unwrap();
    assert!(found.is_sorted());
    let mine: Vec<_> = found.iter().filter(|(name, _)| names.contains(name)).collect();
    assert_eq!(mine, names.each_ref().map(|name| (name.clone(), 1)).iter().collect::<Vec<_>>());
}

#[test]
fn a_user_is_listed_before_her_commit_counts_and_not_only_after() {
    // A commit that was not answered for may count: whoever it made must be found.
    let workspace = workspace();
    let ann = key(&workspace, "ann");
    let first = put(shared(), vec![UserCommit { is_new: true, ..user(&ann) }]);
    assert_eq!(first.overtaken, []);
    assert_eq!(shared().users(&workspace, None, 9).unwrap(), [ann.user]);
}
