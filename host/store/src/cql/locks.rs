//! What only one process may have at a time.

use super::Shared;
use super::division::Division;
use super::documents::applied;
use super::error::CqlError;
use super::session::Backoff;
use std::sync::Arc;

impl Shared {
    /// Takes a lock, or says who has it.
    pub(super) async fn take_lock(
        &self,
        name: &str,
        division: &Division,
    ) -> Result<Option<Arc<str>>, CqlError> {
        let mut backoff = Backoff::default();
        loop {
            let statement = &self.statements.lock;
            let rows = self.database.rows::<(String,)>("lock", statement, (name,)).await?;
            let answer = match rows.into_iter().next() {
                Some((owner,)) if *owner == *self.owner => return Ok(None),
                Some((owner,)) if division.is_alive(&owner).await? => {
                    return Ok(Some(owner.into()));
                }
                Some((owner,)) => {
                    let values = (&*self.owner, name, owner);
                    self.database
                        .decide_one("lock", &self.statements.take_over_lock, values)
                        .await?
                }
                None => {
                    let values = (name, &*self.owner);
                    self.database.decide_one("lock", &self.statements.take_lock, values).await?
                }
            };
            // Where that is not told, the next look tells.
            if let Some(answer) = answer
                && applied(answer)?.is_applied
            {
                return Ok(None);
            }
            self.database.pause(&mut backoff).await?;
        }
    }

    pub(super) async fn give_lock(&self, name: &str) -> Result<(), CqlError> {
        let mut backoff = Backoff::default();
        let values = (name, &*self.owner);
        while self.database.decide_one("lock", &self.statements.give_lock, values).await?.is_none()
        {
            self.database.pause(&mut backoff).await?;
        }
        Ok(())
    }
}
