use super::{SectionError, read_manifest_section, read_source_map};
use crate::definition::{Definition, Definitions, Location, Rule};
use crate::{manifest, packs};
use muster_core::{Comparison, Condition, Feature, Test, Value};
use wasmparser::{Parser, Payload, Validator, WasmFeatures};
use wit_component::DecodedWasm;

fn place(line: u32) -> Location {
    Location { file: "audiences.yaml".into(), line, column: 7 }
}

fn is(attribute: usize, line: u32) -> Rule {
    let feature = Feature::Attribute(format!("a{attribute:02}").into());
    let comparison = Comparison::new(vec![Test::Equal(Value::Boolean(true))]);
    Rule::Condition(Condition::Compare { feature, comparison }, place(line))
}

fn not(rule: Rule) -> Rule {
    Rule::Not(Box::new(rule))
}

fn definitions(rules: Vec<Rule>) -> Definitions {
    let audiences = rules.into_iter().enumerate().map(|(index, rule)| Definition {
        id: format!("audience-{index:03}").into(),
        name: "An audience".into(),
        rule,
        location: place(index as u32 + 1),
    });
    Definitions { audiences: audiences.collect() }
}

fn compile(rules: Vec<Rule>) -> Vec<u8> {
    let packs = packs(&definitions(rules));
    let [pack] = &packs[..] else { panic!("expected one pack") };
    pack.compile().unwrap()
}

fn core(component: &[u8]) -> Vec<u8> {
    let modules =
        Parser::new(0).parse_all(component).filter_map(|payload| match payload.unwrap() {
            Payload::ModuleSection { unchecked_range, .. } => Some(unchecked_range),
            _ => None,
        });
    component[modules.into_iter().next().unwrap()].to_vec()
}

/// The text of the wat-like operators of each function of audiences.
fn operators(component: &[u8]) -> Vec<Vec<String>> {
    let core = core(component);
    let bodies = Parser::new(0).parse_all(&core).filter_map(|payload| match payload.unwrap() {
        Payload::CodeSectionEntry(body) => Some(body),
        _ => None,
    });
    let functions = bodies.skip(super::entry::COUNT as usize).map(|body| {
        let operators = body.get_operators_reader().unwrap().into_iter();
        let names = operators.map(|operator| format!("{:?}", operator.unwrap()));
        names.map(|name| name.split([' ', '{']).next().unwrap().to_owned()).collect()
    });
    functions.collect()
}

#[test]
fn the_component_is_valid() {
    let wide = (0..300).map(|n| is(n, 2)).collect();
    let rules = vec![
        is(0, 2),
        Rule::Any(vec![is(0, 2), not(is(0, 3))]),
        Rule::All(vec![is(1, 3), not(is(1, 4))]),
        Rule::Any(wide),
        Rule::All(vec![is(1, 2), not(Rule::All(vec![is(2, 3), is(3, 4)]))]),
    ];
    let component = compile(rules);
    Validator::new_with_features(WasmFeatures::all()).validate_all(&component).unwrap();
}

#[test]
fn it_exports_the_contract_and_imports_nothing() {
    let decoded = wit_component::decode(&compile(vec![is(0, 2)])).unwrap();
    let DecodedWasm::Component(resolve, world) = decoded else { panic!("not a component") };
    let world = &resolve.worlds[world];
    assert!(world.imports.is_empty());
    let exports: Vec<String> =
        world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
    assert_eq!(exports, ["muster:rules/decisions@1.1.0"]);
}

#[test]
fn equal_packs_give_equal_bytes() {
    let rules = || vec![is(0, 2), Rule::Any(vec![is(1, 2), is(2, 3)])];
    assert_eq!(compile(rules()), compile(rules()));
}

#[test]
fn the_manifest_can_be_read_back() {
    let definitions = definitions(vec![is(0, 2), is(1, 3)]);
    let pack = &packs(&definitions)[0];
    let component = pack.compile().unwrap();
    assert_eq!(read_manifest_section(&component).unwrap(), manifest::write(pack.module()));
}

#[test]
fn the_source_map_leads_back_to_the_definitions() {
    let definitions = definitions(vec![Rule::All(vec![is(0, 20), is(1, 30)])]);
    let pack = &packs(&definitions)[0];
    let source_map = read_source_map(&pack.compile().unwrap()).unwrap();
    assert_eq!(source_map, pack.source_map());
    let audience = &source_map.audiences[0];
    assert_eq!(audience.location, place(1));
    let lines: Vec<u32> = audience.conditions.iter().map(|source| source.location.line).collect();
    assert_eq!(lines, [20, 30]);
    assert_eq!(source_map.locate(audience.function, 0), Some(&place(1)));
    let second = audience.conditions[1].offset;
    assert_eq!(source_map.locate(audience.function, second + 2), Some(&place(30)));
    assert_eq!(source_map.locate(0, 0), None);
}

#[test]
fn offsets_of_the_source_map_are_those_of_the_code() {
    let definitions = definitions(vec![Rule::All(vec![is(0, 20), is(1, 30), not(is(2, 40))])]);
    let pack = &packs(&definitions)[0];
    let core = core(&pack.compile().unwrap());
    let mut bodies = Parser::new(0).parse_all(&core).filter_map(|payload| match payload.unwrap() {
        Payload::CodeSectionEntry(body) => Some(body),
        _ => None,
    });
    let body = bodies.nth(super::entry::COUNT as usize).unwrap();
    let start = body.range().start;
    let operators = body.get_operators_reader().unwrap().into_iter_with_offsets();
    let looks: Vec<u32> = operators
        .map(|operator| operator.unwrap())
        .filter(|(operator, _)| matches!(operator, wasmparser::Operator::I32Const { .. }))
        .map(|(_, offset)| (offset - start) as u32)
        .collect();
    let source_map = pack.source_map();
    let offsets: Vec<u32> = source_map.audiences[0].conditions.iter().map(|c| c.offset).collect();
    assert_eq!(offsets, looks);
}

#[test]
fn negations_are_as_few_as_can_be() {
    let none_of = not(Rule::Any((0..10).map(|n| is(n, 2)).collect()));
    let mixed = Rule::All(vec![is(0, 2), not(is(1, 3)), is(2, 4)]);
    for (rule, expected) in [(none_of, 1), (mixed, 1)] {
        let operators = operators(&compile(vec![rule])).remove(0);
        assert_eq!(operators.iter().filter(|name| *name == "I32Eqz").count(), expected);
    }
}

#[test]
fn what_is_no_compiled_pack_is_refused() {
    let component = compile(vec![is(0, 2)]);
    let core = core(&component);
    let empty = wasm_encoder::Component::new().finish();
    let mut twice = component.clone();
    super::append_section(&mut twice, super::section::MANIFEST, b"{}");
    let damaged = &component[..component.len() / 2];
    let check = |bytes: &[u8], expected: &str| {
        assert_eq!(read_manifest_section(bytes).unwrap_err().to_string(), expected);
    };
    let foreign = "not a WebAssembly component; make one with `muster compile` or `muster build`";
    check(b"", foreign);
    check(&core, foreign);
    check(damaged, "the component is damaged; build it again");
    let missing = "the component has no section `muster:manifest`; build it again with the tools \
                   of this version";
    check(&empty, missing);
    check(&twice, "the component has section `muster:manifest` more than once; build it again");
    let mut other = empty.clone();
    super::append_section(&mut other, super::section::SOURCE_MAP, b"{\"source_map\":2}");
    assert!(matches!(read_source_map(&other), Err(SectionError::Malformed { .. })));
}
