//! Components that another tool built.

use super::{engine, question, settings};
use muster::build::adopt;
use muster::guest::{CODE_VERSION, GuestEngine, GuestInstances, ModuleLimits};
use muster_tests::guests::{PARITY, Text, manifest_asking_for, module};
use std::path::PathBuf;
use wit_component::ComponentEncoder;

/// A component that tells a manifest and carries none, in a file of that name.
struct Foreign {
    folder: tempfile::TempDir,
    path: PathBuf,
}

fn foreign(text: &Text) -> Foreign {
    let encoder = ComponentEncoder::default().module(&text.core().unwrap());
    let component = encoder.unwrap().encode().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("foreign.wasm");
    std::fs::write(&path, component).unwrap();
    Foreign { folder, path }
}

/// A module with one audience of that version.
fn versioned(version: &str, evaluate: &str) -> Text {
    let manifest = manifest_asking_for("told", None);
    let told = manifest.replace("\"version\":\"1\"", &format!("\"version\":\"{version}\""));
    assert_ne!(manifest, told);
    // What carries a manifest of its own inside speaks for nobody.
    Text { manifests: (told, manifest), ..module("told", evaluate) }
}

fn refused(text: &Text) -> String {
    let foreign = foreign(text);
    let error = anyhow::Error::from(adopt(&foreign.path, &engine()).unwrap_err());
    let path = foreign.path.display().to_string();
    assert!(!foreign.folder.path().join("muster").exists());
    format!("{error:#}").replace(&path, "FILE")
}

#[test]
fn a_component_is_given_the_manifest_that_it_tells_and_the_version_of_its_code() {
    let version = |evaluate: &str| {
        let foreign = foreign(&versioned(&format!("2+{CODE_VERSION}"), evaluate));
        let built = adopt(&foreign.path, &engine()).unwrap();
        assert_eq!(built.path, foreign.folder.path().join("muster/foreign.wasm"));
        assert_eq!(std::fs::read(&built.path).unwrap(), built.component);
        let loaded = engine().load(&built.component).unwrap();
        assert_eq!(&*loaded.module().name, "told");
        let version = loaded.module().audiences[0].version.to_string();
        let mut instances = GuestInstances::new(vec![loaded]);
        assert_eq!(instances.evaluate(question(0, &[3])).unwrap(), [true, true]);
        version
    };
    let (one, other) = (version(PARITY), version(&format!("(nop) {PARITY}")));
    let (number, code) = one.split_once('+').unwrap();
    assert_eq!((number, code.len()), ("2", 32));
    assert!(code.bytes().all(|byte| byte.is_ascii_hexdigit()), "{code}");
    assert_eq!(one, version(PARITY));
    assert_ne!(one, other);
}

#[test]
fn what_would_not_be_a_rule_module_is_not_made_one() {
    assert_eq!(
        refused(&versioned("2", PARITY)),
        format!(
            "audience `told` of `FILE` has a version of its own, `2`, which does not follow the \
             code: write `{CODE_VERSION}` into it, and the hash of the code takes that place"
        )
    );
    // Its name is known only when it has told it.
    let mut text = versioned(CODE_VERSION, PARITY);
    text.describe = "(loop $again (br $again))".into();
    assert_eq!(
        refused(&text),
        "`FILE` can't be made a rule module: module `foreign` took longer than 1s in `describe`: \
         simplify it or raise `modules.limits_of.foreign.describe_time`"
    );
    text.describe = String::new();
    text.manifests.0 = "{}".into();
    let told = refused(&text);
    assert!(
        told.starts_with("`FILE` can't be made a rule module: manifest is not valid"),
        "{told}"
    );
}

#[test]
fn a_component_with_a_manifest_needs_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ours.wasm");
    std::fs::write(&path, module("ours", PARITY).component().unwrap()).unwrap();
    let told = adopt(&path, &engine()).unwrap_err().to_string();
    assert!(told.ends_with("carries a manifest already: deploy it as it is"), "{told}");
}

#[test]
fn imports_are_told_before_anything_is_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("curious.wasm");
    let component = r#"(component (import "wasi:cli/stdout@0.2.0" (instance)))"#;
    std::fs::write(&path, wat::parse_str(component).unwrap()).unwrap();
    let error = anyhow::Error::from(adopt(&path, &engine()).unwrap_err());
    assert!(
        format!("{error:#}").contains("component imports `wasi:cli/stdout@0.2.0`"),
        "{error:#}"
    );
}

#[test]
fn limits_are_those_of_the_file_until_the_name_is_known() {
    let text = versioned(CODE_VERSION, PARITY);
    let tight = ModuleLimits { component_bytes_max: 100, ..ModuleLimits::default() };
    let limits_of = [("foreign".to_owned(), tight)].into();
    let engine =
        GuestEngine::new(muster::guest::GuestSettings { limits_of, ..settings() }).unwrap();
    let error = anyhow::Error::from(adopt(&foreign(&text).path, &engine).unwrap_err());
    assert!(format!("{error:#}").contains("over the limit of 100"), "{error:#}");
}
