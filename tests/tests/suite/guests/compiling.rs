//! Compiling in a process of its own, under its limits.

use super::{engine, limited, refused, settings};
use muster::guest::{Compiler, GuestEngine, GuestSettings, ModuleLimits};
use muster_tests::guests::{PARITY, compile_bomb, module, with_section};
use std::time::Duration;

#[test]
fn a_component_that_takes_minutes_to_compile_is_refused() {
    let compile_time_max = Duration::from_secs(1);
    let compile_memory_bytes_max = 1 << 40;
    let limits =
        ModuleLimits { compile_time_max, compile_memory_bytes_max, ..ModuleLimits::default() };
    let bomb = compile_bomb("bomb").component().unwrap();
    assert!(bomb.len() < 100_000, "{} bytes", bomb.len());
    assert_eq!(
        refused(&limited(limits), &bomb),
        "module `bomb` takes more than 1s to compile: simplify it or raise \
         `modules.limits_of.bomb.compile_time`"
    );
}

#[test]
fn a_component_that_takes_much_memory_to_compile_is_refused() {
    let compile_memory_bytes_max = 256 << 20;
    let limits = ModuleLimits { compile_memory_bytes_max, ..ModuleLimits::default() };
    assert_eq!(
        refused(&limited(limits), &compile_bomb("bomb").component().unwrap()),
        "module `bomb` takes more than 268435456 bytes of memory to compile: simplify it or raise \
         `modules.limits_of.bomb.compile_memory_bytes`"
    );
}

#[test]
fn what_is_no_component_inside_is_told_by_the_child() {
    let good = module("broken", PARITY).component().unwrap();
    // A type of the component that there is not.
    let broken = with_section(good, "", b"");
    let broken = [&broken[..8], &[7, 2, 1, 99], &broken[8..]].concat();
    let told = refused(&engine(), &broken);
    assert!(told.contains("not a component: ") || told.contains("damaged"), "{told}");
}

#[test]
fn an_executable_that_does_not_compile_is_told() {
    let component = module("good", PARITY).component().unwrap();
    for path in ["/bin/true", "/bin/false", "/nowhere"] {
        let compiler = Compiler::Child(path.into());
        let engine = GuestEngine::new(GuestSettings { compiler, ..settings() }).unwrap();
        let told = refused(&engine, &component);
        assert!(told.contains("compile") && !told.contains('\n'), "{told}");
    }
}

#[test]
fn both_compilers_write_the_same_code() {
    let component = module("same", PARITY).component().unwrap();
    let artefact = |compiler: Compiler| {
        let folder = tempfile::tempdir().unwrap();
        let artefacts = Some(folder.path().to_owned());
        let settings = GuestSettings { compiler, artefacts, ..GuestSettings::default() };
        GuestEngine::new(settings).unwrap().load(&component).unwrap();
        let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap();
        (file.file_name(), std::fs::read(file.path()).unwrap())
    };
    assert!(artefact(Compiler::Here) == artefact(settings().compiler));
}
