//! `muster new`

use super::{Exit, Format, output};
use anyhow::Context;
use std::path::{Path, PathBuf};

/// The files of a new crate.
const FILES: [(&str, &str); 4] = [
    ("Cargo.toml", include_str!("new/Cargo.toml.template")),
    ("src/lib.rs", include_str!("new/lib.rs.template")),
    ("cases/refunds.txt", include_str!("new/refunds.txt.template")),
    (".gitignore", "/target\n"),
];
/// The SDK beside which this program was built, if it is still there.
const SDK_HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../guest-sdk");
const SDK_REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  muster new shop-rules
  cd shop-rules && cargo test && muster build && muster test")]
pub(super) struct Args {
    /// The crate's name, and that of its folder.
    #[arg(value_parser = parse_name)]
    name: String,
    /// The folder of the guest SDK; without it, the one that this program was built beside, or else
    /// the repository's.
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

fn parse_name(name: &str) -> Result<String, String> {
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if begins && name.chars().all(is_name) {
        return Ok(name.to_owned());
    }
    Err("write lowercase letters, digits and `-`, a letter first, as in `shop-rules`".to_owned())
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<Exit> {
    let folder = Path::new(&args.name);
    if folder.exists() {
        anyhow::bail!("`{}` is there already: write another name", args.name);
    }
    let sdk = dependency(args.sdk.as_deref())?;
    for (file, text) in FILES {
        let path = folder.join(file);
        let unwritable = || format!("cannot write `{}`", path.display());
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).with_context(unwritable)?;
        let text = text.replace("{name}", &args.name).replace("{sdk}", &sdk);
        std::fs::write(&path, text).with_context(unwritable)?;
    }
    let name = &args.name;
    output::note(&match format {
        Format::Text => format!(
            "`{name}` is made: the rules are in src/lib.rs, what they must do in cases/\n\n  \
             cd {name}\n  cargo test     # the rules, with simulated users\n  \
             muster build   # target/muster/{name}.wasm\n  muster test    # the component, on cases/"
        ),
        Format::Json => serde_json::json!({ "crate": name }).to_string(),
    });
    Ok(Exit::Done)
}

/// What cargo depends on: a folder, or the repository.
fn dependency(given: Option<&Path>) -> anyhow::Result<String> {
    let folder = match given {
        Some(folder) if !folder.join("Cargo.toml").is_file() => {
            anyhow::bail!("no crate in `{}`: name the folder `guest-sdk`", folder.display())
        }
        Some(folder) => Some(folder),
        None => Some(Path::new(SDK_HERE)).filter(|folder| folder.join("Cargo.toml").is_file()),
    };
    Ok(match folder {
        Some(folder) => {
            let folder = folder.canonicalize()?;
            // Quoted as TOML quotes.
            format!("path = {:?}", folder.display().to_string())
        }
        None => format!("git = \"{SDK_REPOSITORY}\""),
    })
}
