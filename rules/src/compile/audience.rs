//! The function of one audience: its formula as arithmetic on bytes, without a loop or a branch.

use super::layout;
use crate::reduce::{Formula, Junction};
use wasm_encoder::{Function, MemArg};

/// Where in a function a condition is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// In bytes from the beginning of the function's body.
    pub(super) offset: u32,
    /// By its index in the pack.
    pub(super) condition: u32,
}

/// How many negations a formula takes as it is, and negated.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    plain: usize,
    negated: usize,
}

/// The function of a formula, and where it looks at conditions, in order.
pub(super) fn function(formula: &Formula) -> (Function, Vec<Mark>) {
    let (mut function, mut marks) = (Function::new([]), Vec::new());
    emit(&mut function, &mut marks, formula, false);
    function.instructions().end();
    (function, marks)
}

/// Leaves 1 on the stack when the formula holds, or, negated, when it does not; else 0.
fn emit(function: &mut Function, marks: &mut Vec<Mark>, formula: &Formula, negated: bool) {
    match formula {
        Formula::Literal { condition, negated: literal } => {
            marks.push(Mark { offset: function.byte_len() as u32, condition: *condition });
            let offset = u64::from(layout::TRUTHS + condition);
            let address = MemArg { offset, align: 0, memory_index: 0 };
            function.instructions().i32_const(0).i32_load8_u(address);
            if *literal != negated {
                function.instructions().i32_eqz();
            }
        }
        Formula::Join(junction, parts) => {
            // De Morgan: the parts are negated, or the whole is, whichever takes fewer negations.
            let cost = Cost::of_parts(parts);
            let outer = match negated {
                false => cost.negated + 1 < cost.plain,
                true => cost.plain + 1 < cost.negated,
            };
            emit_parts(function, marks, (*junction, parts), negated != outer);
            if outer {
                function.instructions().i32_eqz();
            }
        }
    }
}

fn emit_parts(
    function: &mut Function,
    marks: &mut Vec<Mark>,
    (junction, parts): (Junction, &[Formula]),
    negated: bool,
) {
    let junction = if negated { junction.dual() } else { junction };
    for (index, part) in parts.iter().enumerate() {
        emit(function, marks, part, negated);
        match junction {
            _ if index == 0 => {}
            Junction::All => {
                function.instructions().i32_and();
            }
            Junction::Any => {
                function.instructions().i32_or();
            }
        }
    }
    if parts.is_empty() {
        function.instructions().i32_const(i32::from(junction == Junction::All));
    }
}

impl Cost {
    fn of(formula: &Formula) -> Cost {
        match formula {
            Formula::Literal { negated: true, .. } => Cost { plain: 1, negated: 0 },
            Formula::Literal { negated: false, .. } => Cost { plain: 0, negated: 1 },
            Formula::Join(_, parts) => {
                let Cost { plain, negated } = Cost::of_parts(parts);
                Cost { plain: plain.min(negated + 1), negated: negated.min(plain + 1) }
            }
        }
    }

    fn of_parts(parts: &[Formula]) -> Cost {
        parts.iter().map(Cost::of).fold(Cost::default(), |sum, cost| Cost {
            plain: sum.plain + cost.plain,
            negated: sum.negated + cost.negated,
        })
    }
}
