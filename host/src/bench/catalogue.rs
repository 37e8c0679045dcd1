//! A catalogue of audiences, drawn as a large customer's would be.
//!
//! Event names follow Zipf's law, windows are the ones that people think in, thresholds are small
//! and seldom large, most audiences join two or three conditions, some refer to others. Thousands of
//! audiences over a few hundred names differ by what the events are about: more than half of the
//! conditions ask for a category, a brand, an item or a campaign, the popular ones more often, and
//! events have them likewise.

use fastrand::Rng;
use std::fmt::Write;

/// Event names of the catalogue.
pub(super) const NAMES: usize = 300;
/// Windows, and how often each is chosen, in percent.
const WINDOWS: [(&str, u32); 9] = [
    ("1d", 8),
    ("3d", 6),
    ("7d", 20),
    ("14d", 10),
    ("30d", 28),
    ("60d", 6),
    ("90d", 12),
    ("180d", 4),
    ("365d", 6),
];
/// Properties that conditions ask for, how many values each has, and how often each is asked for, in
/// percent.
const SUBJECTS: [(&str, usize, u32); 4] =
    [("category", 40, 24), ("brand", 200, 14), ("item", 2_000, 10), ("campaign", 60, 8)];
const PLATFORMS: [&str; 3] = ["iOS", "Android", "web"];
const COUNTRIES: [&str; 8] = ["US", "CA", "DE", "FR", "JP", "GB", "BR", "IN"];
/// Of a hundred audiences, how many refer to another.
const REFERRING_PERCENT: u32 = 8;
/// Of a hundred conditions, how many are on the profile, and how many negated.
const PROFILE_PERCENT: u32 = 12;
const NEGATED_PERCENT: u32 = 12;

/// Definitions of that many audiences, as YAML.
pub(super) fn definitions(seed: u64, audiences: usize) -> String {
    let mut rng = Rng::with_seed(seed);
    let mut out = String::from("audiences:\n");
    for at in 0..audiences {
        let refers = at >= 100 && rng.u32(..100) < REFERRING_PERCENT;
        let conditions = 1 + rng.usize(..3);
        put(&mut out, format_args!("  - id: a{at:05}\n    where:\n      all:\n"));
        // The first condition is what the audience is about, and is never negated.
        put(&mut out, format_args!("        - {}\n", event(&mut rng)));
        for _ in 0..conditions {
            let node = match rng.u32(..100) {
                percent if percent < PROFILE_PERCENT => profile(&mut rng),
                percent if percent < PROFILE_PERCENT + NEGATED_PERCENT => {
                    format!("not: {}", event(&mut rng))
                }
                percent if percent < 50 => {
                    format!("any: [{}, {}]", event(&mut rng), event(&mut rng))
                }
                _ => event(&mut rng),
            };
            put(&mut out, format_args!("        - {node}\n"));
        }
        if refers {
            // Only to earlier ones that refer to none, so that levels stay few.
            put(&mut out, format_args!("        - audience: a{:05}\n", rng.usize(..100)));
        }
    }
    out
}

/// The same definitions, but one more condition in one audience of so many.
pub(super) fn changed(yaml: &str, one_of: usize) -> String {
    let mut rng = Rng::with_seed(11);
    let mut out = String::with_capacity(yaml.len());
    let (begin, audiences) = yaml.split_once("  - id: ").unwrap_or((yaml, ""));
    out.push_str(begin);
    for (at, audience) in audiences.split("  - id: ").enumerate() {
        put(&mut out, format_args!("  - id: {audience}"));
        if at % one_of == one_of / 2 {
            put(&mut out, format_args!("        - {}\n", event(&mut rng)));
        }
    }
    out
}

/// What happens in a shop of that catalogue.
pub(super) struct Happening {
    pub(super) name: String,
    pub(super) platform: &'static str,
    /// In hundredths.
    pub(super) amount: u32,
    /// What it is about: a value for each property.
    pub(super) subjects: [(&'static str, String); SUBJECTS.len()],
}

pub(super) fn happening(rng: &mut Rng) -> Happening {
    Happening {
        name: name(rng),
        platform: platform(rng),
        amount: rng.u32(100..20_000),
        subjects: SUBJECTS.map(|(property, values, _)| (property, subject(rng, property, values))),
    }
}

/// The name of an event, the first names far more often than the last.
fn name(rng: &mut Rng) -> String {
    format!("event_{:03}", ranked(rng, NAMES))
}

fn subject(rng: &mut Rng, property: &str, values: usize) -> String {
    format!("{property}-{}", ranked(rng, values))
}

/// One of that many ranks, the first far more often than the last (Zipf's law).
fn ranked(rng: &mut Rng, ranks: usize) -> usize {
    let rank = (ranks as f64).powf(rng.f64()) as usize;
    rank.min(ranks) - 1
}

fn platform(rng: &mut Rng) -> &'static str {
    PLATFORMS[rng.usize(..PLATFORMS.len())]
}

fn event(rng: &mut Rng) -> String {
    let mut out = format!("{{ event: {}", name(rng));
    if rng.u32(..100) < 20 {
        put(&mut out, format_args!(", context: {{ platform: {} }}", platform(rng)));
    }
    let mut with = Vec::new();
    let mut percent = rng.u32(..100);
    for (property, values, weight) in SUBJECTS {
        if percent < weight {
            with.push(format!("{property}: {}", subject(rng, property, values)));
            break;
        }
        percent -= weight;
    }
    if rng.u32(..100) < 10 {
        let amount = [10, 20, 50, 100][rng.usize(..4)];
        with.push(format!("amount: {{ gte: {amount} }}"));
    }
    if !with.is_empty() {
        put(&mut out, format_args!(", with: {{ {} }}", with.join(", ")));
    }
    match rng.u32(..100) {
        0..70 => put(&mut out, format_args!(", count: {{ gte: {} }}", threshold(rng))),
        70..85 => put(&mut out, format_args!(", sum: {{ gte: {}00 }}, of: amount", threshold(rng))),
        85..90 => put(&mut out, format_args!(", max: {{ gte: {}0 }}, of: amount", threshold(rng))),
        90..95 => {
            put(&mut out, format_args!(", distinct: {{ gte: {} }}, of: item", threshold(rng)))
        }
        95..98 => {
            put(&mut out, format_args!(", avg: {{ gte: {} }}, of: amount", 20 + rng.u32(..40)))
        }
        _ => put(&mut out, format_args!(", last: {}, of: platform", platform(rng))),
    }
    if rng.u32(..100) < 92 {
        put(&mut out, format_args!(", within: {}", window(rng)));
    }
    out + " }"
}

fn profile(rng: &mut Rng) -> String {
    match rng.bool() {
        true => format!("profile: {{ country: {} }}", COUNTRIES[rng.usize(..COUNTRIES.len())]),
        false => format!("profile: {{ age: {{ gte: {} }} }}", 18 + 5 * rng.u32(..10)),
    }
}

/// Small mostly; large now and then.
fn threshold(rng: &mut Rng) -> u32 {
    match rng.u32(..100) {
        0..45 => 1,
        45..80 => 2 + rng.u32(..4),
        80..97 => 5 + rng.u32(..15),
        _ => 50 + 50 * rng.u32(..4),
    }
}

fn window(rng: &mut Rng) -> &'static str {
    let mut percent = rng.u32(..100);
    for (window, weight) in WINDOWS {
        if percent < weight {
            return window;
        }
        percent -= weight;
    }
    WINDOWS[0].0
}

/// Writing to a text cannot fail.
fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).unwrap_or_default();
}
