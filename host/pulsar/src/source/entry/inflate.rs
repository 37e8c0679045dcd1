//! Compressed payloads, made large again up to a bound.
use std::io::Read;

use pulsar::proto::CompressionType;

use super::Damage;

/// How far back a payload may refer to itself: more than any that is not made to use up memory.
const WINDOW_LOG_MAX: u32 = 25;

/// What Snappy in its framing begins with, as the `pulsar` crate's producers write it. All others
/// write one bare block.
const SNAPPY_FRAMES: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// The payload as it was before it was compressed; `size` is how long it says that it was.
pub(super) fn inflate(
    compression: CompressionType,
    payload: &[u8],
    size: usize,
    bytes_max: usize,
) -> Result<Vec<u8>, Damage> {
    let inflated = match compression {
        CompressionType::None => Ok(payload.to_vec()),
        CompressionType::Lz4 => lz4(payload, size, bytes_max),
        CompressionType::Zlib => bounded(flate2::read::ZlibDecoder::new(payload), bytes_max),
        CompressionType::Zstd => zstd(payload, bytes_max),
        CompressionType::Snappy if payload.starts_with(SNAPPY_FRAMES) => {
            bounded(snap::read::FrameDecoder::new(payload), bytes_max)
        }
        CompressionType::Snappy => snappy(payload, bytes_max),
    };
    inflated.map_err(|reason| {
        Damage(format!("its payload cannot be decompressed ({}): {reason}", name(compression)))
    })
}

fn lz4(payload: &[u8], size: usize, bytes_max: usize) -> Result<Vec<u8>, String> {
    let size = i32::try_from(size).ok().filter(|_| size <= bytes_max);
    let size = size.ok_or_else(|| beyond(bytes_max))?;
    lz4::block::decompress(payload, Some(size)).map_err(|error| error.to_string())
}

fn zstd(payload: &[u8], bytes_max: usize) -> Result<Vec<u8>, String> {
    let mut decoder =
        zstd::stream::read::Decoder::with_buffer(payload).map_err(|error| error.to_string())?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(|error| error.to_string())?;
    bounded(decoder, bytes_max)
}

fn snappy(payload: &[u8], bytes_max: usize) -> Result<Vec<u8>, String> {
    let size = snap::raw::decompress_len(payload).map_err(|error| error.to_string())?;
    if size > bytes_max {
        return Err(beyond(bytes_max));
    }
    snap::raw::Decoder::new().decompress_vec(payload).map_err(|error| error.to_string())
}

fn bounded(reader: impl Read, bytes_max: usize) -> Result<Vec<u8>, String> {
    let mut inflated = Vec::new();
    let mut reader = reader.take(bytes_max as u64 + 1);
    reader.read_to_end(&mut inflated).map_err(|error| error.to_string())?;
    if inflated.len() > bytes_max { Err(beyond(bytes_max)) } else { Ok(inflated) }
}

fn beyond(bytes_max: usize) -> String {
    format!("it would be longer than {bytes_max} bytes")
}

fn name(compression: CompressionType) -> &'static str {
    match compression {
        CompressionType::None => "none",
        CompressionType::Lz4 => "LZ4",
        CompressionType::Zlib => "zlib",
        CompressionType::Zstd => "Zstandard",
        CompressionType::Snappy => "Snappy",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const TEXT: &[u8] = b"the quick brown fox jumps over the lazy dog, over and over and over";

    fn compressed(compression: CompressionType) -> Vec<u8> {
        match compression {
            CompressionType::None => TEXT.to_vec(),
            CompressionType::Lz4 => lz4::block::compress(TEXT, None, false).unwrap(),
            CompressionType::Zlib => {
                let mut encoder =
                    flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(TEXT).unwrap();
                encoder.finish().unwrap()
            }
            CompressionType::Zstd => zstd::encode_all(TEXT, 0).unwrap(),
            CompressionType::Snappy => snap::raw::Encoder::new().compress_vec(TEXT).unwrap(),
        }
    }

    #[test]
    fn every_compression_is_read_and_none_grows_beyond_the_bound() {
        use CompressionType::{Lz4, None, Snappy, Zlib, Zstd};
        for compression in [None, Lz4, Zlib, Zstd, Snappy] {
            let payload = compressed(compression);
            let read = |payload: &[u8], max| inflate(compression, payload, TEXT.len(), max);
            assert_eq!(read(&payload, TEXT.len()).unwrap(), TEXT, "{compression:?}");
            if compression == None {
                continue;
            }
            let grown = read(&payload, TEXT.len() - 1).unwrap_err().0;
            let expected = format!("it would be longer than {} bytes", TEXT.len() - 1);
            assert!(grown.ends_with(&expected), "{grown}");
            assert!(read(&payload[..payload.len() / 2], 1_000).is_err(), "{compression:?}");
            assert!(read(b"anything else", 1_000).is_err(), "{compression:?}");
        }
    }

    #[test]
    fn snappy_in_frames_is_read_too() {
        let mut encoder = snap::write::FrameEncoder::new(Vec::new());
        encoder.write_all(TEXT).unwrap();
        let payload = encoder.into_inner().unwrap();
        let read = inflate(CompressionType::Snappy, &payload, TEXT.len(), TEXT.len());
        assert_eq!(read.unwrap(), TEXT);
    }
}
