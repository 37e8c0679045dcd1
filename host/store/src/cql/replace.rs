//! Documents that are put only if one of them is as it was read, by a conditional batch: all documents are in
//! one partition.

use super::Shared;
use super::documents::{Change, Stored, Written, applied, columns};
use super::error::CqlError;
use super::session::Backoff;
use futures_util::future::try_join_all;
use scylla::value::CqlValue;

impl Shared {
    /// Puts a document and others with it, all or none, if the one is as it was read. Says whether it was:
    /// if somebody else wrote it meanwhile, nothing is put.
    pub(super) async fn replace_document(
        &self,
        (name, body): (&str, Vec<u8>),
        is_as_read: &dyn Fn(Option<&[u8]>) -> bool,
        others: Vec<Change>,
    ) -> Result<bool, CqlError> {
        let stood = self.read_stored_decided(name).await?;
        let found = match &stood {
            None => None,
            // Pieces that are gone were replaced since.
            Some(stored) => match self.whole(stored).await? {
                None => return Ok(false),
                whole => whole,
            },
        };
        if !is_as_read(found.as_deref()) {
            return Ok(false);
        }
        let before = try_join_all(others.iter().map(|(name, _)| self.read_stored(name))).await?;
        let mut written = Written::new();
        let (consistency, serial) = self.database.consistencies();
        written.batch.set_consistency(consistency);
        written.batch.set_serial_consistency(Some(serial));
        let own = self.stored(&mut written, body).await?;
        written.batch.append_statement(self.statements.replace_document.clone());
        let condition = stood.as_ref().and_then(|(body, _)| body.clone()).map(CqlValue::Blob);
        let mut values = columns(&own);
        values.extend([Some(CqlValue::Text(name.to_string())), condition]);
        written.values.push(values);
        for (name, body) in others {
            self.add(&mut written, &name, body).await?;
        }
        let is_put = self.decide_replacement(name, &written, &stood, &own).await?;
        match is_put {
            true => self.delete_all_pieces(before.into_iter().flatten().chain(stood)).await?,
            false => self.delete_all_pieces(written.in_pieces).await?,
        }
        Ok(is_put)
    }

    /// Makes a conditional batch until it is known what became of it.
    async fn decide_replacement(
        &self,
        name: &str,
        written: &Written,
        stood: &Option<Stored>,
        own: &Stored,
    ) -> Result<bool, CqlError> {
        let mut backoff = Backoff::default();
        loop {
            let (batch, values) = (&written.batch, &written.values);
            let answer = self.database.decide("write_documents", batch, values).await?;
            if let Some(answer) = answer
                && applied(answer)?.is_applied
            {
                return Ok(true);
            }
            // An attempt of which nothing was told may have counted.
            let found = self.read_stored_decided(name).await?;
            if found.as_ref() == Some(own) {
                return Ok(true);
            }
            if found != *stood {
                return Ok(false);
            }
            self.database.pause(&mut backoff).await?;
        }
    }

    /// A document's row, after what is being decided.
    async fn read_stored_decided(&self, name: &str) -> Result<Option<Stored>, CqlError> {
        let statement = &self.statements.document_serial;
        let rows = self.database.rows::<Stored>("read_documents", statement, (name,)).await?;
        Ok(rows.into_iter().next())
    }
}
