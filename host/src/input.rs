//! Reading messages from files: plain or gzip, a JSON object a line.

use crate::decode::{BYTE_ORDER_MARK, Decoded, MESSAGE_BYTES_MAX, Refusal, decode};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Bytes read ahead.
const BUFFER_BYTES: usize = 1 << 18;
/// How a gzip file begins (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The messages of one file.
pub struct Messages {
    name: String,
    reader: Box<dyn BufRead + Send>,
    line: u64,
    buffer: Vec<u8>,
}

/// A line of a file that is no message, or an event of it that was refused.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RefusedLine {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// What was refused of it, and why.
    #[serde(flatten)]
    pub refusal: Refusal,
}

impl std::fmt::Display for RefusedLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.refusal)
    }
}

/// Why messages cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read messages from `{}`: {source}", path.display())]
pub struct UnreadableInput {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl Messages {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Messages, UnreadableInput> {
        let unreadable = |source| UnreadableInput { path: path.to_path_buf(), source };
        let raw: Box<dyn Read + Send> = match path.to_str() {
            Some("-") => Box::new(io::stdin()),
            _ => Box::new(File::open(path).map_err(unreadable)?),
        };
        let mut raw = BufReader::with_capacity(BUFFER_BYTES, raw);
        let zipped = raw.fill_buf().map_err(unreadable)?.starts_with(&GZIP_MAGIC);
        let mut reader: Box<dyn BufRead + Send> = if zipped {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(raw)))
        } else {
            Box::new(raw)
        };
        if reader.fill_buf().map_err(unreadable)?.starts_with(BYTE_ORDER_MARK) {
            reader.consume(BYTE_ORDER_MARK.len());
        }
        Ok(Messages { name: path.display().to_string(), reader, line: 0, buffer: Vec::new() })
    }

    /// The next message, or why its line is none; nothing at the end.
    ///
    /// # Errors
    /// When the file cannot be read on.
    pub fn read(&mut self) -> io::Result<Option<Result<Decoded, RefusedLine>>> {
        loop {
            self.buffer.clear();
            let limit = MESSAGE_BYTES_MAX as u64 + 1;
            let read = (&mut self.reader).take(limit).read_until(b'\n', &mut self.buffer)?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            if read as u64 == limit && self.buffer.last() != Some(&b'\n') {
                self.reader.skip_until(b'\n')?;
            }
            let json = self.buffer.trim_ascii();
            if !json.is_empty() {
                return Ok(Some(decode(json, None).map_err(|refusal| self.refuse(refusal))));
            }
        }
    }

    /// Where the last line was, for something refused of it.
    pub fn refuse(&self, refusal: Refusal) -> RefusedLine {
        RefusedLine { file: self.name.clone(), line: self.line, refusal }
    }
}
