//! What is sent between a client and a broker, in its frames.
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use pulsar::proto::BaseCommand;

use super::WireError;

/// A command, and what comes behind it: an entry, where the command is a message.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) command: BaseCommand,
    pub(crate) rest: Bytes,
}

/// Takes a frame apart that lies behind its length.
pub(crate) fn parse(mut frame: Bytes) -> Result<Frame, WireError> {
    let odd = || WireError::Odd("a frame that ends within its command".to_owned());
    let length = frame.try_get_u32().map_err(|_| odd())? as usize;
    if length > frame.len() {
        return Err(odd());
    }
    let command = BaseCommand::decode(frame.split_to(length));
    let command = command.map_err(|error| WireError::Odd(format!("no command: {error}")))?;
    Ok(Frame { command, rest: frame })
}

/// A command's frame, but for the frame's length.
pub(crate) fn frame(command: &BaseCommand) -> Bytes {
    let length = command.encoded_len();
    let mut frame = BytesMut::with_capacity(4 + length);
    // No command of this client is anywhere near 4 GiB.
    frame.put_u32(length as u32);
    frame.put_slice(&command.encode_to_vec());
    frame.freeze()
}
