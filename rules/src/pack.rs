//! Packs: a workspace's audiences divided into modules of a few hundred.
//!
//! An audience's level is 0 when it refers to no other, else one more than the highest level that
//! it refers to. A pack holds the audiences of one level whose ids hash into one bucket. So no pack
//! refers to itself, references between packs have no cycles, and changing one audience changes its
//! pack alone.

use crate::compile::{self, CompileError, SourceMap};
use crate::definition::{Definition, Definitions, Location};
use crate::reduce::{Formula, Junction, Reduced, reduce};
use muster_core::{Audience, AudienceKey, Condition, Module};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// Audiences of one level up to which a pack is not divided: few enough that changing one
/// recompiles little, enough that crossing into a module is shared by many.
const PACK_AUDIENCES: usize = 256;

/// Bytes of a hash that make a version: 128 bits never meet by chance.
const VERSION_BYTES: usize = 16;

/// Part of every content key, to be raised whenever the same audiences compile to other code.
const COMPILER_VERSION: u32 = 2;

/// One pack of audiences, ready to be compiled.
#[derive(Clone, Debug)]
pub struct PackSource {
    module: Module,
    rules: Vec<PackRule>,
    key: [u8; 32],
}

/// How one audience of a pack is decided.
#[derive(Clone, Debug)]
pub(crate) struct PackRule {
    /// Over indices into the pack's conditions.
    pub(crate) formula: Formula,
    /// Where the audience begins.
    pub(crate) location: Location,
    /// Where its conditions were first written, by index into the pack's conditions, ascending.
    pub(crate) places: Vec<(u32, Location)>,
}

struct Member<'a> {
    definition: &'a Definition,
    reduced: Reduced,
    version: Arc<str>,
}

/// Divides definitions into packs, sorted by level, then by bucket; none is empty.
pub fn packs(definitions: &Definitions) -> Vec<PackSource> {
    let audiences = &definitions.audiences;
    let reduced: Vec<Reduced> = audiences.iter().map(|audience| reduce(&audience.rule)).collect();
    let order = by_level(audiences, &reduced);
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for level in order.levels.iter() {
        *counts.entry(*level).or_default() += 1;
    }
    let versions = versions(audiences, &reduced, &order.sequence);
    let mut buckets: BTreeMap<(u32, u64), Vec<Member<'_>>> = BTreeMap::new();
    for (index, (definition, reduced)) in audiences.iter().zip(reduced).enumerate() {
        let level = order.levels[index];
        let bucket = bucket(&definition.id, counts[&level]);
        let version = versions[index].clone();
        buckets.entry((level, bucket)).or_default().push(Member { definition, reduced, version });
    }
    buckets
        .into_iter()
        .map(|((level, bucket), members)| pack(&format!("definitions-{level}-{bucket}"), &members))
        .collect()
}

impl PackSource {
    /// What decides the compiled code: equal keys mean components that behave alike and have the
    /// same manifest, so that one compiled earlier can be taken. Places in files are left out; a
    /// component taken by its key may carry a source map of places that have moved since, which
    /// [`PackSource::source_map`] gives as they are.
    pub fn key(&self) -> [u8; 32] {
        self.key
    }

    /// What the compiled module says of itself.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Where in the definition files the compiled code comes from.
    pub fn source_map(&self) -> SourceMap {
        compile::source_map(&self.module, &self.rules)
    }

    /// The bytes of a component of the world `muster:rules/module`, with the custom sections
    /// `muster:manifest` and `muster:source-map`. Equal packs give equal bytes.
    ///
    /// # Errors
    /// When the pack is too large for a module.
    pub fn compile(&self) -> Result<Vec<u8>, CompileError> {
        compile::component(&self.module, &self.rules)
    }
}

/// Which bucket of a level an id belongs to, in a level of that many audiences.
fn bucket(id: &str, audiences: usize) -> u64 {
    let buckets = (audiences / PACK_AUDIENCES).max(1).next_power_of_two() as u64;
    AudienceKey::of(id).bits() & (buckets - 1)
}

struct Order {
    /// The level of each audience.
    levels: Vec<u32>,
    /// All audiences, each behind what it refers to.
    sequence: Vec<usize>,
}

fn references(reduced: &Reduced) -> impl Iterator<Item = &Arc<str>> {
    reduced.conditions.iter().filter_map(|placed| match &placed.condition {
        Condition::Member(id) => Some(id),
        Condition::Compare { .. } => None,
    })
}

/// Levels by repeatedly taking what refers only to what was taken, so that long chains need no
/// deep recursion.
fn by_level(audiences: &[Definition], reduced: &[Reduced]) -> Order {
    let places: HashMap<&str, usize> =
        audiences.iter().enumerate().map(|(index, audience)| (&*audience.id, index)).collect();
    let mut waits_for = vec![0usize; audiences.len()];
    let mut awaited_by: Vec<Vec<usize>> = vec![Vec::new(); audiences.len()];
    for (index, reduced) in reduced.iter().enumerate() {
        for place in references(reduced).filter_map(|id| places.get(&**id)) {
            waits_for[index] += 1;
            awaited_by[*place].push(index);
        }
    }
    let mut levels = vec![0u32; audiences.len()];
    let mut sequence: Vec<usize> =
        (0..audiences.len()).filter(|index| waits_for[*index] == 0).collect();
    let mut next = 0;
    while let Some(taken) = sequence.get(next).copied() {
        next += 1;
        for index in &awaited_by[taken] {
            levels[*index] = levels[*index].max(levels[taken] + 1);
            waits_for[*index] -= 1;
            if waits_for[*index] == 0 {
                sequence.push(*index);
            }
        }
    }
    assert_eq!(sequence.len(), audiences.len(), "checked definitions have no cycles");
    Order { levels, sequence }
}

