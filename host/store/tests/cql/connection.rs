//! Reaching the database: what is said when that does not work.

use crate::make::{someone, state_of, tell, user};
use crate::place::{Own, node, open, settings};
use muster_rig::{CassandraOptions, CassandraServer, Identity};
use muster_store::{CqlError, CqlMetrics, CqlSettings, CqlStore, Store, StoreError, initialise};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

/// A node that asks for passwords.
static GUARDED: LazyLock<CassandraServer> =
    LazyLock::new(|| CassandraServer::start(CassandraOptions { passwords: true }).unwrap());

fn refused(settings: &CqlSettings) -> CqlError {
    match CqlStore::open(settings, CqlMetrics::default()) {
        Ok(_) => panic!("it was opened"),
        Err(StoreError::Cql(error)) => error,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn where_nothing_listens_it_is_said_who_was_asked() {
    let settings = settings("127.0.0.1:1", "k");
    for refused in [refused(&settings), initialise(&settings).unwrap_err()] {
        assert!(matches!(refused, CqlError::Unreachable { .. }), "{refused}");
        let said = refused.to_string();
        assert!(said.starts_with("cannot reach the database at 127.0.0.1:1: "), "{said}");
        assert!(said.ends_with(", and whether it speaks TLS (`store.cql.authority`)"), "{said}");
        assert!(!said.contains('\n'), "{said}");
    }
}

#[test]
fn the_data_centre_that_is_named_is_asked_and_another_refused() {
    let fresh = Own::take();
    let in_center =
        |name: &str| CqlSettings { datacenter: Some(name.to_string()), ..fresh.clone() };
    let store = open(&in_center("datacenter1"));
    let ann = someone();
    tell(&store, vec![user(&ann)]);
    assert_eq!(state_of(&store, &ann).unwrap(), b"state");
    let wrong = in_center("nowhere");
    for refused in [refused(&wrong), initialise(&wrong).unwrap_err()] {
        let said = "the database has no data centre `nowhere`, but `datacenter1`: mend `store.cql.datacenter`";
        assert_eq!(refused.to_string(), said);
    }
}

#[test]
fn a_name_that_is_no_host_is_unreachable() {
    let refused = refused(&settings("no.such.host.invalid:9042", "k"));
    assert!(matches!(refused, CqlError::Unreachable { .. }), "{refused}");
}

#[test]
fn what_listens_and_never_speaks_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let request_time = Duration::from_secs(1);
    let refused = refused(&CqlSettings { request_time, ..settings(&address, "k") });
    assert!(matches!(refused, CqlError::Unreachable { .. }), "{refused}");
}

#[test]
fn a_node_that_is_down_is_passed_by_for_one_that_is_not() {
    let fresh = Own::take();
    let nodes = vec!["127.0.0.1:1".to_string(), node().to_string()];
    let settings = CqlSettings { nodes, ..fresh.clone() };
    initialise(&settings).unwrap();
    let store = open(&settings);
    let ann = someone();
    tell(&store, vec![user(&ann)]);
    assert_eq!(state_of(&store, &ann).unwrap(), b"state");
}

#[test]
fn a_wrong_password_is_refused_and_the_right_one_works() {
    let with = |user: Option<(&str, &str)>| CqlSettings {
        user: user.map(|(user, password)| (user.to_string(), password.to_string())),
        request_time: Duration::from_secs(30),
        ..settings(GUARDED.address(), "guarded")
    };
    let right = with(Some(muster_rig::cassandra::SUPERUSER));
    // The node makes its first user after it takes connections.
    crate::place::eventually("the user is there", || initialise(&right).is_ok());
    for wrong in
        [with(None), with(Some(("cassandra", "wrong"))), with(Some(("nobody", "cassandra")))]
    {
        for refused in [refused(&wrong), initialise(&wrong).unwrap_err()] {
            assert!(matches!(refused, CqlError::Refused { .. }), "{refused}");
            let said = refused.to_string();
            let end = ": check `store.cql.user` and `store.cql.password_file`";
            assert!(
                said.starts_with("the database refuses the user: ") && said.ends_with(end),
                "{said}"
            );
            assert!(!said.contains("wrong"), "{said}");
        }
    }
    let store = open(&right);
    let ann = someone();
    tell(&store, vec![user(&ann)]);
    assert_eq!(state_of(&store, &ann).unwrap(), b"state");
}

#[test]
fn tls_with_the_right_authority_and_with_none() {
    let folder = tempfile::tempdir().unwrap();
    let identity = Identity::issue(folder.path()).unwrap();
    let server = CassandraServer::start_secured(&identity).unwrap();
    let with = |authority: Option<&std::path::PathBuf>| CqlSettings {
        authority: authority.cloned(),
        request_time: Duration::from_secs(30),
        ..settings(server.address(), "secured")
    };
    let right = with(Some(&identity.authority));
    initialise(&right).unwrap();
    let store = open(&right);
    let ann = someone();
    tell(&store, vec![user(&ann)]);
    assert_eq!(state_of(&store, &ann).unwrap(), b"state");

    // A node that wants TLS says nothing to who speaks without.
    let impatient = |settings| CqlSettings { request_time: Duration::from_secs(5), ..settings };
    for wrong in [with(Some(&identity.stranger)), with(None)].map(impatient) {
        let refused = refused(&wrong);
        assert!(matches!(refused, CqlError::Unreachable { .. }), "{refused}");
    }
    let plain = CqlSettings { authority: Some(identity.authority), ..settings(node(), "k") };
    let refused = refused(&plain);
    assert!(matches!(refused, CqlError::Unreachable { .. }), "{refused}");
}

#[test]
fn an_authority_that_is_no_certificate_is_refused_by_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.pem");
    let garbage = folder.path().join("garbage.pem");
    std::fs::write(&garbage, "no certificate at all").unwrap();
    let broken = folder.path().join("broken.pem");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    for path in [missing, garbage, broken] {
        let settings = CqlSettings { authority: Some(path.clone()), ..settings(node(), "k") };
        let said = refused(&settings).to_string();
        let begin = format!("cannot read certificates from `{}`: ", path.display());
        assert!(said.starts_with(&begin) && said.len() > begin.len(), "{said}");
    }
}

