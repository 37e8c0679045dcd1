//! What is refused, and what is remembered.

use super::module::{PARITY, Text, engine, load, manifest, module, question, with_section};
use crate::guest::{GuestEngine, GuestInstances, GuestSettings, componentise};
use std::fs;
use std::path::{Path, PathBuf};

fn check_refused(text: &Text, expected: &str) {
    let error = engine().load(&text.component()).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn imports_are_refused() {
    let text = r#"(component (import "wasi:clocks/wall-clock@0.2.0" (instance)))"#;
    let component = with_section(wat::parse_str(text).unwrap(), &manifest("curious"));
    assert_eq!(
        engine().load(&component).unwrap_err().to_string(),
        "component imports `wasi:clocks/wall-clock@0.2.0`: rule modules get no imports, build it \
         without WASI",
    );
}

#[test]
fn a_lying_manifest_is_refused() {
    let mut text = module("honest", PARITY);
    text.manifests.0 = manifest("other");
    check_refused(
        &text,
        "module `honest` describes itself otherwise than its section `muster:manifest`: build both \
         from one manifest",
    );
}

#[test]
fn what_is_no_component_is_refused() {
    let core = with_section(wat::parse_str("(module)").unwrap(), &manifest("core"));
    let error = engine().load(&core).unwrap_err().to_string();
    assert!(error.contains("not a WebAssembly component; make one with"), "{error}");

    let empty = with_section(wat::parse_str("(component)").unwrap(), &manifest("empty"));
    let expected = "component does not export `describe` of `muster:rules/decisions@1.0.0` with the \
                    contract's types: build it for world `module`";
    assert_eq!(engine().load(&empty).unwrap_err().to_string(), expected);
}

#[test]
fn what_the_sdk_did_not_build_is_not_made_a_component() {
    let refused = |core: &[u8]| componentise(core).unwrap_err().to_string();
    let told = |reason| {
        format!("not a component: {reason}; build it for world `module` of `muster:rules`")
    };
    assert_eq!(refused(b"\0asm"), told("not a core module of WebAssembly"));
    let bare = wat::parse_str("(module)").unwrap();
    assert_eq!(refused(&bare), told("it carries no manifest, which `audiences!` writes"));
    let mut core = module("imports", PARITY);
    core.definitions = r#"(import "env" "now" (func (result i64)))"#;
    let error = refused(&core.core());
    assert!(error.contains("env"), "{error}");
}

#[test]
fn a_module_with_two_memories_is_not_started() {
    let mut text = module("greedy", PARITY);
    text.definitions = "(memory $other 1)";
    check_refused(
        &text,
        "module `greedy` can't be started: resource limit exceeded: memory count too high at 2",
    );
}

#[test]
fn a_module_that_fails_at_its_start_is_refused() {
    let mut text = module("eager", PARITY);
    text.definitions = "(func $start (loop $again (br $again))) (start $start)";
    check_refused(
        &text,
        "module `eager` took longer than 1s in `start`: simplify it or raise the limit",
    );
}

#[test]
fn sizes_are_bounded() {
    let component = module("large", PARITY).component();
    let settings = GuestSettings { component_bytes_max: 100, ..GuestSettings::default() };
    let error = GuestEngine::new(settings).unwrap().load(&component).unwrap_err();
    let expected = format!(
        "component has {} bytes, over the limit of 100: split the module or raise it",
        component.len()
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn equal_components_are_loaded_once() {
    let engine = engine();
    let text = module("same", PARITY);
    let (one, other) = (load(&engine, &text), load(&engine, &text));
    assert!(std::ptr::eq(one.module(), other.module()));
}

#[test]
fn components_load_in_parallel_and_keep_their_order() {
    let texts: Vec<_> = (0..9).map(|n| module(&format!("m{n}"), PARITY).component()).collect();
    let loaded = engine().load_all(&texts).unwrap();
    let names: Vec<_> = loaded.iter().map(|module| module.module().name.to_string()).collect();
    assert_eq!(names, ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8"]);

    let mut text = module("m9", PARITY);
    text.manifests.0 = manifest("other");
    let texts = [texts[0].clone(), text.component(), texts[1].clone()];
    let (index, _) = engine().load_all(&texts).unwrap_err();
    assert_eq!(index, 1);
}

fn kept_in(directory: &Path, artefact_bytes_max: u64) -> GuestEngine {
    let artefacts = Some(directory.to_owned());
    let settings = GuestSettings { artefacts, artefact_bytes_max, ..GuestSettings::default() };
    GuestEngine::new(settings).unwrap()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn answers(engine: &GuestEngine, text: &Text) {
    let mut instances = GuestInstances::new(vec![load(engine, text)]);
    assert_eq!(instances.evaluate(question(0, &[3])).unwrap(), [true, true]);
}

#[test]
fn compiled_code_is_kept_and_checked() {
    let directory = tempfile::tempdir().unwrap();
    let text = module("kept", PARITY);
    answers(&kept_in(directory.path(), u64::MAX), &text);
    let [file] = &files(directory.path())[..] else { panic!("one artefact") };
    let sound = fs::read(file).unwrap();
    // Later engines read it and leave it as it is.
    answers(&kept_in(directory.path(), u64::MAX), &text);
    for damage in
        [&sound[..sound.len() / 2], b"", &[&sound[..200], &[7; 40], &sound[240..]].concat()]
    {
        fs::write(file, damage).unwrap();
        answers(&kept_in(directory.path(), u64::MAX), &text);
        assert_eq!(files(directory.path()).len(), 1);
        assert_eq!(fs::read(file).unwrap(), sound);
    }
}

#[test]
fn old_code_makes_room() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("notes.txt"), "not ours").unwrap();
    answers(&kept_in(directory.path(), u64::MAX), &module("one", PARITY));
    let size =
        files(directory.path()).iter().map(|f| fs::metadata(f).unwrap().len()).max().unwrap();
    let engine = kept_in(directory.path(), size * 5 / 2);
    for name in ["two", "three", "four"] {
        answers(&engine, &module(name, PARITY));
    }
    assert_eq!(files(directory.path()).len(), 3);
}
