//! The tables: made, and brought up to date, by one command; looked for by everybody else.

use super::error::CqlError;
use super::metrics::CqlMetrics;
use super::session::{Database, check_keyspace, request};
use super::settings::CqlSettings;
use scylla::statement::Statement;
use std::collections::HashSet;
use std::time::Duration;

/// How long the database may take for a table: all of its nodes have to agree on it.
const TABLE_TIME_MAX: Duration = Duration::from_secs(60);
/// The version of the tables. The second has `swept`, too.
const FORMAT: i32 = 2;

/// The tables. `{}` stands for the keyspace.
///
/// History is read by user, event name and time. Timers are found by the span of time in which they
/// are due and a part of all users; which spans have any is a table of its own. Rows of `members` and
/// `user_ids` are in as many partitions as there are parts, so that none outgrows a node.
const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS {}.users (workspace text, user text, event text, at bigint, number bigint, \
     arrivals blob, version blob static, state blob static, profile blob static, shadow blob static, \
     hint bigint static, untold blob static, told bigint static, \
     PRIMARY KEY ((workspace, user), event, at, number)) \
     WITH compaction = {'class': 'LeveledCompactionStrategy'}",
    "CREATE TABLE IF NOT EXISTS {}.timers (span bigint, part int, at bigint, workspace text, user text, \
     PRIMARY KEY ((span, part), at, workspace, user)) WITH gc_grace_seconds = 86400",
    "CREATE TABLE IF NOT EXISTS {}.timer_spans (id int, span bigint, part int, noted boolean, \
     PRIMARY KEY (id, span, part)) \
     WITH gc_grace_seconds = 86400",
    "CREATE TABLE IF NOT EXISTS {}.members (workspace text, audience bigint, part int, user text, since bigint, \
     PRIMARY KEY ((workspace, audience, part), user))",
    "CREATE TABLE IF NOT EXISTS {}.user_ids (workspace text, part int, user text, \
     PRIMARY KEY ((workspace, part), user))",
    "CREATE TABLE IF NOT EXISTS {}.workspaces (id int, workspace text, PRIMARY KEY (id, workspace))",
    "CREATE TABLE IF NOT EXISTS {}.audiences (id int, audience bigint, name text, PRIMARY KEY (id, audience))",
    "CREATE TABLE IF NOT EXISTS {}.documents (id int, name text, body blob, pieces int, PRIMARY KEY (id, name))",
    "CREATE TABLE IF NOT EXISTS {}.document_pieces (pieces blob, piece int, body blob, \
     PRIMARY KEY ((pieces, piece)))",
    "CREATE TABLE IF NOT EXISTS {}.dead_letters (id int, sequence bigint, letter blob, \
     PRIMARY KEY (id, sequence)) WITH default_time_to_live = 604800",
    "CREATE TABLE IF NOT EXISTS {}.kept (workspace text, event text, since bigint, kept_ms bigint, \
     PRIMARY KEY (workspace, event, since))",
    "CREATE TABLE IF NOT EXISTS {}.begun (workspace text, event text, first bigint, \
     PRIMARY KEY (workspace, event))",
    "CREATE TABLE IF NOT EXISTS {}.forgotten (workspace text, event text, until bigint, \
     PRIMARY KEY (workspace, event))",
    "CREATE TABLE IF NOT EXISTS {}.clocks (id int PRIMARY KEY, clock bigint)",
    "CREATE TABLE IF NOT EXISTS {}.instances (id int, owner text, PRIMARY KEY (id, owner))",
    "CREATE TABLE IF NOT EXISTS {}.swept (id int, owner text, marks frozen<map<text, bigint>>, \
     PRIMARY KEY (id, owner)) WITH gc_grace_seconds = 0",
    "CREATE TABLE IF NOT EXISTS {}.owners (id int, owner text, turn bigint, PRIMARY KEY (id, owner))",
    "CREATE TABLE IF NOT EXISTS {}.journal (owner text, turn bigint, users blob, \
     PRIMARY KEY (owner, turn)) WITH gc_grace_seconds = 86400",
    "CREATE TABLE IF NOT EXISTS {}.locks (name text PRIMARY KEY, owner text)",
];

