//! Rule modules written by hand, most of them hostile.

mod compile_bomb;

pub use compile_bomb::compile_bomb;

use muster::guest::componentise;
use muster_core::{
    Aggregate, Audience, Comparison, Condition, Feature, Module, Predicate, Selector, Test, Window,
};
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A component of the contract, around a few instructions in text form.
#[derive(Clone, Debug)]
pub struct Text {
    /// Core definitions.
    pub definitions: String,
    /// What `describe` does before it answers.
    pub describe: String,
    /// The body of `evaluate`; leaves the address of the answer.
    pub evaluate: String,
    /// The body of `select`, if there is one. A module without is one of the first contract, which
    /// had none.
    pub select: Option<String>,
    /// What `describe` says, and what the section says.
    pub manifests: (String, String),
}

/// What a hostile module does in one of its functions, now and then.
#[derive(Clone, Copy, Debug)]
pub struct Hostile {
    /// The file's name.
    pub name: &'static str,
    /// Instructions within the function.
    pub instructions: &'static str,
    /// What is told of it, behind the module's name, when it gets the default limits.
    pub told: &'static str,
}

macro_rules! hostile {
    ($($name:literal: $told:literal,)*) => {
        &[$(Hostile {
            name: $name,
            instructions: include_str!(concat!("../guests/hostile/", $name, ".wat")),
            told: $told,
        }),*]
    };
}

/// What modules try in `evaluate`, and what is told of them.
pub const HOSTILE: &[Hostile] = hostile! {
    "answer-out-of-bounds":
        " gave a wrong answer: list pointer/length out of bounds of memory",
    "deep-recursion":
        " needs more than 524288 bytes of stack: simplify it or raise \
         `modules.limits_of.hostile.stack_bytes`",
    "endless-loop":
        " took longer than 50ms in `evaluate`: simplify it or raise \
         `modules.limits_of.hostile.evaluate_time`",
    "huge-output":
        " needs more than 1048576 bytes for its answer: simplify it or raise \
         `modules.limits_of.hostile.output_bytes`",
    "memory-bomb":
        " needs 16842752 bytes of memory and may have 16777216: simplify it or raise \
         `modules.limits_of.hostile.memory_bytes`",
    "no-decisions":
        " gave a wrong answer: 0 decisions for 2 audiences",
    "table-bomb":
        " needs 100001 table elements and may have 100000: simplify it or raise \
         `modules.limits_of.hostile.table_elements`",
    "too-many-decisions":
        " gave a wrong answer: 3 decisions for 2 audiences",
    "trap":
        " trapped in `evaluate`: wasm `unreachable` instruction executed",
    "write-out-of-bounds":
        " trapped in `evaluate`: out of bounds memory access",
};

/// What of it modules try in `select` too, and what is told of them.
pub const HOSTILE_SELECTS: &[Hostile] = hostile! {
    "answer-out-of-bounds":
        " gave a wrong answer: list pointer/length out of bounds of memory",
    "endless-loop":
        " took longer than 50ms in `select`: simplify it or raise \
         `modules.limits_of.hostile.evaluate_time`",
    "huge-output":
        " needs more than 1048576 bytes for its answer: simplify it or raise \
         `modules.limits_of.hostile.output_bytes`",
    "memory-bomb":
        " needs 16842752 bytes of memory and may have 16777216: simplify it or raise \
         `modules.limits_of.hostile.memory_bytes`",
    "no-decisions":
        " gave a wrong answer: 0 answers where 2 were asked for",
    "too-many-decisions":
        " gave a wrong answer: 3 answers where 2 were asked for",
    "trap":
        " trapped in `select`: wasm `unreachable` instruction executed",
};

/// Answers every audience with the parity of the number of conditions and values.
pub const PARITY: &str = "
    (memory.fill (i32.const 1024)
        (i32.and (i32.const 1) (i32.add (local.get $conditions_len) (local.get $values_len)))
        (local.get $audiences_len))
    (i32.store (i32.const 512) (i32.const 1024))
    (i32.store (i32.const 516) (local.get $audiences_len))
    (i32.const 512)";

/// Accepts every event, by one predicate each.
pub const ALL: &str = "
    (memory.fill (i32.const 1024) (i32.const 1) (local.get $candidates_len))
    (i32.store (i32.const 512) (i32.const 1024))
    (i32.store (i32.const 516) (local.get $candidates_len))
    (i32.const 512)";

/// The manifest of a module of that name with no audiences of its own.
pub fn manifest(name: &str) -> String {
    manifest_with_predicates(name, &[])
}

/// The manifest of a module of that name with no audiences of its own, but predicates.
pub fn manifest_with_predicates(name: &str, predicates: &[&str]) -> String {
    muster_rules::manifest::write(&Module {
        name: name.into(),
        code: "".into(),
        predicates: predicates.iter().map(|&name| name.into()).collect(),
        conditions: vec![],
        values: vec![],
        audiences: vec![],
    })
}

/// A module that evaluates so.
pub fn module(name: &str, evaluate: &str) -> Text {
    let manifest = manifest(name);
    Text {
        definitions: String::new(),
        describe: String::new(),
        evaluate: evaluate.to_owned(),
        select: None,
        manifests: (manifest.clone(), manifest),
    }
}

