//! Generated shop traffic: regular users and hot ones, messages late, repeated and out of order,
//! refunds.

use crate::decode::format_time;
use fastrand::Rng;
use muster_core::Time;
use serde_json::{Value, json};

/// Of a hundred messages, how many come from the hot users.
const HOT_PERCENT: u32 = 20;
const HOT_USERS: u64 = 3;
/// Of a hundred messages, how many are late, and by how much at the most.
const LATE_PERCENT: u32 = 8;
const LATE_MS_MAX: i64 = 20_000;
/// Of a hundred messages, how many repeat an earlier one.
const REPEATED_PERCENT: u32 = 4;
/// Messages that may be repeated.
const REMEMBERED: usize = 64;
const PLATFORMS: [&str; 3] = ["iOS", "Android", "web"];
const COUNTRIES: [&str; 5] = ["US", "CA", "DE", "FR", "JP"];
const PRODUCTS: u64 = 40;

/// A source of shop messages, the same for the same seed and clock.
#[derive(Debug)]
pub struct Traffic {
    rng: Rng,
    users: u64,
    sent: u64,
    earlier: Vec<String>,
}

impl Traffic {
    /// Traffic of that many users.
    pub fn new(seed: u64, users: u64) -> Traffic {
        Traffic { rng: Rng::with_seed(seed), users: users.max(1), sent: 0, earlier: Vec::new() }
    }

    /// The next message of a workspace, as JSON.
    pub fn message(&mut self, workspace: &str, now: Time) -> String {
        if !self.earlier.is_empty() && self.percent(REPEATED_PERCENT) {
            return self.earlier[self.rng.usize(..self.earlier.len())].clone();
        }
        self.sent += 1;
        let user = match self.percent(HOT_PERCENT) {
            true => format!("hot-{}", self.rng.u64(..HOT_USERS)),
            false => format!("u{}", self.rng.u64(..self.users)),
        };
        let late = if self.percent(LATE_PERCENT) { self.rng.i64(0..LATE_MS_MAX) } else { 0 };
        let platform = PLATFORMS[self.rng.usize(..PLATFORMS.len())];
        let count = 1 + self.rng.usize(..3);
        let events: Vec<Value> = (0..count).map(|at| self.event(now, late, at, platform)).collect();
        let mut message = json!({
            "workspace": workspace,
            "user": user,
            "context": { "platform": platform, "app": "shop" },
            "events": events,
        });
        if self.percent(10) {
            let country = COUNTRIES[self.rng.usize(..COUNTRIES.len())];
            message["attributes"] = json!({ "country": country });
        }
        let text = message.to_string();
        if self.earlier.len() == REMEMBERED {
            let forgotten = self.rng.usize(..REMEMBERED);
            self.earlier.swap_remove(forgotten);
        }
        self.earlier.push(text.clone());
        text
    }

    fn event(&mut self, now: Time, late_ms: i64, at: usize, platform: &str) -> Value {
        let (name, properties) = match self.rng.u32(..100) {
            0..55 => ("view", json!({ "product": self.product(), "platform": platform })),
            55..75 => ("add_to_cart", json!({ "product": self.product(), "platform": platform })),
            75..95 => ("purchase", json!({ "amount": self.amount(), "platform": platform })),
            _ => ("refund", json!({ "amount": self.amount(), "platform": platform })),
        };
        // Events of one message are not always in order.
        let shuffled = self.rng.i64(0..50);
        let time = now.milliseconds() - late_ms - shuffled;
        let time = Time::from_milliseconds(time).map(format_time);
        json!({ "name": name, "time": time, "id": format!("e-{}-{at}", self.sent), "properties": properties })
    }

    fn product(&mut self) -> String {
        format!("p{}", self.rng.u64(..PRODUCTS))
    }

    /// Cents, as the shop writes them.
    fn amount(&mut self) -> f64 {
        f64::from(self.rng.u32(300..12_000)) / 100.0
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.rng.u32(..100) < percent
    }
}