/// Makes the keyspace and the tables where they are missing, and brings older ones up to date. Does
/// nothing where they are as they should be.
///
/// # Errors
/// When the database cannot be reached or refuses it, or the tables are newer than this version.
pub fn initialise(settings: &CqlSettings) -> Result<(), CqlError> {
    check_keyspace(&settings.keyspace)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(CqlError::Threads)?.block_on(async {
        let database = Database::connect(settings, CqlMetrics::default()).await?;
        let keyspace = format!(
            "CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {}{}",
            settings.keyspace,
            settings.replication,
            without_tablets(&database).await?,
        );
        run(&database, &keyspace).await?;
        run(&database, "CREATE TABLE IF NOT EXISTS {}.format (id int PRIMARY KEY, format int)")
            .await?;
        if let Some(found) = format(&database).await?.filter(|found| *found > FORMAT) {
            let keyspace = settings.keyspace.clone();
            return Err(CqlError::OtherVersion { keyspace, found, known: FORMAT });
        }
        for table in TABLES {
            run(&database, table).await?;
        }
        run(&database, &format!("INSERT INTO {{}}.format (id, format) VALUES (0, {FORMAT})")).await
    })
}

/// Whether the tables are there, and of this version.
pub(super) async fn check(database: &Database) -> Result<(), CqlError> {
    let keyspace = || database.keyspace.clone();
    let found = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
    let found = database.session.query_unpaged(found, (database.keyspace.as_str(),)).await;
    let found = found.map_err(|error| request(&error))?;
    let found = found.into_rows_result().map_err(|error| request(&error))?;
    let found = found.rows::<(String,)>().map_err(|error| request(&error))?;
    let found = found.map(|row| row.map(|(name,)| name)).collect::<Result<HashSet<_>, _>>();
    let found = found.map_err(|error| request(&error))?;
    let has_format = found.contains("format");
    match if has_format { format(database).await? } else { None } {
        Some(FORMAT) => {}
        Some(found) => {
            return Err(CqlError::OtherVersion { keyspace: keyspace(), found, known: FORMAT });
        }
        None => return Err(CqlError::NoTables { keyspace: keyspace() }),
    }
    let missing = TABLES.iter().filter_map(|table| name_of(table));
    let missing: Vec<&str> = missing.filter(|name| !found.contains(*name)).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => {
            Err(CqlError::MissingTables { keyspace: keyspace(), tables: missing.join("`, `") })
        }
    }
}

/// The name of the table that a statement makes.
fn name_of(table: &'static str) -> Option<&'static str> {
    table.split_once("{}.")?.1.split_whitespace().next()
}

async fn format(database: &Database) -> Result<Option<i32>, CqlError> {
    let found = run_for(database, "SELECT format FROM {}.format WHERE id = 0").await?;
    let found = found.into_rows_result().map_err(|error| request(&error))?;
    let row = found.maybe_first_row::<(i32,)>().map_err(|error| request(&error))?;
    Ok(row.map(|(format,)| format))
}

/// ScyllaDB keeps tables in tablets unless it is told not to, and in its current releases those take no
/// conditional writes. Cassandra knows no such thing, and would refuse the words.
async fn without_tablets(database: &Database) -> Result<&'static str, CqlError> {
    let scylla = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'system' \
                  AND table_name = 'scylla_local'";
    let found =
        database.session.query_unpaged(scylla, ()).await.map_err(|error| request(&error))?;
    let found = found.into_rows_result().map_err(|error| request(&error))?;
    Ok(if found.rows_num() > 0 { " AND tablets = {'enabled': false}" } else { "" })
}

async fn run(database: &Database, cql: &str) -> Result<(), CqlError> {
    run_for(database, cql).await.map(drop)
}

async fn run_for(
    database: &Database,
    cql: &str,
) -> Result<scylla::response::query_result::QueryResult, CqlError> {
    let cql = cql.replace("{}", &database.keyspace);
    let mut statement = Statement::new(cql);
    statement.set_request_timeout(Some(TABLE_TIME_MAX));
    database.session.query_unpaged(statement, ()).await.map_err(|error| request(&error))
}
