//! What is refused, and what is remembered.

use super::{engine, limited, load, question, refused, settings};
use muster::guest::{GuestEngine, GuestInstances, GuestSettings, ModuleLimits, componentise};
use muster_core::Selection;
use muster_tests::guests::{
    ALL, PARITY, Text, manifest, manifest_selecting, manifest_with_predicates, module, with_section,
};
use std::fs;
use std::path::{Path, PathBuf};

fn check_refused(text: &Text, expected: &str) {
    assert_eq!(refused(&engine(), &text.component().unwrap()), expected);
}

fn with_manifest(bytes: Vec<u8>, manifest: &str) -> Vec<u8> {
    with_section(bytes, "muster:manifest", manifest.as_bytes())
}

#[test]
fn imports_are_refused() {
    for import in ["wasi:clocks/wall-clock@0.2.0", "wasi:sockets/tcp@0.2.0", "muster:rules/more"] {
        let text = format!(r#"(component (import "{import}" (instance)))"#);
        let component = with_manifest(wat::parse_str(text).unwrap(), &manifest("curious"));
        let told = format!(
            "component imports `{import}`: rule modules get no imports, build it without WASI"
        );
        assert_eq!(refused(&engine(), &component), told);
        assert_eq!(engine().imports(&component).unwrap(), [import]);
    }
}

#[test]
fn a_trap_while_it_describes_itself_refuses_a_module() {
    let mut text = module("reticent", PARITY);
    text.describe = "(unreachable)".into();
    check_refused(
        &text,
        "module `reticent` trapped in `describe`: wasm `unreachable` instruction executed",
    );
    text.describe = "(loop $again (br $again))".into();
    check_refused(
        &text,
        "module `reticent` took longer than 1s in `describe`: simplify it or raise \
         `modules.limits_of.reticent.describe_time`",
    );
}

#[test]
fn what_describe_answers_is_bounded_before_it_is_copied() {
    let mut text = module("talkative", PARITY);
    text.describe = "(drop (memory.grow (i32.const 48))) (i32.store (i32.const 512) (i32.const 0))
        (i32.store (i32.const 516) (i32.const 3000000)) (return (i32.const 512))"
        .into();
    let limits = ModuleLimits { manifest_bytes_max: 1 << 20, ..ModuleLimits::default() };
    let told = refused(&limited(limits), &text.component().unwrap());
    assert!(told.starts_with("module `talkative` needs more than 1048576 bytes"), "{told}");
}

#[test]
fn what_a_manifest_does_not_declare_cannot_be_used() {
    let honest = manifest("undeclared");
    let audience = r#""audiences":[{"id":"a","version":"1","conditions":[7]}"#;
    let lying = honest.replace("\"audiences\":[", audience);
    assert_ne!(honest, lying);
    let mut text = module("undeclared", PARITY);
    text.manifests = (lying.clone(), lying.clone());
    let told = refused(&engine(), &text.component().unwrap());
    assert!(told.starts_with("manifest is not valid: ") && told.contains('7'), "{told}");
    let features = lying.replace("\"conditions\":[7]", "\"values\":[9]");
    text.manifests = (features.clone(), features);
    let told = refused(&engine(), &text.component().unwrap());
    assert!(told.starts_with("manifest is not valid: ") && told.contains('9'), "{told}");
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
    let core = with_manifest(wat::parse_str("(module)").unwrap(), &manifest("core"));
    let error = engine().load(&core).unwrap_err().to_string();
    assert!(error.contains("not a WebAssembly component; make one with"), "{error}");

    let empty = with_manifest(wat::parse_str("(component)").unwrap(), &manifest("empty"));
    let expected = "component does not export `describe` of `muster:rules/decisions@1.0.0` with the \
                    contract's types: build it for world `module`";
    assert_eq!(engine().load(&empty).unwrap_err().to_string(), expected);
}

#[test]
fn predicates_need_a_function_that_selects() {
    let named = manifest_with_predicates("named", &["NEAR"]);
    let text = Text { manifests: (named.clone(), named.clone()), ..module("named", PARITY) };
    check_refused(
        &text,
        "component does not export `select` of `muster:rules/selection@1.1.0` with the contract's \
         types: build it for world `selecting-module`",
    );
    // Of another type, it is none either.
    let wat = r#"(component
        (core module $m (func (export "select") (result i32) (i32.const 0)))
        (core instance $i (instantiate $m))
        (func $select (result bool) (canon lift (core func $i "select")))
        (instance (export "muster:rules/selection@1.1.0") (export "select" (func $select))))"#;
    let component = with_manifest(wat::parse_str(wat).unwrap(), &named);
    assert!(refused(&engine(), &component).contains("does not export"));
}

#[test]
fn a_function_that_no_selector_needs_is_never_asked() {
    let text = Text { select: Some("(unreachable)".into()), ..module("unnamed", PARITY) };
    let mut instances = GuestInstances::new(vec![load(&engine(), &text)]);
    assert_eq!(instances.evaluate(question(0, &[3])).unwrap(), [true, true]);
    let selection = Selection { module: 0, candidates: &[] };
    let told = instances.select(selection).unwrap_err().to_string();
    assert!(told.contains("does not export `select`"), "{told}");
}

