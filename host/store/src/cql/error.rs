//! Why the database cannot be used, by what mends it.

use crate::UserKey;
use std::path::PathBuf;
use std::sync::Arc;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CqlError {
    /// No node answers.
    #[error(
        "cannot reach the database at {nodes}: {reason}: check `store.cql.nodes`, that it runs, and whether it speaks TLS (`store.cql.authority`)"
    )]
    Unreachable {
        /// Which were asked.
        nodes: String,
        /// Why.
        reason: String,
    },
    /// The user or the password is wrong, or none was sent.
    #[error(
        "the database refuses the user: {reason}: check `store.cql.user` and `store.cql.password_file`"
    )]
    Refused {
        /// What it said.
        reason: String,
    },
    /// The authority's file is none.
    #[error("cannot read certificates from `{}`: {reason}", path.display())]
    Authority {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A consistency level that there is not.
    #[error("`{0}` is no consistency level: write LOCAL_QUORUM, or another that CQL knows")]
    Consistency(String),
    /// A data centre that there is not.
    #[error("the database has no data centre `{name}`, but `{found}`: mend `store.cql.datacenter`")]
    NoDatacenter {
        /// Which was named.
        name: String,
        /// Those that there are.
        found: String,
    },
    /// Several data centres, of which any may be asked, where answers are of one.
    #[error(
        "the database has data centres `{found}`, and local consistency levels: name the one that all instances use in `store.cql.datacenter`, or use SERIAL and a level that is not local"
    )]
    Datacenters {
        /// Those that there are.
        found: String,
    },
    /// A keyspace's name that would not be one.
    #[error(
        "`{0}` is no name for a keyspace: write a letter, and then letters, digits and underscores"
    )]
    Keyspace(String),
    /// There are no tables.
    #[error("keyspace `{keyspace}` has no tables of Muster: run `muster store init` first")]
    NoTables {
        /// Which keyspace.
        keyspace: String,
    },
    /// Some of the tables are gone.
    #[error(
        "keyspace `{keyspace}` lacks tables `{tables}`: restore them from a backup; `muster store init` makes them empty"
    )]
    MissingTables {
        /// Which keyspace.
        keyspace: String,
        /// Their names.
        tables: String,
    },
    /// The tables are of another version.
    #[error("the tables in keyspace `{keyspace}` have format {found}, and this version knows format {known}: {}", mend(*found, *known))]
    OtherVersion {
        /// Which keyspace.
        keyspace: String,
        /// The format that they have.
        found: i32,
        /// The format that is known.
        known: i32,
    },
    /// A request that waiting does not mend.
    #[error("the database refuses a request: {reason}")]
    Request {
        /// What it said.
        reason: String,
    },
    /// A row that does not decode.
    #[error("a row of table `{table}` is damaged: restore it from a backup")]
    Damaged {
        /// Which table.
        table: &'static str,
    },
    /// What is kept of a user does not decode.
    #[error("the row of user `{}` of workspace `{}` is damaged: run `muster store repair`", key.user, key.workspace)]
    UserDamaged {
        /// Of whom.
        key: UserKey,
    },
    /// Rows of a user's history do not decode.
    #[error(
        "{rows} rows of the history of user `{}` of workspace `{}` are damaged: restore her partition of `users` from a snapshot of the database, or let go of the events in them, and then repair her: {deletions}",
        key.user,
        key.workspace
    )]
    HistoryDamaged {
        /// Of whom.
        key: UserKey,
        /// How many.
        rows: usize,
        /// Statements that delete them, or the first of them.
        deletions: String,
    },
    /// The process is ending, and the database does not answer.
    #[error("the database does not answer, and the service is ending")]
    Closed,
    /// No threads to wait on.
    #[error("cannot start threads for the database: {0}")]
    Threads(#[source] std::io::Error),
    /// The database does not answer, where nobody waits until it does.
    #[error("the database does not answer: {0}")]
    Silent(Arc<str>),
}

fn mend(found: i32, known: i32) -> &'static str {
    match found < known {
        true => "run `muster store init`, which brings them up to date",
        false => "use the version that made them, or a later one",
    }
}
