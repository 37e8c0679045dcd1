use super::{PACK_AUDIENCES, packs};
use crate::definition::{Definition, Definitions, Location, Rule};
use crate::pack::PackSource;
use muster_core::{Comparison, Condition, Feature, Test};
use std::collections::{BTreeMap, BTreeSet};

fn place(line: u32) -> Location {
    Location { file: "audiences.yaml".into(), line, column: 5 }
}

fn number(attribute: &str, least: i64) -> Rule {
    let feature = Feature::Attribute(attribute.into());
    let comparison = Comparison::new(vec![Test::GreaterOrEqual(least.into())]);
    Rule::Condition(Condition::Compare { feature, comparison }, place(3))
}

fn member(id: &str) -> Rule {
    Rule::Condition(Condition::Member(id.into()), place(4))
}

fn audience(id: &str, rule: Rule) -> Definition {
    Definition { id: id.into(), name: id.into(), rule, location: place(1) }
}

fn sorted(mut audiences: Vec<Definition>) -> Definitions {
    audiences.sort_by(|a, b| a.id.cmp(&b.id));
    Definitions { audiences }
}

fn many(count: i64) -> Vec<Definition> {
    let plain = (0..count).map(|n| audience(&format!("a{n}"), number("age", n)));
    let referring = (0..count / 4).map(|n| audience(&format!("r{n}"), member(&format!("a{n}"))));
    plain.chain(referring).collect()
}

fn versions(packs: &[PackSource]) -> BTreeMap<String, String> {
    let audiences = packs.iter().flat_map(|pack| &pack.module().audiences);
    audiences.map(|audience| (audience.id.to_string(), audience.version.to_string())).collect()
}

fn changed(before: &Definitions, after: &Definitions) -> (Vec<String>, usize) {
    let (before, after) = (packs(before), packs(after));
    let old = versions(&before);
    let ids = versions(&after).into_iter().filter(|(id, version)| old.get(id) != Some(version));
    let keys: BTreeSet<[u8; 32]> = before.iter().map(PackSource::key).collect();
    let new = after.iter().filter(|pack| !keys.contains(&pack.key())).count();
    (ids.map(|(id, _)| id).collect(), new)
}

#[test]
fn every_audience_is_in_one_pack_behind_what_it_refers_to() {
    let packs = packs(&sorted(many(2000)));
    let mut decided = BTreeSet::new();
    let mut names = BTreeSet::new();
    for pack in &packs {
        let module = pack.module();
        assert!(module.audiences.len() <= 2 * PACK_AUDIENCES, "{}", module.audiences.len());
        assert!(names.insert(module.name.clone()));
        for condition in &module.conditions {
            if let Condition::Member(id) = condition {
                assert!(decided.contains(id), "{id} is referred to before it is decided");
            }
        }
        for audience in &module.audiences {
            assert!(audience.conditions.is_sorted());
            assert!(decided.insert(audience.id.clone()));
        }
    }
    assert_eq!(decided.len(), 2500);
}

#[test]
fn equal_conditions_are_kept_once() {
    let both = Rule::All(vec![number("age", 18), number("age", 65)]);
    let definitions = sorted(vec![audience("a", number("age", 18)), audience("b", both)]);
    let [pack] = &packs(&definitions)[..] else { panic!("both fit one pack") };
    assert_eq!(pack.module().conditions.len(), 2);
    assert_eq!(pack.module().audiences[1].conditions, [0, 1]);
}

#[test]
fn a_change_reaches_its_pack_and_what_refers_to_it_only() {
    let before = sorted(many(2000));
    let mut after = before.clone();
    let at = after.audiences.iter().position(|audience| &*audience.id == "a7").unwrap();
    after.audiences[at].rule = number("age", 1_000_000);
    assert_eq!(changed(&before, &after), (vec!["a7".to_owned(), "r7".to_owned()], 2));
}

#[test]
fn moving_or_rewording_changes_nothing() {
    let before = sorted(vec![audience("a", number("age", 18)), audience("b", member("a"))]);
    let mut after = before.clone();
    after.audiences[0].location = place(99);
    let twice = Rule::Any(vec![number("age", 18), Rule::All(vec![number("age", 18)])]);
    after.audiences[0].rule = twice;
    assert_eq!(changed(&before, &after), (Vec::new(), 0));
    assert_eq!(packs(&after)[0].source_map().audiences[0].location, place(99));
}

#[test]
fn a_new_name_is_no_new_version() {
    let before = sorted(vec![audience("a", number("age", 18))]);
    let mut after = before.clone();
    after.audiences[0].name = "Adults".into();
    assert_eq!(changed(&before, &after), (Vec::new(), 1));
}

#[test]
fn long_chains_of_references_are_divided_by_level() {
    let chain = (1..500).map(|n| audience(&format!("c{n:03}"), member(&format!("c{:03}", n - 1))));
    let first = audience("c000", number("age", 1));
    let packs = packs(&sorted(chain.chain([first]).collect()));
    assert_eq!(packs.len(), 500);
    assert_eq!(&*packs[499].module().audiences[0].id, "c499");
}
