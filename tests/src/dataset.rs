//! Real data as native messages, one JSON object a line, in the order of time.
//!
//! - CDNOW: the purchases of 23,570 customers from January 1997 to June 1998 (Fader and Hardie,
//!   2001). A line is a customer, a date, a number of discs and an amount in dollars.
//! - Clickstream: 31,106 events of 600 users of a shop, with platform and channel.
//!
//! The files are no part of the project. They are looked for in the folder that `MUSTER_DATA`
//! names, else in `shared/data` beside the project's own folder.

use flate2::read::GzDecoder;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;

/// A set of real data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Dataset {
    /// The purchase history.
    Cdnow,
    /// The shop's events.
    Clickstream,
}

/// Why a set of data cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// Its file cannot be read.
    #[error("cannot read `{}`: {source}; set MUSTER_DATA to the folder that holds it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line has other columns than it should.
    #[error("`{}` line {line} is malformed: `{text}`", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What it says.
        text: String,
    },
}

impl Dataset {
    /// Where its file is looked for.
    pub fn path(self) -> PathBuf {
        let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
        let folder = std::env::var_os("MUSTER_DATA").map_or_else(beside, PathBuf::from);
        folder.join(match self {
            Dataset::Cdnow => "cdnow.txt.gz",
            Dataset::Clickstream => "clickstream.csv.gz",
        })
    }

    /// Its messages as JSON lines, in the order of time; the file's order decides between equal
    /// times. Ids are the same at every conversion.
    ///
    /// # Errors
    /// When the file cannot be read, or has other columns than it should.
    pub fn messages(self) -> Result<Vec<String>, DatasetError> {
        let lines = self.lines()?;
        let mut timed = match self {
            Dataset::Cdnow => self.convert(&lines, cdnow)?,
            Dataset::Clickstream => {
                let mut by_time = lines;
                by_time.retain(|(_, text)| !text.starts_with("user_id,"));
                by_time.sort_by_key(|(_, text)| text.split(',').nth(3).map(str::to_string));
                let mut attributes = BTreeMap::new();
                self.convert(&by_time, |line, text| clickstream(line, text, &mut attributes))?
            }
        };
        timed.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(timed.into_iter().map(|(_, message)| message.to_string()).collect())
    }

    fn lines(self) -> Result<Vec<(usize, String)>, DatasetError> {
        let path = self.path();
        let unreadable = |source| DatasetError::Unreadable { path: path.clone(), source };
        let file = File::open(&path).map_err(unreadable)?;
        let lines = BufReader::new(GzDecoder::new(file)).lines();
        let numbered = (1..).zip(lines).map(|(number, line)| Ok((number, line?)));
        numbered.collect::<io::Result<Vec<_>>>().map_err(unreadable)
    }

    fn convert(
        self,
        lines: &[(usize, String)],
        mut convert: impl FnMut(usize, &str) -> Option<(String, serde_json::Value)>,
    ) -> Result<Vec<(String, serde_json::Value)>, DatasetError> {
        let convert = |(line, text): &(usize, String)| {
            convert(*line, text).ok_or_else(|| {
                let (path, line, text) = (self.path(), *line, text.clone());
                DatasetError::Malformed { path, line, text }
            })
        };
        lines.iter().map(convert).collect()
    }
}

/// A purchase, and its time as text that sorts.
fn cdnow(line: usize, text: &str) -> Option<(String, serde_json::Value)> {
    let columns: Vec<&str> = text.split_whitespace().collect();
    let [customer, date, quantity, amount] = columns[..] else { return None };
    let time = format!("{}-{}-{}T00:00:00Z", date.get(..4)?, date.get(4..6)?, date.get(6..)?);
    let quantity: u64 = quantity.parse().ok()?;
    let amount: f64 = amount.parse().ok()?;
    let properties = json!({ "quantity": quantity, "amount": amount });
    let id = format!("cdnow-{line}");
    let event = json!({ "name": "purchase", "time": time, "id": id, "properties": properties });
    let message = json!({ "workspace": "cdnow", "user": customer, "events": [event] });
    Some((time, message))
}

/// An event of the shop; the user's cohort and stage of life are sent whenever they change.
fn clickstream(
    line: usize,
    text: &str,
    attributes: &mut BTreeMap<String, String>,
) -> Option<(String, serde_json::Value)> {
    let columns: Vec<&str> = text.split(',').collect();
    let [user, session, name, timestamp, platform, channel, cohort, lifecycle] = columns[..] else {
        return None;
    };
    let time = format!("{}Z", timestamp.replace(' ', "T"));
    let event = json!({
        "name": name,
        "time": time,
        "id": format!("click-{line}"),
        "properties": { "session": session },
    });
    let mut message = json!({
        "workspace": "clickstream",
        "user": user,
        "context": { "platform": platform, "channel": channel },
        "events": [event],
    });
    let now = format!("{cohort},{lifecycle}");
    if attributes.get(user) != Some(&now) {
        attributes.insert(user.to_string(), now);
        message["attributes"] = json!({ "cohort": cohort, "lifecycle": lifecycle });
    }
    Some((time, message))
}