/// The manifest of a module with one audience, which has the module's name and asks for any event
/// of that name; of any name when there is none.
pub fn manifest_asking_for(name: &str, event: Option<&str>) -> String {
    muster_rules::manifest::write(&asking_for(
        name,
        Selector::new(event.map(Into::into), vec![], vec![]),
    ))
}

/// The same, asking for events of that name which its one predicate accepts.
pub fn manifest_selecting(name: &str, event: &str) -> String {
    let predicate = Predicate { name: "PREDICATE".into(), code: "".into(), index: 0 };
    let selector = Selector::new(Some(event.into()), vec![], vec![]).matching(predicate);
    let predicates = vec!["PREDICATE".into()];
    muster_rules::manifest::write(&Module { predicates, ..asking_for(name, selector) })
}

fn asking_for(name: &str, selector: Selector) -> Module {
    let feature = Feature::Events {
        selector: selector.into(),
        aggregate: Aggregate::Count,
        of: None,
        window: Window::LIFETIME,
    };
    let comparison = Comparison::new(vec![Test::GreaterOrEqual(1.into())]);
    let audience = Audience {
        id: name.into(),
        name: name.into(),
        version: "1".into(),
        conditions: vec![0],
        values: vec![],
        requires: vec![],
        excludes: vec![],
    };
    Module {
        name: name.into(),
        code: "".into(),
        predicates: vec![],
        conditions: vec![Condition::Compare { feature, comparison }],
        values: vec![],
        audiences: vec![audience],
    }
}

impl Hostile {
    /// The module, named `hostile`: good but for what it does.
    pub fn module(&self) -> Text {
        failing(self.instructions)
    }
}

/// A module named `hostile` that does this when an odd number of conditions holds.
pub fn failing(instructions: &str) -> Text {
    let when = "(i32.and (local.get $conditions_len) (i32.const 1))";
    module("hostile", &format!("(if {when} (then {instructions})) {PARITY}"))
}

/// A module named `hostile` that does this when it is asked about an odd number of events.
pub fn failing_to_select(instructions: &str) -> Text {
    let when = "(i32.and (local.get $candidates_len) (i32.const 1))";
    let manifest = manifest_with_predicates("hostile", &["ONE", "OTHER"]);
    Text {
        select: Some(format!("(if {when} (then {instructions})) {ALL}")),
        manifests: (manifest.clone(), manifest),
        ..module("hostile", PARITY)
    }
}

impl Text {
    /// The component.
    ///
    /// # Errors
    /// When the instructions are none, or what they need is refused.
    pub fn component(&self) -> anyhow::Result<Vec<u8>> {
        Ok(componentise(&self.core()?)?)
    }

    /// The core module, as a compiler would write it.
    ///
    /// # Errors
    /// When the instructions are none.
    pub fn core(&self) -> anyhow::Result<Vec<u8>> {
        let mut core = wat::parse_str(self.text())?;
        let mut resolve = Resolve::default();
        let (contract, world) = match &self.select {
            None => (include_str!("../guests/contracts/1.0.0.wit"), "module"),
            Some(_) => (include_str!("../../wit/world.wit"), "selecting-module"),
        };
        let package = resolve.push_str("world.wit", contract)?;
        let world = resolve.select_world(&[package], Some(world))?;
        embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8)?;
        Ok(with_section(core, "muster:manifest", self.manifests.1.as_bytes()))
    }

    fn text(&self) -> String {
        let Text { definitions, describe, evaluate, select, manifests: (told, _) } = self;
        let version = if select.is_some() { "1.1.0" } else { "1.0.0" };
        let select = select.as_ref().map_or(String::new(), |select| {
            format!(
                r#"(func $select (export "muster:rules/selection@{version}#select")
            (param $candidates i32) (param $candidates_len i32) (result i32)
            {select})
        (func (export "cabi_post_muster:rules/selection@{version}#select") (param i32)
            (global.set $free (i32.const 4096)))"#
            )
        });
        let (told, length) = (told.replace('\\', "\\\\").replace('"', "\\\""), told.len());
        format!(
            r#"(module
        {definitions}
        (table $table 1 funcref)
        (memory (export "memory") 2)
        (data (i32.const 65536) "{told}")
        (global $free (mut i32) (i32.const 4096))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
            (global.set $free (i32.add (local.get $at) (local.get 3)))
            (local.get $at))
        (func $describe (export "muster:rules/decisions@{version}#describe") (result i32)
            {describe}
            (i32.store (i32.const 512) (i32.const 65536))
            (i32.store (i32.const 516) (i32.const {length}))
            (i32.const 512))
        (func $evaluate (export "muster:rules/decisions@{version}#evaluate")
            (param $audiences i32) (param $audiences_len i32)
            (param $conditions i32) (param $conditions_len i32)
            (param $values i32) (param $values_len i32) (result i32)
            {evaluate})
        (func (export "cabi_post_muster:rules/decisions@{version}#evaluate") (param i32)
            (global.set $free (i32.const 4096)))
        {select})"#
        )
    }
}

/// The module or component with a custom section.
pub fn with_section(mut bytes: Vec<u8>, name: &str, content: &[u8]) -> Vec<u8> {
    use muster_core::codec::{put_text, put_unsigned};
    let mut section = Vec::new();
    put_text(&mut section, name);
    section.extend_from_slice(content);
    bytes.push(0);
    put_unsigned(&mut bytes, section.len() as u64);
    bytes.extend_from_slice(&section);
    bytes
}
