//! From a pack to a WebAssembly component of the world `muster:rules/module`.
//!
//! The component wraps one core module: a byte of memory for each condition, and for each audience
//! one function without loops that computes its rule over them. `evaluate` sets the bytes of the
//! conditions that hold, calls the function of each audience asked for through a table, and clears
//! the bytes again. Whatever a host hands over that a pack cannot have (an index out of range, more
//! of anything than there is) traps.

use crate::definition::Location;
use crate::manifest;
use crate::pack::PackRule;
use layout::Layout;
use muster_core::Module;
use std::borrow::Cow;
use std::error::Error;
use std::sync::{Arc, LazyLock};
use wasm_encoder::{
    CodeSection, ConstExpr, CustomSection, DataSection, ElementSection, Elements, Encode as _,
    ExportKind, ExportSection, Function, FunctionSection, GlobalSection, GlobalType, MemorySection,
    MemoryType, NameMap, NameSection, RefType, Section as _, TableSection, TableType, TypeSection,
    ValType,
};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

mod audience;
mod entry;
mod layout;
mod section;
mod source_map;
#[cfg(test)]
mod tests;

pub(crate) use section::read_manifest_section;
pub use section::{SectionError, read_source_map};
pub use source_map::{AudienceSource, ConditionSource, SourceMap};

/// The contract that components are built against.
pub(crate) const WORLD: &str = include_str!("../../wit/world.wit");

/// Bytes of a manifest, as the contract bounds them.
const MANIFEST_BYTES_MAX: usize = 64 << 20;

/// Bytes of one function's code, beyond which WebAssembly engines refuse a module.
const FUNCTION_BYTES_MAX: usize = 7_654_321;

/// The interface that a module exports, as its core functions are named after.
const INTERFACE: &str = "muster:rules/decisions@1.1.0";

/// Why a pack did not compile.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// What the pack needs to be described does not fit a manifest.
    #[error(
        "pack `{pack}` has a manifest of {bytes} bytes, more than {MANIFEST_BYTES_MAX}; shorten \
         the lists and texts of its audiences"
    )]
    ManifestTooLong {
        /// The pack's name.
        pack: Arc<str>,
        /// How long its manifest is.
        bytes: usize,
    },
    /// A rule is too long for one function.
    #[error(
        "audience `{audience}` compiles to {bytes} bytes, more than {FUNCTION_BYTES_MAX}; divide \
         its rule among several audiences and refer to them"
    )]
    RuleTooLong {
        /// The audience's id.
        audience: Arc<str>,
        /// How long its code is.
        bytes: usize,
        /// Where it is defined.
        location: Location,
    },
    /// The code was refused by what wraps it into a component, which no definition should cause.
    #[error("pack `{pack}` did not become a component; report this together with its definitions")]
    Component {
        /// The pack's name.
        pack: Arc<str>,
        /// What was refused.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// The interface types of the contract, as the section of a core module that componentising reads.
/// Resolved once, since every pack needs the same.
static CONTRACT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut resolve = Resolve::default();
    let package = resolve.push_source("world.wit", WORLD).expect("the embedded contract is valid");
    let world =
        resolve.select_world(&[package], Some("module")).expect("the contract has the world");
    wit_component::metadata::encode(&resolve, world, StringEncoding::UTF8, None)
        .expect("the world of the contract can be encoded")
});

/// The component of a pack; see [`crate::PackSource::compile`].
pub(crate) fn component(module: &Module, rules: &[PackRule]) -> Result<Vec<u8>, CompileError> {
    let manifest = manifest::write(module);
    if manifest.len() > MANIFEST_BYTES_MAX {
        let (pack, bytes) = (module.name.clone(), manifest.len());
        return Err(CompileError::ManifestTooLong { pack, bytes });
    }
    let core = core_module(module, rules, &manifest)?;
    let mut component = ComponentEncoder::default()
        .module(&core)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|source| CompileError::Component {
            pack: module.name.clone(),
            source: source.into(),
        })?;
    let source_map = source_map(module, rules).to_json();
    append_section(&mut component, section::MANIFEST, manifest.as_bytes());
    append_section(&mut component, section::SOURCE_MAP, source_map.as_bytes());
    Ok(component)
}

