//! What comes in for a turn, by user.

use super::Delivery;
use crate::lifecycle::Deployment;
use crate::metrics::Metrics;
use crate::store::UserKey;
use muster_core::Message;
use std::collections::HashMap;
use std::sync::Arc;

/// Messages by user.
pub(super) type Batches = Vec<(UserKey, Vec<Message>)>;

/// What came in for a turn.
#[derive(Default)]
pub(super) struct Intake {
    pub(super) deliveries: Vec<Delivery>,
    pub(super) messages: usize,
    pub(super) rules: Vec<(Arc<str>, Deployment)>,
    pub(super) documents: Vec<(Arc<str>, Option<Vec<u8>>)>,
    pub(super) ended: bool,
}

impl Intake {
    pub(super) fn is_empty(&self) -> bool {
        self.deliveries.is_empty() && self.rules.is_empty() && !self.ended
    }

    /// Takes the messages, a user's together and in order: behind those that are taken again.
    pub(super) fn by_user(&mut self, again: Batches, metrics: &Metrics) -> Batches {
        let mut by_user = again;
        let places = by_user.iter().zip(0..).map(|((key, _), place)| (key.clone(), place));
        let mut place_of: HashMap<UserKey, usize> = places.collect();
        for delivery in &mut self.deliveries {
            for (key, message) in std::mem::take(&mut delivery.messages) {
                delivery.users.push(key.clone());
                metrics.messages.with_label_values(&[&key.workspace]).inc();
                let events = message.events.len() as u64;
                metrics.events.with_label_values(&[&key.workspace]).inc_by(events);
                let place = *place_of.entry(key.clone()).or_insert_with(|| {
                    by_user.push((key, Vec::new()));
                    by_user.len() - 1
                });
                by_user[place].1.push(message);
            }
        }
        by_user
    }
}

/// Leaves each user so many bytes of messages, and one at the least. Gives those behind them.
pub(super) fn split_off(batches: &mut Batches, bytes_max: usize) -> Batches {
    let mut rest = Batches::new();
    for (key, messages) in batches {
        let mut bytes = 0;
        let fitting = messages.iter().position(|message| {
            bytes += message.weight();
            bytes > bytes_max
        });
        if let Some(fitting) = fitting.map(|fitting| fitting.max(1))
            && fitting < messages.len()
        {
            rest.push((key.clone(), messages.split_off(fitting)));
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_core::{Event, Time};

    fn event(bytes: usize, hour: i64) -> Arc<Event> {
        let time = Time::from_milliseconds(hour * 3_600_000).unwrap_or(Time::EPOCH);
        let (id, properties, context) = Default::default();
        Arc::new(Event { name: "x".repeat(bytes).into(), time, id, properties, context })
    }

    fn message(bytes: usize) -> Message {
        Message { events: vec![event(bytes, 0)], ..Message::default() }
    }

    /// How many messages of such lengths are left of a user, and how many come later.
    fn divided(lengths: &[usize], bytes_max: usize) -> (usize, usize) {
        let key = UserKey { workspace: "w".into(), user: "u".into() };
        let mut batches = vec![(key, lengths.iter().copied().map(message).collect())];
        let rest = split_off(&mut batches, bytes_max);
        (batches[0].1.len(), rest.iter().map(|(_, messages)| messages.len()).sum())
    }

    #[test]
    fn a_user_has_as_many_messages_of_a_turn_as_fit_and_one_at_the_least() {
        let of_two = message(1_000).weight() * 2;
        assert_eq!(divided(&[1_000; 5], of_two), (2, 3));
        assert_eq!(divided(&[1_000; 2], of_two), (2, 0));
        assert_eq!(divided(&[5_000, 10, 10], of_two), (1, 2));
        assert_eq!(divided(&[5_000], of_two), (1, 0));
        assert_eq!(divided(&[], of_two), (0, 0));
    }

    #[test]
    fn a_turn_writes_no_more_rows_of_a_user_than_a_database_takes_in_one_statement() {
        let key = UserKey { workspace: "w".into(), user: "u".into() };
        let over_years = |from: i64| {
            let events = (from..from + 1_000).map(|hour| event(4, hour)).collect();
            Message { events, ..Message::default() }
        };
        let messages = (0..70).map(|message| over_years(message * 1_000)).collect();
        let mut batches = vec![(key, messages)];
        split_off(&mut batches, crate::decode::MESSAGE_WEIGHT_MAX);
        assert!((1..=4).contains(&batches[0].1.len()), "{}", batches[0].1.len());
    }
}
