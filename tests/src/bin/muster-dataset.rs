//! Writes real data as native messages to standard output: `muster-dataset cdnow > cdnow.ndjson`.

use clap::Parser;
use muster_tests::dataset::Dataset;
use std::io::Write;

#[derive(Parser)]
#[command(about = "Write a set of real data as native messages")]
struct Args {
    /// Which set.
    dataset: Dataset,
}

fn main() -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for message in Args::parse().dataset.messages()? {
        writeln!(out, "{message}")?;
    }
    Ok(out.flush()?)
}