#[test]
fn a_consistency_that_there_is_not_is_refused() {
    let of = |consistency: &str, serial: &str| CqlSettings {
        consistency: consistency.to_string(),
        serial_consistency: serial.to_string(),
        ..settings("127.0.0.1:1", "k")
    };
    let wrong = [
        (of("MOST", "SERIAL"), "MOST"),
        (of("local_quorum", "SERIAL"), "local_quorum"),
        (of("SERIAL", "SERIAL"), "SERIAL"),
        (of("QUORUM", "QUORUM"), "QUORUM"),
        (of("", "SERIAL"), ""),
    ];
    for (settings, name) in wrong {
        let expected = format!(
            "`{name}` is no consistency level: write LOCAL_QUORUM, or another that CQL knows"
        );
        assert_eq!(refused(&settings).to_string(), expected);
    }
}

#[test]
fn other_consistencies_work() {
    let base = Own::take();
    for (consistency, serial) in [("ONE", "SERIAL"), ("QUORUM", "LOCAL_SERIAL"), ("ALL", "SERIAL")]
    {
        let store = open(&CqlSettings {
            consistency: consistency.to_string(),
            serial_consistency: serial.to_string(),
            ..base.clone()
        });
        let ann = someone();
        tell(&store, vec![user(&ann)]);
        assert_eq!(state_of(&store, &ann).unwrap(), b"state");
    }
}

#[test]
fn requests_are_measured_by_kind() {
    let settings = Own::take();
    let seen: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let noting = seen.clone();
    let metrics = CqlMetrics::new(move |kind, _| noting.lock().unwrap().push(kind));
    let store = CqlStore::open(&settings, metrics).unwrap();
    tell(&store, vec![user(&someone())]);
    let seen = seen.lock().unwrap();
    for kind in ["heartbeat", "read_user", "write_user", "write_user_id"] {
        assert!(seen.contains(&kind), "{kind} is not among {seen:?}");
    }
}

#[test]
fn a_narrow_way_lets_everything_through() {
    let fresh = Own::take();
    let store = open(&CqlSettings { in_flight_max: 1, ..fresh.clone() });
    let workspace = crate::make::workspace();
    let keys: Vec<_> = (0..50).map(|n| crate::make::key(&workspace, &format!("{n:02}"))).collect();
    tell(&store, keys.iter().map(user).collect());
    assert_eq!(store.users(&workspace, None, 99).unwrap().len(), 50);
    assert!(store.read(&keys).unwrap().iter().all(|found| found.record.is_some()));
}
