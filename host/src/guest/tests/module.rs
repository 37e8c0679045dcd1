//! Small modules written by hand.

use crate::guest::{GuestEngine, GuestSettings, LoadedModule, componentise};
use muster_core::{Module, Question};
use std::time::Duration;
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A component of the contract, around a few instructions in text form.
pub(super) struct Text {
    /// Core definitions.
    pub(super) definitions: &'static str,
    /// The body of `evaluate`; leaves the address of the answer.
    pub(super) evaluate: String,
    /// What `describe` says, and what the section says.
    pub(super) manifests: (String, String),
}

/// Answers every audience with the parity of the number of conditions and values.
pub(super) const PARITY: &str = "
    (memory.fill (i32.const 1024)
        (i32.and (i32.const 1) (i32.add (local.get $conditions_len) (local.get $values_len)))
        (local.get $audiences_len))
    (i32.store (i32.const 512) (i32.const 1024))
    (i32.store (i32.const 516) (local.get $audiences_len))
    (i32.const 512)";

/// The manifest of a module of that name with no audiences of its own.
pub(super) fn manifest(name: &str) -> String {
    let module =
        Module { name: name.into(), conditions: vec![], values: vec![], audiences: vec![] };
    muster_rules::manifest::write(&module)
}

/// A module that evaluates so.
pub(super) fn module(name: &str, evaluate: &str) -> Text {
    let manifest = manifest(name);
    Text { definitions: "", evaluate: evaluate.to_owned(), manifests: (manifest.clone(), manifest) }
}

impl Text {
    pub(super) fn component(&self) -> Vec<u8> {
        componentise(&self.core()).unwrap()
    }

    /// The core module, as a compiler would write it.
    pub(super) fn core(&self) -> Vec<u8> {
        let mut core = wat::parse_str(self.text()).unwrap();
        let mut resolve = Resolve::default();
        let package = resolve.push_str("world.wit", include_str!("../../../../wit/world.wit"));
        let world = resolve.select_world(&[package.unwrap()], Some("module")).unwrap();
        embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
        with_section(core, &self.manifests.1)
    }

    fn text(&self) -> String {
        let Text { definitions, evaluate, manifests: (told, _) } = self;
        let (told, length) = (told.replace('\\', "\\\\").replace('"', "\\\""), told.len());
        format!(
            r#"(module
        {definitions}
        (memory (export "memory") 2)
        (data (i32.const 65536) "{told}")
        (global $free (mut i32) (i32.const 4096))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
            (global.set $free (i32.add (local.get $at) (local.get 3)))
            (local.get $at))
        (func (export "muster:rules/decisions@1.0.0#describe") (result i32)
            (i32.store (i32.const 512) (i32.const 65536))
            (i32.store (i32.const 516) (i32.const {length}))
            (i32.const 512))
        (func $evaluate (export "muster:rules/decisions@1.0.0#evaluate")
            (param $audiences i32) (param $audiences_len i32)
            (param $conditions i32) (param $conditions_len i32)
            (param $values i32) (param $values_len i32) (result i32)
            {evaluate})
        (func (export "cabi_post_muster:rules/decisions@1.0.0#evaluate") (param i32)
            (global.set $free (i32.const 4096))))"#
        )
    }
}

/// The module or component with a manifest in its custom section.
pub(super) fn with_section(mut bytes: Vec<u8>, manifest: &str) -> Vec<u8> {
    let name = b"muster:manifest";
    let mut section = vec![name.len() as u8];
    section.extend_from_slice(name);
    section.extend_from_slice(manifest.as_bytes());
    bytes.push(0);
    muster_core::codec::put_unsigned(&mut bytes, section.len() as u64);
    bytes.extend_from_slice(&section);
    bytes
}

/// An engine with small limits.
pub(super) fn engine() -> GuestEngine {
    let evaluate_time_max = Duration::from_millis(30);
    GuestEngine::new(GuestSettings { evaluate_time_max, ..GuestSettings::default() }).unwrap()
}

/// Loads it with that engine.
pub(super) fn load(engine: &GuestEngine, text: &Text) -> LoadedModule {
    engine.load(&text.component()).unwrap()
}

/// A question to that module with two audiences and as many conditions.
pub(super) fn question(module: usize, conditions: &[u32]) -> Question<'_> {
    Question { module, audiences: &[0, 1], conditions, values: &[] }
}
