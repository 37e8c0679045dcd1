//! Every statement, prepared once.

use super::error::CqlError;
use super::session::Database;
use scylla::statement::prepared::PreparedStatement;

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident: $prepare:ident $cql:literal,)*) => {
        /// Every statement, by what it does.
        pub(super) struct Statements {
            $($(#[$doc])* pub(super) $name: PreparedStatement,)*
        }

        impl Statements {
            /// Prepares all of them.
            pub(super) async fn prepare(database: &Database) -> Result<Statements, CqlError> {
                Ok(Statements { $($name: database.$prepare($cql).await?,)* })
            }
        }
    };
}

statements! {
    user: prepare "SELECT DISTINCT version, state, profile, shadow, hint, untold, told FROM {}.users \
        WHERE workspace = ? AND user = ?",
    user_serial: prepare_serial "SELECT DISTINCT version, state, profile, shadow, hint, untold, told \
        FROM {}.users WHERE workspace = ? AND user = ?",
    write_user: prepare "UPDATE {}.users SET version = ?, state = ?, profile = ?, shadow = ?, hint = ?, \
        untold = ? WHERE workspace = ? AND user = ? IF version = ?",
    fence_user: prepare "UPDATE {}.users SET version = ? WHERE workspace = ? AND user = ? IF version = ?",
    write_history: prepare "INSERT INTO {}.users (workspace, user, event, at, number, arrivals) \
        VALUES (?, ?, ?, ?, ?, ?) USING TTL ?",
    history: prepare "SELECT event, arrivals FROM {}.users WHERE workspace = ? AND user = ?",
    history_rows: prepare "SELECT event, at, number, arrivals FROM {}.users WHERE workspace = ? AND user = ?",
    history_of: prepare "SELECT event, arrivals FROM {}.users WHERE workspace = ? AND user = ? \
        AND event = ? AND at >= ? AND at <= ?",
    write_told: prepare "UPDATE {}.users USING TIMESTAMP ? SET told = ? WHERE workspace = ? AND user = ?",
    timer_spans: prepare "SELECT span, part, WRITETIME(noted), toUnixTimestamp(now()) FROM {}.timer_spans \
        WHERE id = 0 AND span >= ? AND span <= ?",
    write_timer_span: prepare "INSERT INTO {}.timer_spans (id, span, part, noted) VALUES (0, ?, ?, true)",
    delete_timer_span: prepare "DELETE FROM {}.timer_spans USING TIMESTAMP ? WHERE id = 0 AND span = ? \
        AND part = ?",
    timers: prepare "SELECT at, workspace, user FROM {}.timers WHERE span = ? AND part = ? \
        AND (at, workspace, user) >= (?, ?, ?) AND (at) < (?) LIMIT ?",
    write_timer: prepare "INSERT INTO {}.timers (span, part, at, workspace, user) VALUES (?, ?, ?, ?, ?) \
        USING TIMESTAMP ?",
    delete_timer: prepare "DELETE FROM {}.timers USING TIMESTAMP ? WHERE span = ? AND part = ? AND at = ? \
        AND workspace = ? AND user = ?",
    members: prepare "SELECT user, since FROM {}.members WHERE workspace = ? AND audience = ? AND part = ? \
        AND user > ? LIMIT ?",
    member: prepare "SELECT since, WRITETIME(since) FROM {}.members WHERE workspace = ? AND audience = ? \
        AND part = ? AND user = ?",
    write_member: prepare "INSERT INTO {}.members (workspace, audience, part, user, since) \
        VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?",
    delete_member: prepare "DELETE FROM {}.members USING TIMESTAMP ? WHERE workspace = ? AND audience = ? \
        AND part = ? AND user = ?",
    user_ids: prepare "SELECT user FROM {}.user_ids WHERE workspace = ? AND part = ? AND user > ? LIMIT ?",
    write_user_id: prepare "INSERT INTO {}.user_ids (workspace, part, user) VALUES (?, ?, ?)",
    count_user_ids: prepare "SELECT COUNT(*) FROM {}.user_ids WHERE workspace = ? AND part = ?",
    workspaces: prepare "SELECT workspace FROM {}.workspaces WHERE id = 0",
    write_workspace: prepare "INSERT INTO {}.workspaces (id, workspace) VALUES (0, ?)",
    audiences: prepare "SELECT audience, name FROM {}.audiences WHERE id = 0",
    write_audience: prepare "INSERT INTO {}.audiences (id, audience, name) VALUES (0, ?, ?)",
    document: prepare "SELECT body, pieces FROM {}.documents WHERE id = 0 AND name = ?",
    document_serial: prepare_serial "SELECT body, pieces FROM {}.documents WHERE id = 0 AND name = ?",
    replace_document: prepare "UPDATE {}.documents SET body = ?, pieces = ? WHERE id = 0 AND name = ? \
        IF body = ?",
    documents: prepare "SELECT name, body, pieces FROM {}.documents WHERE id = 0 AND name >= ? LIMIT ?",
    documents_after: prepare "SELECT name, body, pieces FROM {}.documents WHERE id = 0 AND name > ? LIMIT ?",
    write_document: prepare "INSERT INTO {}.documents (id, name, body, pieces) VALUES (0, ?, ?, ?)",
    delete_document: prepare "DELETE FROM {}.documents WHERE id = 0 AND name = ?",
    piece: prepare "SELECT body FROM {}.document_pieces WHERE pieces = ? AND piece = ?",
    write_piece: prepare "INSERT INTO {}.document_pieces (pieces, piece, body) VALUES (?, ?, ?)",
    delete_piece: prepare "DELETE FROM {}.document_pieces WHERE pieces = ? AND piece = ?",
    dead_letters: prepare "SELECT sequence, letter FROM {}.dead_letters WHERE id = 0 AND sequence > ? LIMIT ?",
    write_dead_letter: prepare "INSERT INTO {}.dead_letters (id, sequence, letter) VALUES (0, ?, ?)",
    kept: prepare "SELECT event, since, kept_ms FROM {}.kept WHERE workspace = ?",
    write_kept: prepare "INSERT INTO {}.kept (workspace, event, since, kept_ms) VALUES (?, ?, ?, ?)",
    begun: prepare "SELECT event, first FROM {}.begun WHERE workspace = ?",
    write_begun: prepare "INSERT INTO {}.begun (workspace, event, first) VALUES (?, ?, ?) USING TIMESTAMP ?",
    forgotten: prepare "SELECT event, until FROM {}.forgotten WHERE workspace = ?",
    write_forgotten: prepare "INSERT INTO {}.forgotten (workspace, event, until) VALUES (?, ?, ?) \
        USING TIMESTAMP ?",
    clock: prepare "SELECT clock FROM {}.clocks WHERE id = 0",
    write_clock: prepare "INSERT INTO {}.clocks (id, clock) VALUES (0, ?) USING TIMESTAMP ?",
    instances: prepare "SELECT owner FROM {}.instances WHERE id = 0",
    write_instance: prepare "INSERT INTO {}.instances (id, owner) VALUES (0, ?) USING TTL ?",
    delete_instance: prepare "DELETE FROM {}.instances WHERE id = 0 AND owner = ?",
    swept: prepare "SELECT owner, marks FROM {}.swept WHERE id = 0",
    write_swept: prepare "INSERT INTO {}.swept (id, owner, marks) VALUES (0, ?, ?) USING TTL ?",
    owners: prepare "SELECT owner, turn, WRITETIME(turn) FROM {}.owners WHERE id = 0",
    write_owner: prepare "INSERT INTO {}.owners (id, owner, turn) VALUES (0, ?, ?)",
    delete_owner: prepare "DELETE FROM {}.owners USING TIMESTAMP ? WHERE id = 0 AND owner = ?",
    journal: prepare "SELECT turn, users FROM {}.journal WHERE owner = ? AND turn >= ? LIMIT 1",
    write_journal: prepare "INSERT INTO {}.journal (owner, turn, users) VALUES (?, ?, ?)",
    delete_journal: prepare "DELETE FROM {}.journal WHERE owner = ? AND turn = ?",
    lock: prepare_serial "SELECT owner FROM {}.locks WHERE name = ?",
    take_lock: prepare "INSERT INTO {}.locks (name, owner) VALUES (?, ?) IF NOT EXISTS",
    take_over_lock: prepare "UPDATE {}.locks SET owner = ? WHERE name = ? IF owner = ?",
    give_lock: prepare "DELETE FROM {}.locks WHERE name = ? IF owner = ?",
}
