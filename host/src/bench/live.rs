//! From YAML to live modules.

use super::{Report, Scale, catalogue, rig};
use crate::guest::{Compiler, GuestEngine, GuestSettings};
use crate::ruleset::{RuleFiles, RulesetLoader};
use muster_core::Engine;
use muster_rules::Source;
use std::time::Instant;

pub(super) fn measure(scale: &Scale) -> anyhow::Result<Report> {
    let yaml = catalogue::definitions(1, scale.audiences);
    let mut report = Report::new(format!(
        "{} definitions ({} kB of YAML) to live modules",
        scale.audiences,
        yaml.len() / 1_000
    ));
    let compiler = Compiler::this_executable()?;
    let guests = GuestEngine::new(GuestSettings { compiler, ..GuestSettings::default() })?;
    let mut loader = RulesetLoader::new(guests, rig::settings(Engine::State));
    let files = |text: &str| RuleFiles {
        definitions: vec![Source { name: "catalogue.yaml".into(), text: text.to_string() }],
        ..RuleFiles::default()
    };
    let started = Instant::now();
    let definitions = muster_rules::check(&files(&yaml).definitions)
        .map_err(crate::ruleset::RulesetError::Invalid)?;
    report.add("of which parsing and checking", started.elapsed().as_secs_f64(), "s");
    let started = Instant::now();
    let packs = muster_rules::packs(&definitions);
    report.add("of which reducing and packing", started.elapsed().as_secs_f64(), "s");
    let started = Instant::now();
    let mut bytes = 0;
    for pack in &packs {
        bytes += pack.compile()?.len();
    }
    report.add(
        "of which compiling to components, one after another",
        started.elapsed().as_secs_f64(),
        "s",
    );
    let started = Instant::now();
    let ruleset = loader.load(&files(&yaml), Vec::new())?;
    report.add_with_goal("all of it", started.elapsed().as_secs_f64(), "s", "under 5 s");
    let changed = yaml.replacen("gte: 1 }", "gte: 2 }", 1);
    let started = Instant::now();
    loader.load(&files(&changed), Vec::new())?;
    report.add("again with one definition changed", started.elapsed().as_secs_f64(), "s");
    let sizes = ruleset.plan.sizes();
    report.add("modules", sizes.modules as f64, "");
    report.add("components", bytes as f64 / 1e6, "MB");
    report.add("conditions", sizes.conditions as f64, "");
    report.add("series", sizes.series as f64, "");
    Ok(report)
}