/// The version of each audience: the hash of its reduced rule and of the versions of what it refers
/// to, so that neither its name nor its layout nor an equivalent wording changes it.
fn versions(audiences: &[Definition], reduced: &[Reduced], sequence: &[usize]) -> Vec<Arc<str>> {
    let mut known: HashMap<&str, Arc<str>> = HashMap::with_capacity(audiences.len());
    let mut versions: Vec<Arc<str>> = vec!["".into(); audiences.len()];
    for index in sequence {
        let reduced = &reduced[*index];
        let mut hash = Sha256::new();
        put(&mut hash, formula_text(&reduced.formula).as_bytes());
        for placed in &reduced.conditions {
            put(&mut hash, placed.text.as_bytes());
        }
        for id in references(reduced) {
            put(&mut hash, known.get(&**id).map_or(&[][..], |version| version.as_bytes()));
        }
        let version: Arc<str> = hexadecimal(&hash.finalize()[..VERSION_BYTES]).into();
        known.insert(&audiences[*index].id, version.clone());
        versions[*index] = version;
    }
    versions
}

fn pack(name: &str, members: &[Member<'_>]) -> PackSource {
    let distinct: BTreeMap<Arc<str>, &Condition> = members
        .iter()
        .flat_map(|member| &member.reduced.conditions)
        .map(|placed| (placed.text.clone(), &placed.condition))
        .collect();
    let ranks: HashMap<&str, u32> = distinct.keys().map(|text| &**text).zip(0..).collect();
    let mut audiences = Vec::with_capacity(members.len());
    let mut rules = Vec::with_capacity(members.len());
    for member in members {
        let (definition, reduced) = (member.definition, &member.reduced);
        // Both orders are that of the texts, so that indices stay ascending.
        let numbers: Vec<u32> =
            reduced.conditions.iter().map(|placed| ranks[&*placed.text]).collect();
        let mut formula = reduced.formula.clone();
        formula.each_condition(&mut |condition| *condition = numbers[*condition as usize]);
        let (requires, excludes) = formula.essentials();
        let places = numbers.iter().copied();
        let places = places.zip(reduced.conditions.iter().map(|placed| placed.location.clone()));
        let (location, places) = (definition.location.clone(), places.collect());
        rules.push(PackRule { formula, location, places });
        audiences.push(Audience {
            id: definition.id.clone(),
            name: definition.name.clone(),
            version: member.version.clone(),
            conditions: numbers,
            values: Vec::new(),
            requires,
            excludes,
        });
    }
    let conditions = distinct.values().map(|condition| (*condition).clone()).collect();
    let (name, predicates, values) = (name.into(), Vec::new(), Vec::new());
    let module = Module { name, code: "".into(), predicates, conditions, values, audiences };
    let key = key(&module, distinct.keys(), &rules);
    PackSource { module, rules, key }
}

fn key<'a>(
    module: &Module,
    texts: impl Iterator<Item = &'a Arc<str>>,
    rules: &[PackRule],
) -> [u8; 32] {
    let mut hash = Sha256::new();
    put(&mut hash, &COMPILER_VERSION.to_le_bytes());
    put(&mut hash, env!("CARGO_PKG_VERSION").as_bytes());
    put(&mut hash, compile::WORLD.as_bytes());
    put(&mut hash, module.name.as_bytes());
    put(&mut hash, &(module.conditions.len() as u64).to_le_bytes());
    texts.for_each(|text| put(&mut hash, text.as_bytes()));
    for (audience, rule) in module.audiences.iter().zip(rules) {
        for part in [&audience.id, &audience.name, &audience.version] {
            put(&mut hash, part.as_bytes());
        }
        put(&mut hash, formula_text(&rule.formula).as_bytes());
    }
    hash.finalize().into()
}

/// Hashes bytes behind their length, so that different parts never hash alike.
fn put(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

fn formula_text(formula: &Formula) -> String {
    let mut text = String::new();
    write_formula(&mut text, formula);
    text
}

fn write_formula(out: &mut String, formula: &Formula) {
    match formula {
        Formula::Literal { condition, negated } => {
            out.push_str(if *negated { "!" } else { "" });
            out.push_str(&condition.to_string());
        }
        Formula::Join(junction, parts) => {
            out.push_str(match junction {
                Junction::All => "all(",
                Junction::Any => "any(",
            });
            for part in parts {
                write_formula(out, part);
                out.push(' ');
            }
            out.push(')');
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        if write!(text, "{byte:02x}").is_err() {
            unreachable!("writing to a string does not fail");
        }
    }
    text
}