#[test]
fn a_selector_names_a_predicate_of_its_module() {
    let honest = manifest_selecting("vague", "visit");
    let lying = honest.replace("\"predicate\":\"PREDICATE\"", "\"predicate\":\"OTHER\"");
    assert_ne!(honest, lying);
    let text = Text { select: Some(ALL.into()), ..module("vague", PARITY) };
    load(&engine(), &Text { manifests: (honest.clone(), honest), ..text.clone() });
    let text = Text { manifests: (lying.clone(), lying), ..text };
    let told = refused(&engine(), &text.component().unwrap());
    assert!(told.starts_with("manifest is not valid: ") && told.contains("`OTHER`"), "{told}");
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
    core.definitions = r#"(import "env" "now" (func (result i64)))"#.into();
    let error = refused(&core.core().unwrap());
    assert!(error.contains("env"), "{error}");
}

#[test]
fn a_module_with_two_memories_is_not_started() {
    let mut text = module("greedy", PARITY);
    text.definitions = "(memory $other 1)".into();
    check_refused(
        &text,
        "module `greedy` can't be started: resource limit exceeded: memory count too high at 2",
    );
}

#[test]
fn a_module_that_fails_at_its_start_is_refused() {
    let mut text = module("eager", PARITY);
    text.definitions = "(func $start (loop $again (br $again))) (start $start)".into();
    check_refused(
        &text,
        "module `eager` took longer than 1s in `start`: simplify it or raise \
         `modules.limits_of.eager.describe_time`",
    );
}

#[test]
fn sizes_are_bounded_and_raised_for_one() {
    let components = ["small", "large"].map(|name| module(name, PARITY).component().unwrap());
    let limits = ModuleLimits { component_bytes_max: 100, ..ModuleLimits::default() };
    let of_large = ("large".to_owned(), ModuleLimits::default());
    let settings = GuestSettings { limits, limits_of: [of_large].into(), ..settings() };
    let engine = GuestEngine::new(settings).unwrap();
    let expected = format!(
        "component has {} bytes, over the limit of 100: split the module or raise \
         `component_bytes` for it in `modules.limits_of`",
        components[0].len()
    );
    assert_eq!(refused(&engine, &components[0]), expected);
    engine.load(&components[1]).unwrap();
}

#[test]
fn limits_of_calls_are_raised_for_one() {
    let deep = "(local $depth i32)
        (if (i32.lt_u (global.get $deep) (i32.const 6000)) (then
            (global.set $deep (i32.add (global.get $deep) (i32.const 1)))
            (drop (call $evaluate (local.get $audiences) (local.get $audiences_len)
                (local.get $conditions) (local.get $conditions_len)
                (local.get $values) (local.get $values_len)))))
        (drop (memory.grow (i32.const 1)))";
    let evaluate = format!("{deep} {PARITY}");
    let texts = ["usual", "raised"].map(|name| {
        let definitions = "(global $deep (mut i32) (i32.const 0))".into();
        Text { definitions, ..module(name, &evaluate) }
    });
    let raised = ModuleLimits {
        memory_bytes_max: 1 << 30,
        stack_bytes_max: 1 << 20,
        ..ModuleLimits::default()
    };
    let limits_of = [("raised".to_owned(), raised)].into();
    let engine = GuestEngine::new(GuestSettings { limits_of, ..settings() }).unwrap();
    let modules = texts.iter().map(|text| load(&engine, text)).collect();
    let mut instances = GuestInstances::new(modules);
    let told = instances.evaluate(question(0, &[3])).unwrap_err().to_string();
    assert!(told.contains("bytes of stack"), "{told}");
    // Its memory fits too, of which each of its six thousand calls takes a page.
    let told = instances.evaluate(question(1, &[3])).map_err(|error| error.to_string());
    assert_eq!(told, Ok(vec![true, true]));
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
    let texts: Vec<_> =
        (0..9).map(|n| module(&format!("m{n}"), PARITY).component().unwrap()).collect();
    let loaded = engine().load_all(&texts).unwrap();
    let names: Vec<_> = loaded.iter().map(|module| module.module().name.to_string()).collect();
    assert_eq!(names, ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8"]);

    let mut text = module("m9", PARITY);
    text.manifests.0 = manifest("other");
    let texts = [texts[0].clone(), text.component().unwrap(), texts[1].clone()];
    let (index, _) = engine().load_all(&texts).unwrap_err();
    assert_eq!(index, 1);
}

fn kept_in(directory: &Path, artefact_bytes_max: u64) -> GuestEngine {
    let artefacts = Some(directory.to_owned());
    let settings = GuestSettings { artefacts, artefact_bytes_max, ..settings() };
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
    let half = sound.len() / 2;
    // Later engines read it and leave it as it is.
    answers(&kept_in(directory.path(), u64::MAX), &text);
    for damage in [&sound[..half], b"", &[&sound[..half], &[7; 40], &sound[half + 40..]].concat()] {
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
