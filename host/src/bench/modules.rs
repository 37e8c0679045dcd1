//! Many rule modules at once: how long until they are live, and what memory they take.

use super::{Report, rig};
use crate::guest::{Compiler, GuestEngine, GuestInstances, GuestSettings};
use crate::ruleset::{ComponentFile, RuleFiles, Ruleset, RulesetLoader};
use anyhow::Context;
use muster_core::{Engine, Question};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Measures deploying so many modules, each a component of its own: the given one under other names.
///
/// # Errors
/// When the component does not load, its names are too short to be told apart, or memory is not told.
pub fn measure_modules(component: &[u8], count: usize, folder: &Path) -> anyhow::Result<Report> {
    let artefacts = folder.join(format!("muster-modules-{}", std::process::id()));
    let report = measure(component, count, &artefacts);
    if artefacts.exists() {
        std::fs::remove_dir_all(&artefacts)
            .with_context(|| format!("cannot remove `{}`", artefacts.display()))?;
    }
    report
}

fn measure(component: &[u8], count: usize, artefacts: &Path) -> anyhow::Result<Report> {
    let mut loader = loader(artefacts)?;
    let described = loader.load(&files(vec![component.to_vec()]), Vec::new())?;
    let described = described.instances().modules()[0].module().clone();
    let mut names: Vec<Arc<str>> = described.audiences.iter().map(|a| a.id.clone()).collect();
    names.push(described.name.clone());
    names.sort();
    names.dedup();
    let component = |number: usize| renamed(component, &names, number);
    let many = files((0..count).map(component).collect::<anyhow::Result<_>>()?);
    let alone = files(vec![component(count)?]);
    let mut report = Report::new(format!(
        "{count} modules made of `{}` ({} kB, {} audiences), each a component of its own",
        described.name,
        many.components[0].bytes.len() / 1_000,
        described.audiences.len()
    ));

    let (_, one_s) = load(&mut loader, &alone)?;
    let before = resident_bytes()?;
    let (ruleset, live_s) = load(&mut loader, &many)?;
    let live = resident_bytes()?;
    let mut instances = ruleset.instances();
    let calls_s = call_all(&mut instances)?;
    let called = resident_bytes()?;
    let again_s = call_all(&mut instances)?;
    let each = |total: f64| total / count as f64;
    report.add("one, compiled and live", one_s * 1e3, "ms");
    report.add("all, compiled and live", live_s, "s");
    report.add("each of them", each(live_s) * 1e3, "ms");
    report.add("each of them, over one by itself", each(live_s) / one_s, "times");

    let mut more = many;
    more.components
        .push(ComponentFile { bytes: component(count + 1)?, ..alone.components[0].clone() });
    let (_, more_s) = load(&mut loader, &more)?;
    report.add("one more beside them, compiled and live", more_s * 1e3, "ms");
    more.components.pop();
    drop((ruleset, loader));
    let mut restarted = self::loader(artefacts)?;
    let (_, kept_s) = load(&mut restarted, &more)?;
    report.add("all, from code that was kept, as after a restart", kept_s * 1e3, "ms");
    report.add("compiled over kept", live_s / kept_s, "times");

    let megabytes = |bytes: f64| bytes / 1e6;
    report.add("memory (RSS) before, with the components", megabytes(before), "MB");
    report.add("memory when all are live", megabytes(live), "MB");
    report.add("memory when a worker has called each", megabytes(called), "MB");
    report.add("each of them, live", each(live - before) / 1e3, "kB");
    report.add("each of them, its instance", each(called - live) / 1e3, "kB");
    report.add("each of them, its component", more.components[0].bytes.len() as f64 / 1e3, "kB");
    report.add("the first call of each, with its instance", each(calls_s) * 1e6, "µs");
    report.add("a later call of each", each(again_s) * 1e6, "µs");
    Ok(report)
}

fn loader(artefacts: &Path) -> anyhow::Result<RulesetLoader> {
    let compiler = Compiler::this_executable()?;
    let artefacts = Some(artefacts.to_path_buf());
    let guests =
        GuestEngine::new(GuestSettings { compiler, artefacts, ..GuestSettings::default() })?;
    Ok(RulesetLoader::new(guests, rig::settings(Engine::State)))
}

fn files(components: Vec<Vec<u8>>) -> RuleFiles {
    let file = |bytes| ComponentFile { name: "module.wasm".into(), bytes };
    RuleFiles { components: components.into_iter().map(file).collect(), ..RuleFiles::default() }
}

/// The rules in force, and the seconds that this took.
fn load(loader: &mut RulesetLoader, files: &RuleFiles) -> anyhow::Result<(Ruleset, f64)> {
    let started = Instant::now();
    let ruleset = loader.load(files, Vec::new())?;
    Ok((ruleset, started.elapsed().as_secs_f64()))
}

/// Asks each module for all of its audiences, with nothing holding. Gives the seconds.
fn call_all(instances: &mut GuestInstances) -> anyhow::Result<f64> {
    let started = Instant::now();
    for module in 0..instances.modules().len() {
        let described = instances.modules()[module].module();
        let audiences: Vec<u32> = (0u32..).take(described.audiences.len()).collect();
        let values = vec![None; described.values.len()];
        let question = Question { module, audiences: &audiences, conditions: &[], values: &values };
        instances.evaluate(question)?;
    }
    Ok(started.elapsed().as_secs_f64())
}

/// The component under other names, each as long as the one before, so that nothing else moves.
fn renamed(component: &[u8], names: &[Arc<str>], number: usize) -> anyhow::Result<Vec<u8>> {
    let mut renamed = component.to_vec();
    let mut others = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let digits = format!("{index}-{number}");
        let width = name.len();
        anyhow::ensure!(
            digits.len() < width,
            "`{name}` is too short to be told apart in so many modules: measure one with longer names"
        );
        others.push((name.as_bytes(), format!("m{digits:->width$}", width = width - 1)));
    }
    // The longest first: a name may be the beginning of another.
    others.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    let mut at = 0;
    while at < renamed.len() {
        let other = others.iter().find(|(name, _)| component[at..].starts_with(name));
        at += match other {
            Some((name, other)) => {
                renamed[at..at + name.len()].copy_from_slice(other.as_bytes());
                name.len()
            }
            None => 1,
        };
    }
    Ok(renamed)
}

/// Bytes of this process in memory.
pub(super) fn resident_bytes() -> anyhow::Result<f64> {
    let status =
        std::fs::read_to_string("/proc/self/status").context("memory is read from /proc")?;
    let told = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: f64 = told
        .and_then(|told| told.trim().strip_suffix(" kB")?.parse().ok())
        .context("`/proc/self/status` does not tell `VmRSS` in kB")?;
    Ok(kilobytes * 1024.0)
}
