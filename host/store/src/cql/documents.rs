//! Documents, ids of audiences, what was refused, and the clock.

use super::error::CqlError;
use super::session::{Backoff, HEARTBEAT, request};
use super::{Shared, lock};
use crate::{NamedDocument, Version};
use futures_util::future::try_join_all;
use muster_core::{AudienceKey, Time};
use scylla::response::query_result::QueryResult;
use scylla::statement::batch::{Batch, BatchType};
use scylla::value::{CqlValue, Row};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes of a document that are kept in one row: databases bound what one write may hold.
const PIECE_BYTES: usize = 1 << 20;
/// Dead letters made within one millisecond by all processes are told apart by so many bits.
const LETTER_BITS: u32 = 20;

/// A document's row: its body, or where it is in pieces the name of these, and how many.
pub(super) type Stored = (Option<Vec<u8>>, Option<i32>);

/// A document to be put, or deleted, by name.
pub(super) type Change = (Arc<str>, Option<Vec<u8>>);

/// Documents laid out to be written together.
pub(super) struct Written {
    pub(super) batch: Batch,
    pub(super) values: Vec<Vec<Option<CqlValue>>>,
    /// Those of them whose pieces are written already.
    pub(super) in_pieces: Vec<Stored>,
}

impl Written {
    pub(super) fn new() -> Written {
        Written { batch: Batch::new(BatchType::Logged), values: Vec::new(), in_pieces: Vec::new() }
    }
}

/// The columns that a document's row has beside its name.
pub(super) fn columns((body, pieces): &Stored) -> Vec<Option<CqlValue>> {
    vec![body.clone().map(CqlValue::Blob), pieces.map(CqlValue::Int)]
}

impl Shared {
    pub(super) fn clock(&self) -> Time {
        Time::from_milliseconds(self.clock.load(Ordering::Acquire)).unwrap_or(Time::EPOCH)
    }

