//! What becomes of a core module on its way to a component.

use super::engine;
use muster::guest::{componentise, measure_calls};
use muster_tests::guests::{PARITY, manifest, module, with_section};

fn holds(component: &[u8], text: &str) -> bool {
    component.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn what_nothing_reads_is_stripped() {
    let core = module("plain", PARITY).core().unwrap();
    let core = with_section(core, "producers", b"who wrote this");
    let core = with_section(core, ".debug_info", b"where it was written");
    let core = with_section(core, "notes", b"what somebody reads");
    let component = componentise(&core).unwrap();
    assert!(!holds(&component, "who wrote this") && !holds(&component, "where it was written"));
    assert!(holds(&component, "what somebody reads"));
    engine().load(&component).unwrap();
}

#[test]
fn the_version_is_a_hash_of_the_code() {
    let text = manifest("stamped").replace(
        "\"audiences\":[",
        "\"audiences\":[{\"id\":\"a\",\"version\":\"1+muster-build-writes-version-here\"}",
    );
    let version = |evaluate: &str| {
        let mut module = module("stamped", evaluate);
        module.manifests = (text.clone(), text.clone());
        let component = componentise(&module.core().unwrap()).unwrap();
        assert!(!holds(&component, "muster-build-writes"));
        let loaded = engine().load(&component).unwrap();
        loaded.module().audiences[0].version.to_string()
    };
    let (one, other) = (version(PARITY), version(&format!("(nop) {PARITY}")));
    assert_eq!(one.len(), "1+".len() + 32);
    assert_eq!(one, version(PARITY));
    assert_ne!(one, other);
}

#[test]
fn calls_are_measured_and_imports_listed() {
    let component = module("measured", PARITY).component().unwrap();
    let engine = engine();
    let times = measure_calls(&engine.load(&component).unwrap(), 100).unwrap();
    assert!(times.median <= times.p99 && times.p99 <= times.max);
    assert_eq!(engine.imports(&component).unwrap(), Vec::<String>::new());
    let curious = wat::parse_str(r#"(component (import "clock" (instance)))"#).unwrap();
    assert_eq!(engine.imports(&curious).unwrap(), ["clock"]);

    let trapping = module("trapping", "(unreachable)").component().unwrap();
    let error = measure_calls(&engine.load(&trapping).unwrap(), 1).unwrap_err();
    assert!(error.to_string().starts_with("module `trapping` trapped"), "{error}");
}
