//! History of a shared store that steps wait for: read for all of them at once, and kept until they are taken.

use crate::store::{Store, StoreError, UserKey, Wanted};
use muster_core::{Arrival, Extent, Request};
use std::collections::HashMap;

/// Parts of histories.
#[derive(Debug, Default)]
pub(super) struct Supplies {
    wanted: Vec<Wanted>,
    read: HashMap<UserKey, Vec<(Request, Vec<Arrival>)>>,
}

impl Supplies {
    /// A part that was read.
    pub(super) fn find(&self, key: &UserKey, request: &Request) -> Option<&[Arrival]> {
        let mut parts = self.read.get(key)?.iter();
        parts.find(|(part, _)| part == request).map(|(_, events)| events.as_slice())
    }

    /// Whether parts of a user's history are yet to be read; then they are noted as wanted.
    pub(super) fn lack(&mut self, key: &UserKey, requests: &[Request]) -> bool {
        let is_missing = |request: &&Request| self.find(key, request).is_none();
        let missing = requests.iter().filter(is_missing).map(|request| Wanted {
            key: key.clone(),
            event: request.event.clone(),
            from: request.extent.first,
            to: request.extent.last,
        });
        let missing: Vec<Wanted> = missing.collect();
        let lacks = !missing.is_empty();
        self.wanted.extend(missing);
        lacks
    }

    /// Reads everything that is wanted.
    pub(super) fn read(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let wanted = std::mem::take(&mut self.wanted);
        for (part, events) in wanted.iter().zip(store.histories(&wanted)?) {
            let extent = Extent { first: part.from, last: part.to };
            let request = Request { event: part.event.clone(), extent };
            self.read.entry(part.key.clone()).or_default().push((request, events));
        }
        Ok(())
    }

    pub(super) fn discard(&mut self) {
        self.read.clear();
    }
}