/// Where the code of a pack comes from.
pub(crate) fn source_map(module: &Module, rules: &[PackRule]) -> SourceMap {
    let functions = entry::COUNT..;
    let audiences = module.audiences.iter().zip(rules).zip(functions);
    let sources = audiences.map(|((audience, rule), function)| {
        let (_, marks) = audience::function(&rule.formula);
        let conditions = marks.iter().filter_map(|mark| {
            let place = rule.places.binary_search_by_key(&mark.condition, |place| place.0).ok()?;
            let location = rule.places[place].1.clone();
            Some(ConditionSource { offset: mark.offset, condition: mark.condition, location })
        });
        let (id, location) = (audience.id.clone(), rule.location.clone());
        AudienceSource { id, function, location, conditions: conditions.collect() }
    });
    SourceMap { audiences: sources.collect() }
}

fn core_module(
    module: &Module,
    rules: &[PackRule],
    manifest: &str,
) -> Result<Vec<u8>, CompileError> {
    let layout = Layout::new(module, manifest);
    let (mut types, mut functions, mut code) =
        (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    entry::declare(&mut types, &mut functions);
    for function in [entry::describe(), entry::evaluate(&layout), entry::realloc(&layout)] {
        code.function(&function);
    }
    for (audience, rule) in module.audiences.iter().zip(rules) {
        let (function, _) = audience::function(&rule.formula);
        refuse_too_long(&audience.id, rule, &function)?;
        functions.function(entry::TYPE_OF_AUDIENCES);
        code.function(&function);
    }
    let mut core = wasm_encoder::Module::new();
    core.section(&types).section(&functions);
    core.section(&table(&layout)).section(&memory(&layout)).section(&globals(&layout));
    core.section(&exports()).section(&elements(&layout)).section(&code);
    core.section(&data(&layout, manifest)).section(&names(module));
    core.section(&CustomSection { name: "component-type".into(), data: Cow::Borrowed(&CONTRACT) });
    Ok(core.finish())
}

fn refuse_too_long(
    id: &Arc<str>,
    rule: &PackRule,
    function: &Function,
) -> Result<(), CompileError> {
    let bytes = function.byte_len();
    if bytes <= FUNCTION_BYTES_MAX {
        return Ok(());
    }
    let (audience, location) = (id.clone(), rule.location.clone());
    Err(CompileError::RuleTooLong { audience, bytes, location })
}

fn table(layout: &Layout) -> TableSection {
    let size = u64::from(layout.audiences);
    let mut tables = TableSection::new();
    tables.table(TableType {
        element_type: RefType::FUNCREF,
        table64: false,
        minimum: size,
        maximum: Some(size),
        shared: false,
    });
    tables
}

fn memory(layout: &Layout) -> MemorySection {
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: layout.pages,
        maximum: Some(layout.pages),
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    memories
}

/// The one global is where the next argument goes.
fn globals(layout: &Layout) -> GlobalSection {
    let mut globals = GlobalSection::new();
    let kind = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
    globals.global(kind, &ConstExpr::i32_const(layout.arena as i32));
    globals
}

fn exports() -> ExportSection {
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    exports.export("cabi_realloc", ExportKind::Func, entry::REALLOC);
    exports.export(&format!("{INTERFACE}#describe"), ExportKind::Func, entry::DESCRIBE);
    exports.export(&format!("{INTERFACE}#evaluate"), ExportKind::Func, entry::EVALUATE);
    exports
}

fn elements(layout: &Layout) -> ElementSection {
    let functions: Vec<u32> = (entry::COUNT..entry::COUNT + layout.audiences).collect();
    let mut elements = ElementSection::new();
    let functions = Elements::Functions(Cow::Owned(functions));
    elements.active(None, &ConstExpr::i32_const(0), functions);
    elements
}

fn data(layout: &Layout, manifest: &str) -> DataSection {
    let mut data = DataSection::new();
    let described = [layout.manifest, manifest.len() as u32].map(u32::to_le_bytes).concat();
    data.active(0, &ConstExpr::i32_const(layout::DESCRIBED as i32), described);
    data.active(0, &ConstExpr::i32_const(layout.manifest as i32), manifest.bytes());
    data
}

/// Functions are named by their audiences, so that a trap's backtrace names them.
fn names(module: &Module) -> NameSection {
    let mut functions = NameMap::new();
    for (index, name) in (0..).zip(entry::NAMES) {
        functions.append(index, name);
    }
    for (index, audience) in (entry::COUNT..).zip(&module.audiences) {
        functions.append(index, &audience.id);
    }
    let mut names = NameSection::new();
    names.module(&module.name);
    names.functions(&functions);
    names
}

fn append_section(component: &mut Vec<u8>, name: &str, data: &[u8]) {
    let section = CustomSection { name: name.into(), data: data.into() };
    component.push(section.id());
    section.encode(component);
}
