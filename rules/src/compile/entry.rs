//! The functions that a host calls: `describe`, `evaluate`, and what makes room for arguments.

use super::layout::{self, Layout};
use wasm_encoder::{
    BlockType, Function, FunctionSection, InstructionSink, MemArg, TypeSection, ValType,
};

/// The index of `describe`.
pub(super) const DESCRIBE: u32 = 0;
/// The index of `evaluate`.
pub(super) const EVALUATE: u32 = 1;
/// The index of `cabi_realloc`.
pub(super) const REALLOC: u32 = 2;
/// How many functions come before those of the audiences.
pub(super) const COUNT: u32 = 3;
/// What they are called, by index.
pub(super) const NAMES: [&str; COUNT as usize] = ["describe", "evaluate", "cabi_realloc"];

/// The type of `describe` and of every audience: nothing in, an integer out.
pub(super) const TYPE_OF_AUDIENCES: u32 = 0;
const TYPE_OF_EVALUATE: u32 = 1;
const TYPE_OF_REALLOC: u32 = 2;

/// The global that holds the address of where the next argument goes.
const NEXT: u32 = 0;

// The parameters of `evaluate` (that of the values is not looked at, since a pack lists none), then
// its locals.
const AUDIENCES: u32 = 0;
const AUDIENCES_LENGTH: u32 = 1;
const CONDITIONS: u32 = 2;
const CONDITIONS_LENGTH: u32 = 3;
const AT: u32 = 6;
const END: u32 = 7;
const INDEX: u32 = 8;
const OUT: u32 = 9;
const EVALUATE_LOCALS: u32 = 4;

// The parameters of `cabi_realloc`, then its local.
const OLD_SIZE: u32 = 1;
const ALIGNMENT: u32 = 2;
const NEW_SIZE: u32 = 3;
const NEW: u32 = 4;

pub(super) fn declare(types: &mut TypeSection, functions: &mut FunctionSection) {
    for parameters in [0, 6, 4] {
        types.ty().function(vec![ValType::I32; parameters], [ValType::I32]);
    }
    for kind in [TYPE_OF_AUDIENCES, TYPE_OF_EVALUATE, TYPE_OF_REALLOC] {
        functions.function(kind);
    }
}

/// Gives the address of the manifest's pointer and length, which are data.
pub(super) fn describe() -> Function {
    let mut function = Function::new([]);
    function.instructions().i32_const(layout::DESCRIBED as i32).end();
    function
}

/// Marks what holds, decides, and clears the marks.
pub(super) fn evaluate(layout: &Layout) -> Function {
    let mut function = Function::new([(EVALUATE_LOCALS, ValType::I32)]);
    let mut code = function.instructions();
    trap_above(&mut code, AUDIENCES_LENGTH, layout.audiences);
    trap_above(&mut code, CONDITIONS_LENGTH, layout.conditions);
    mark(&mut code, layout, 1);
    decide(&mut code, layout);
    mark(&mut code, layout, 0);
    code.i32_const(layout.arena as i32).global_set(NEXT);
    code.i32_const(0).i32_const(layout.decisions as i32).i32_store(at(layout::DECIDED));
    code.i32_const(0).local_get(AUDIENCES_LENGTH).i32_store(at(layout::DECIDED + 4));
    code.i32_const(layout::DECIDED as i32).end();
    function
}

/// Stores `truth` for every condition handed over.
fn mark(code: &mut InstructionSink<'_>, layout: &Layout, truth: i32) {
    each_index(code, CONDITIONS, CONDITIONS_LENGTH, |code| {
        code.local_get(INDEX).i32_const(layout.conditions as i32).i32_ge_u();
        trap_if(code);
        code.local_get(INDEX).i32_const(truth).i32_store8(byte_at(layout::TRUTHS));
    });
}

/// Stores the decision on every audience asked for. The table bounds its index.
fn decide(code: &mut InstructionSink<'_>, layout: &Layout) {
    code.i32_const(layout.decisions as i32).local_set(OUT);
    each_index(code, AUDIENCES, AUDIENCES_LENGTH, |code| {
        code.local_get(OUT);
        code.local_get(INDEX).call_indirect(0, TYPE_OF_AUDIENCES).i32_store8(byte_at(0));
        code.local_get(OUT).i32_const(1).i32_add().local_set(OUT);
    });
}

/// Runs `body` with each index of a list in turn.
fn each_index(
    code: &mut InstructionSink<'_>,
    list: u32,
    length: u32,
    body: impl FnOnce(&mut InstructionSink<'_>),
) {
    code.local_get(list).local_tee(AT);
    code.local_get(length).i32_const(2).i32_shl().i32_add().local_set(END);
    code.block(BlockType::Empty).loop_(BlockType::Empty);
    code.local_get(AT).local_get(END).i32_eq().br_if(1);
    code.local_get(AT).i32_load(at(0)).local_set(INDEX);
    body(code);
    code.local_get(AT).i32_const(4).i32_add().local_set(AT);
    code.br(0).end().end();
}

/// Makes room behind what was made room for before, until the next call of `evaluate` ends. Nothing
/// that a pack takes has to grow after it was first made room for.
pub(super) fn realloc(layout: &Layout) -> Function {
    let mut function = Function::new([(1, ValType::I32)]);
    let mut code = function.instructions();
    trap_above(&mut code, OLD_SIZE, 0);
    code.global_get(NEXT).local_get(ALIGNMENT).i32_add().i32_const(1).i32_sub();
    code.i32_const(0).local_get(ALIGNMENT).i32_sub().i32_and().local_set(NEW);
    code.local_get(NEW).global_get(NEXT).i32_lt_u();
    trap_if(&mut code);
    trap_above(&mut code, NEW, layout.arena_end);
    code.local_get(NEW_SIZE).i32_const(layout.arena_end as i32).local_get(NEW).i32_sub().i32_gt_u();
    trap_if(&mut code);
    code.local_get(NEW).local_get(NEW_SIZE).i32_add().global_set(NEXT);
    code.local_get(NEW).end();
    function
}

fn trap_above(code: &mut InstructionSink<'_>, local: u32, most: u32) {
    code.local_get(local).i32_const(most as i32).i32_gt_u();
    trap_if(code);
}

fn trap_if(code: &mut InstructionSink<'_>) {
    code.if_(BlockType::Empty).unreachable().end();
}

/// Four bytes at that address past the operand.
fn at(offset: u32) -> MemArg {
    MemArg { offset: u64::from(offset), align: 2, memory_index: 0 }
}

/// One byte at that address past the operand.
fn byte_at(offset: u32) -> MemArg {
    MemArg { offset: u64::from(offset), align: 0, memory_index: 0 }
}
