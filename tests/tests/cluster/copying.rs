//! `muster store copy`: from an embedded store to a cluster and back, by the command.

use crate::{shop, stage_with};
use muster_tests::cluster::{Load, expected};
use std::fs;
use std::time::Duration;

#[test]
fn a_cluster_is_backed_up_to_a_folder_and_restored_to_another() {
    let stage = stage_with(&shop(), 1);
    let load = Load::new(5, 40, 600).unwrap();
    let expected = expected(&shop(), &load).unwrap();
    let mut instance = stage.start("one").unwrap();
    load.send(&stage, Duration::ZERO).unwrap();
    instance.wait_members(&expected).unwrap();
    instance.stop().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup.toml");
    fs::write(&backup, "[store]\npath = \"backup\"\n").unwrap();
    let cluster = stage.settings("copied", "").unwrap();
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        let from = from.to_str().unwrap();
        stage.command(&["store", "copy", "--from-config", from, "--to-config"], to)
    };
    let said = copy(&cluster, &backup).unwrap();
    assert!(said.contains("copied and compared: "), "{said}");
    let refused = copy(&backup, &cluster).unwrap_err().to_string();
    assert!(refused.contains("not empty"), "{refused}");
    let restored = stage_with(&shop(), 1);
    let again = restored.settings("restored", "").unwrap();
    assert_eq!(copy(&backup, &again).unwrap(), said);
    let mut instance = restored.start("two").unwrap();
    instance.wait_members(&expected).unwrap();
    // It goes on from there: what comes now meets what was before.
    let user = expected.keys().next().unwrap();
    let mut own = instance.audiences(user).unwrap();
    own.sort();
    assert!(own.iter().eq(&expected[user]));
}
