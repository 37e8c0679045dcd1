//! How long a module takes to answer.

use crate::guest::error::GuestError;
use crate::guest::instances::GuestInstances;
use crate::guest::module::LoadedModule;
use muster_core::{Question, Value};
use std::time::{Duration, Instant};

/// Calls before those that are measured, so that memory is where it will be.
const WARM_CALLS: usize = 200;
/// A text and a number, as long as usual ones.
const TEXT: &str = "a usual text";

/// How long calls took that ask for all audiences of a module.
#[derive(Clone, Copy, Debug)]
pub struct CallTimes {
    /// Half of the calls took no longer.
    pub median: Duration,
    /// Of a hundred calls, 99 took no longer.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
    /// An instance made, and the first call answered.
    pub first: Duration,
}

/// Measures so many calls of a module, at least one: every second with all of its conditions
/// holding, the others with none.
///
/// # Errors
/// When a call fails.
pub fn measure_calls(module: &LoadedModule, calls: usize) -> Result<CallTimes, GuestError> {
    let described = module.module();
    let all = |length: usize| (0u32..).take(length).collect::<Vec<u32>>();
    let audiences = all(described.audiences.len());
    let conditions = all(described.conditions.len());
    let values: Vec<Option<Value>> = (0..described.values.len())
        .map(|at| match at % 3 {
            0 => Some(Value::Number(100.into())),
            1 => Some(Value::text(TEXT)),
            _ => None,
        })
        .collect();
    let mut instances = GuestInstances::new(vec![module.clone()]);
    let mut call = |at: usize| {
        let conditions: &[u32] = if at.is_multiple_of(2) { &conditions } else { &[] };
        let question = Question { module: 0, audiences: &audiences, conditions, values: &values };
        let begun = Instant::now();
        instances.evaluate(question)?;
        Ok::<Duration, GuestError>(begun.elapsed())
    };
    let first = call(0)?;
    for at in 0..WARM_CALLS {
        call(at)?;
    }
    let times: Result<Vec<Duration>, GuestError> = (0..calls.max(1)).map(&mut call).collect();
    let mut times = times?;
    times.sort();
    let quantile = |percent: usize| times[(times.len() - 1) * percent / 100];
    Ok(CallTimes { median: quantile(50), p99: quantile(99), max: quantile(100), first })
}
