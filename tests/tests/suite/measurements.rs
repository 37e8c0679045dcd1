//! `muster bench` of rules in Rust: that it measures what it says. Builds the example, which needs a
//! toolchain for WebAssembly; what is missing is named.

use muster::build::{Toolchain, build};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

fn component() -> &'static Path {
    static COMPONENT: OnceLock<PathBuf> = OnceLock::new();
    COMPONENT.get_or_init(|| {
        let toolchain = Toolchain::find().unwrap_or_else(|error| panic!("{error}"));
        let built = build(&examples().join("recent-ios-buyers"), &toolchain);
        let mut built = built.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(built.len(), 1);
        built.remove(0).path
    })
}

fn bench(what: &str, more: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster-service"));
    command.args(["bench", what, "--format", "json"]).arg(component()).args(more);
    command.output().expect("the command runs")
}

/// The figures that end so, by their order.
fn figures(output: &Output, end: &str) -> Vec<f64> {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report in JSON");
    let figures = report["figures"].as_array().expect("figures").iter();
    let figures =
        figures.filter(|figure| figure["name"].as_str().is_some_and(|n| n.ends_with(end)));
    figures.filter_map(|figure| figure["value"].as_f64()).collect()
}

#[test]
fn a_rule_is_measured_beside_the_same_in_yaml() {
    let output = bench("rule", &[&examples().join("recent-ios-buyers/audiences.yaml")]);
    let means = figures(&output, "an evaluation, mean");
    assert!(means.len() == 2 && means.iter().all(|mean| *mean > 0.0), "{means:?}");
    // The module gets raw values, and is asked more often.
    let called = figures(&output, "evaluations that called a module");
    assert!(called[0] > called[1] && called[1] > 0.0, "{called:?}");
}

#[test]
fn rules_that_say_something_else_are_not_compared() {
    let output = bench("rule", &[&examples().join("shop/audiences.yaml")]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{told}");
    assert!(told.contains("compare rules that say the same"), "{told}");
}

#[test]
fn many_modules_are_measured_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let count = [Path::new("--count"), Path::new("5"), Path::new("--folder"), folder.path()];
    let output = bench("modules", &count);
    assert!(figures(&output, "all, compiled and live")[0] > 0.0);
    // Code that was kept is not compiled again.
    assert!(figures(&output, "compiled over kept")[0] > 1.0);
    let left = std::fs::read_dir(folder.path()).expect("the folder").count();
    assert_eq!(left, 0);
}
