//! The tables: made once, looked for by everybody, and refused where they are of another version.

use crate::make::{someone, state_of, tell, user};
use crate::place::{Fresh, open, rows, run, settings};
use muster_store::{CqlError, CqlMetrics, CqlSettings, CqlStore, StoreError, initialise};
use std::sync::Barrier;

fn refused(settings: &CqlSettings) -> CqlError {
    match CqlStore::open(settings, CqlMetrics::default()) {
        Ok(_) => panic!("it was opened"),
        Err(StoreError::Cql(error)) => error,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_keyspace_that_there_is_not_has_no_tables() {
    let settings = Fresh::unmade();
    let expected = format!(
        "keyspace `{}` has no tables of Muster: run `muster store init` first",
        settings.keyspace
    );
    assert_eq!(refused(&settings).to_string(), expected);
}

#[test]
fn a_keyspace_of_somebody_else_has_no_tables() {
    let settings = Fresh::unmade();
    run(&format!(
        "CREATE KEYSPACE {} WITH replication = {}",
        settings.keyspace, settings.replication
    ));
    assert!(matches!(refused(&settings), CqlError::NoTables { .. }));
    run(&format!("CREATE TABLE {}.other (id int PRIMARY KEY)", settings.keyspace));
    assert!(matches!(refused(&settings), CqlError::NoTables { .. }));
    // And one where they were not made to the end.
    run(&format!("CREATE TABLE {}.format (id int PRIMARY KEY, format int)", settings.keyspace));
    assert!(matches!(refused(&settings), CqlError::NoTables { .. }));
    initialise(&settings).unwrap();
    drop(open(&settings));
}

#[test]
fn a_table_that_is_gone_is_named() {
    let settings = Fresh::made();
    let keyspace = &settings.keyspace;
    run(&format!("DROP TABLE {keyspace}.timers"));
    run(&format!("DROP TABLE {keyspace}.users"));
    let said = format!(
        "keyspace `{keyspace}` lacks tables `users`, `timers`: restore them from a backup; \
         `muster store init` makes them empty"
    );
    assert_eq!(refused(&settings).to_string(), said);
    initialise(&settings).unwrap();
    drop(open(&settings));
}

#[test]
fn tables_that_are_newer_or_older_are_refused_with_what_to_do() {
    let settings = Fresh::unmade();
    initialise(&settings).unwrap();
    let keyspace = &settings.keyspace;
    let write = |format: i32| {
        run(&format!("UPDATE {keyspace}.format SET format = {format} WHERE id = 0"));
    };
    write(99);
    let newer = format!(
        "the tables in keyspace `{keyspace}` have format 99, and this version knows format 2: \
         use the version that made them, or a later one"
    );
    assert_eq!(refused(&settings).to_string(), newer);
    assert_eq!(initialise(&settings).unwrap_err().to_string(), newer);
    assert_eq!(
        rows(&format!("SELECT * FROM {keyspace}.format WHERE format = 99 ALLOW FILTERING")).len(),
        1
    );
    write(0);
    let older = format!(
        "the tables in keyspace `{keyspace}` have format 0, and this version knows format 2: \
         run `muster store init`, which brings them up to date"
    );
    assert_eq!(refused(&settings).to_string(), older);
    initialise(&settings).unwrap();
    drop(open(&settings));
}

#[test]
fn tables_of_the_first_format_are_brought_up_to_date_with_what_is_in_them() {
    let settings = Fresh::made();
    let keyspace = &settings.keyspace;
    let ann = someone();
    tell(&open(&settings), vec![user(&ann)]);
    run(&format!("DROP TABLE {keyspace}.swept"));
    run(&format!("UPDATE {keyspace}.format SET format = 1 WHERE id = 0"));
    assert!(matches!(refused(&settings), CqlError::OtherVersion { found: 1, .. }));
    initialise(&settings).unwrap();
    assert_eq!(state_of(&open(&settings), &ann).unwrap(), b"state");
}

#[test]
fn making_the_tables_again_loses_nothing() {
    let settings = Fresh::unmade();
    initialise(&settings).unwrap();
    let ann = someone();
    let store = open(&settings);
    tell(&store, vec![user(&ann)]);
    initialise(&settings).unwrap();
    assert_eq!(state_of(&store, &ann).unwrap(), b"state");
    assert_eq!(state_of(&open(&settings), &ann).unwrap(), b"state");
}

#[test]
fn two_may_make_the_tables_at_once() {
    let settings = Fresh::unmade();
    let begin = Barrier::new(2);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                begin.wait();
                initialise(&settings).unwrap();
            });
        }
    });
    let ann = someone();
    let store = open(&settings);
    tell(&store, vec![user(&ann)]);
    assert_eq!(state_of(&store, &ann).unwrap(), b"state");
}

#[test]
fn a_name_that_would_be_no_keyspace_is_refused_before_anything_is_asked() {
    let long = "k".repeat(49);
    let names = ["", "1a", "_a", "Muster", "a-b", "a b", "a.b", "a;b", "a'", "é", "a\n", &long];
    for name in names {
        let settings = settings("127.0.0.1:1", name);
        let expected = format!(
            "`{name}` is no name for a keyspace: write a letter, and then letters, digits and underscores"
        );
        assert_eq!(refused(&settings).to_string(), expected);
        assert_eq!(initialise(&settings).unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_replication_that_is_none_is_refused_by_the_database() {
    let replication = "{'class': 'NoSuchStrategy'}".to_string();
    let settings = CqlSettings { replication, ..Fresh::unmade().clone() };
    let refused = initialise(&settings).unwrap_err();
    assert!(matches!(refused, CqlError::Request { .. }), "{refused}");
    let said = refused.to_string();
    assert!(said.contains("NoSuchStrategy") && !said.contains('\n'), "{said}");
}
