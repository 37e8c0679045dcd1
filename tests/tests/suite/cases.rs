//! Every case file, on the naive evaluator. `UPDATE_CASES=1` writes what was found into the files.

use muster_tests::case::{first_difference, read_all};
use muster_tests::naive;
use std::path::Path;

/// How many cases there are at the least: a folder that is not found must not pass.
const CASES_MIN: usize = 80;

#[test]
fn naive_evaluator_says_what_cases_expect() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let cases = read_all(&folder).unwrap();
    assert!(cases.len() >= CASES_MIN, "only {} cases in {}", cases.len(), folder.display());
    let update = std::env::var_os("UPDATE_CASES").is_some();
    let mut failures = Vec::new();
    for case in &cases {
        let found = case.run(&mut |case, definitions, timeline| {
            naive::evaluate(&definitions.audiences, case.limits, timeline)
        });
        let Some(difference) = first_difference(&case.text, &found) else { continue };
        if update {
            std::fs::write(&case.file, found).unwrap();
        } else {
            failures.push(format!("{}: {difference}", case.file));
        }
    }
    assert!(failures.is_empty(), "{} cases differ:\n{}", failures.len(), failures.join("\n"));
}
