//! Writes a hostile guest to standard output: `muster-hostile endless-loop > hostile.wasm`.

use anyhow::Context;
use clap::Parser;
use muster_tests::guests::{HOSTILE, Text, manifest_asking_for};
use std::io::Write;

#[derive(Parser)]
#[command(about = "Write a rule module that does harm, as `tests/guests/hostile` has it")]
struct Args {
    /// Which, by the name of its file.
    name: String,
}

fn main() -> anyhow::Result<()> {
    let name = Args::parse().name;
    let hostile = HOSTILE.iter().find(|hostile| hostile.name == name);
    let hostile = hostile.with_context(|| format!("no `{name}` in `tests/guests/hostile`"))?;
    let manifest = manifest_asking_for("hostile", None);
    let text = Text { manifests: (manifest.clone(), manifest), ..hostile.module() };
    Ok(std::io::stdout().write_all(&text.component()?)?)
}