    /// Takes the clock over where another process is further.
    pub(super) async fn follow_clock(&self) -> Result<(), CqlError> {
        let rows = self.database.rows::<(i64,)>(HEARTBEAT, &self.statements.clock, ()).await?;
        if let Some((clock,)) = rows.first() {
            self.clock.fetch_max(*clock, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Writes the clock; of several, the latest stays.
    pub(super) async fn write_clock(&self, clock: Time) -> Result<(), CqlError> {
        let clock = clock.milliseconds();
        let statement = &self.statements.write_clock;
        self.database.execute("write_clock", statement, (clock, clock.max(0) + 1)).await?;
        self.clock.fetch_max(clock, Ordering::AcqRel);
        Ok(())
    }

    pub(super) async fn read_document(&self, name: &str) -> Result<Option<Vec<u8>>, CqlError> {
        let mut before = None;
        loop {
            let Some(stored) = self.read_stored(name).await? else { return Ok(None) };
            if let Some(whole) = self.whole(&stored).await? {
                return Ok(Some(whole));
            }
            // Its pieces go when others have taken their place: then the row is another by now.
            if before.as_ref() == Some(&stored) {
                return Err(CqlError::Damaged { table: "document_pieces" });
            }
            before = Some(stored);
        }
    }

    pub(super) async fn read_stored(&self, name: &str) -> Result<Option<Stored>, CqlError> {
        let statement = &self.statements.document;
        let rows = self.database.rows::<Stored>("read_documents", statement, (name,)).await?;
        Ok(rows.into_iter().next())
    }

    pub(super) async fn read_documents(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<NamedDocument>, CqlError> {
        type Columns = (String, Option<Vec<u8>>, Option<i32>);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let (statement, from) = match after {
            Some(after) => (&self.statements.documents_after, after),
            None => (&self.statements.documents, prefix),
        };
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let rows =
            self.database.rows::<Columns>("read_documents", statement, (from, limit)).await?;
        let same = rows.into_iter().take_while(|(name, ..)| name.starts_with(prefix));
        let mut documents = Vec::new();
        for (name, body, pieces) in same {
            let body = match self.whole(&(body, pieces)).await? {
                Some(body) => Some(body),
                None => self.read_document(&name).await?,
            };
            documents.extend(body.map(|body| (name.into(), body)));
        }
        Ok(documents)
    }

    /// A document, put together if it is in pieces; nothing when a piece is gone.
    pub(super) async fn whole(&self, (body, pieces): &Stored) -> Result<Option<Vec<u8>>, CqlError> {
        let Some(pieces) = *pieces else { return Ok(Some(body.clone().unwrap_or_default())) };
        let set = body.as_deref().unwrap_or_default();
        let statement = &self.statements.piece;
        let pieces = (0..pieces).map(|piece| {
            self.database.rows::<(Vec<u8>,)>("read_documents", statement, (set, piece))
        });
        let mut whole = Vec::new();
        for piece in try_join_all(pieces).await? {
            let Some((piece,)) = piece.into_iter().next() else { return Ok(None) };
            whole.extend(piece);
        }
        Ok(Some(whole))
    }

    pub(super) async fn delete_all_pieces(
        &self,
        all: impl IntoIterator<Item = Stored>,
    ) -> Result<(), CqlError> {
        try_join_all(all.into_iter().map(|stored| self.delete_pieces(stored))).await?;
        Ok(())
    }

    async fn delete_pieces(&self, (body, pieces): Stored) -> Result<(), CqlError> {
        let set = body.as_deref().unwrap_or_default();
        let statement = &self.statements.delete_piece;
        let pieces = (0..pieces.unwrap_or(0))
            .map(|piece| self.database.execute("write_documents", statement, (set, piece)));
        try_join_all(pieces).await?;
        Ok(())
    }

    /// Puts documents, all or none; pieces of large ones before, and what they take the place of goes
    /// afterwards. Pieces are never written over: a commit that does not come to its end would leave those
    /// of one document in another.
    pub(super) async fn put_documents(&self, documents: Vec<Change>) -> Result<(), CqlError> {
        if documents.is_empty() {
            return Ok(());
        }
        let before = try_join_all(documents.iter().map(|(name, _)| self.read_stored(name))).await?;
        let mut written = Written::new();
        for (name, body) in documents {
            self.add(&mut written, &name, body).await?;
        }
        let mut backoff = Backoff::default();
        // What is put twice is put once.
        let (batch, values) = (&written.batch, &written.values);
        while self.database.decide("write_documents", batch, values).await?.is_none() {
            self.database.pause(&mut backoff).await?;
        }
        self.delete_all_pieces(before.into_iter().flatten()).await
    }

    /// Adds a document to a batch.
    pub(super) async fn add(
        &self,
        written: &mut Written,
        name: &str,
        body: Option<Vec<u8>>,
    ) -> Result<(), CqlError> {
        let mut values = vec![Some(CqlValue::Text(name.to_string()))];
        match body {
            None => written.batch.append_statement(self.statements.delete_document.clone()),
            Some(body) => {
                let stored = self.stored(written, body).await?;
                written.batch.append_statement(self.statements.write_document.clone());
                values.extend(columns(&stored));
            }
        }
        written.values.push(values);
        Ok(())
    }

    /// What goes into the row of a document: where it is large, its pieces are written.
    pub(super) async fn stored(
        &self,
        written: &mut Written,
        body: Vec<u8>,
    ) -> Result<Stored, CqlError> {
        if body.len() <= PIECE_BYTES {
            return Ok((Some(body), None));
        }
        let set = Version::fresh().to_bytes();
        let pieces = (0i32..).zip(body.chunks(PIECE_BYTES)).map(|(piece, bytes)| {
            let statement = &self.statements.write_piece;
            self.database.execute("write_documents", statement, (&set[..], piece, bytes))
        });
        let pieces = try_join_all(pieces).await?.len();
        let pieces = i32::try_from(pieces).map_err(|error| request(&error))?;
        let stored = (Some(set.to_vec()), Some(pieces));
        written.in_pieces.push(stored.clone());
        Ok(stored)
    }

    pub(super) async fn put_audiences(
        &self,
        audiences: Vec<(AudienceKey, Arc<str>)>,
    ) -> Result<(), CqlError> {
        let is_new = |key: &AudienceKey| !lock(&self.written).audiences.contains(key);
        let new: Vec<_> = audiences.into_iter().filter(|(key, _)| is_new(key)).collect();
        let statement = &self.statements.write_audience;
        try_join_all(new.iter().map(|(key, id)| {
            let values = (key.bits().cast_signed(), &**id);
            self.database.execute("write_audiences", statement, values)
        }))
        .await?;
        lock(&self.written).audiences.extend(new.into_iter().map(|(key, _)| key));
        Ok(())
    }

    pub(super) async fn read_audience_ids(&self) -> Result<Vec<(AudienceKey, Arc<str>)>, CqlError> {
        let statement = &self.statements.audiences;
        let rows = self.database.rows::<(i64, String)>("read_audiences", statement, ()).await?;
        let ids = rows
            .into_iter()
            .map(|(key, id)| (AudienceKey::from_bits(key.cast_unsigned()), Arc::<str>::from(id)));
        let mut ids: Vec<_> = ids.collect();
        ids.sort();
        Ok(ids)
    }

    pub(super) async fn put_dead_letters(
        &self,
        letters: Vec<Vec<u8>>,
        made: Time,
    ) -> Result<(), CqlError> {
        let statement = &self.statements.write_dead_letter;
        let letters = letters.into_iter().map(|letter| {
            let number = {
                let mut written = lock(&self.written);
                // Where it begins differs by process, so that two of them hardly ever meet.
                if written.letters == 0 {
                    written.letters = fastrand::u64(1..1 << LETTER_BITS);
                }
                written.letters += 1;
                written.letters % (1 << LETTER_BITS)
            };
            let sequence = (made.milliseconds() << LETTER_BITS) | number.cast_signed();
            self.database.execute("write_dead_letters", statement, (sequence, letter))
        });
        try_join_all(letters).await?;
        Ok(())
    }

    pub(super) async fn read_dead_letters(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, CqlError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let values = (after, i32::try_from(limit).unwrap_or(i32::MAX));
        let statement = &self.statements.dead_letters;
        let rows =
            self.database.rows::<(i64, Vec<u8>)>("read_dead_letters", statement, values).await?;
        Ok(rows.into_iter().map(|(sequence, letter)| (sequence.cast_unsigned(), letter)).collect())
    }
}

/// What a conditional write came to.
pub(super) struct Applied {
    pub(super) is_applied: bool,
    /// The version that was found, where it was told.
    pub(super) version: Option<Vec<u8>>,
}

pub(super) fn applied(result: QueryResult) -> Result<Applied, CqlError> {
    let rows = result.into_rows_result().map_err(|error| request(&error))?;
    let specs = rows.column_specs();
    let place = |name| specs.get_by_name(name).map(|(at, _)| at);
    let (applied, version) = (place("[applied]"), place("version"));
    let row = rows.first_row::<Row>().map_err(|error| request(&error))?;
    let column = |at: Option<usize>| at.and_then(|at| row.columns.get(at)?.as_ref());
    Ok(Applied {
        is_applied: matches!(column(applied), Some(CqlValue::Boolean(true))),
        version: match column(version) {
            Some(CqlValue::Blob(version)) => Some(version.clone()),
            _ => None,
        },
    })
}
