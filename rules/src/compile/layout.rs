//! What lies where in a pack's memory. Everything has its place before the module is built, so that
//! the memory never grows.

use muster_core::Module;

/// The address of where `describe` says its answer is: a pointer and a length.
pub(super) const DESCRIBED: u32 = 16;

/// The address of where `evaluate` says its answer is: a pointer and a length.
pub(super) const DECIDED: u32 = 24;

/// The address of the conditions' truths, a byte each. It does not depend on the pack, so that the
/// code of an audience depends on its rule only.
pub(super) const TRUTHS: u32 = 32;

const PAGE_BYTES: u64 = 1 << 16;

/// Bytes of an index in a list.
const INDEX_BYTES: u32 = 4;

/// The largest alignment of anything handed over, that of a value.
const ALIGNMENT: u32 = 8;

/// `evaluate` is handed three lists, each of which may have to be aligned.
const LISTS: u32 = 3;

/// Where a pack's memory holds what.
pub(super) struct Layout {
    /// How many audiences there are.
    pub(super) audiences: u32,
    /// How many conditions there are.
    pub(super) conditions: u32,
    /// The address of the decisions, a byte for each audience asked for.
    pub(super) decisions: u32,
    /// The address of the manifest.
    pub(super) manifest: u32,
    /// The address of where arguments go: as many indices as there are audiences and conditions.
    pub(super) arena: u32,
    /// The address behind them.
    pub(super) arena_end: u32,
    /// How many pages of memory all of it takes.
    pub(super) pages: u64,
}

impl Layout {
    /// The manifest names every audience and condition in more bytes than the memory spends on
    /// them, so that its bound keeps all addresses far from overflow.
    pub(super) fn new(module: &Module, manifest: &str) -> Layout {
        let (audiences, conditions) =
            (module.audiences.len() as u32, module.conditions.len() as u32);
        let decisions = TRUTHS + conditions;
        let manifest_at = decisions + audiences;
        let arena = (manifest_at + manifest.len() as u32).next_multiple_of(ALIGNMENT);
        let arena_end = arena + INDEX_BYTES * (audiences + conditions) + LISTS * ALIGNMENT;
        let pages = u64::from(arena_end).div_ceil(PAGE_BYTES);
        Layout { audiences, conditions, decisions, manifest: manifest_at, arena, arena_end, pages }
    }
}
