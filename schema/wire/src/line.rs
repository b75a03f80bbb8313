//! Bytes to lines. A line that lies whole in what was read is handed out in place; only what is cut
//! off at the end is kept, and an idle connection keeps nothing.

use crate::FrameFault;

/// Cuts a stream of bytes into lines of bounded length.
#[derive(Debug)]
pub struct LineDecoder {
    /// The beginning of a line whose end has not come yet. Unallocated while there is none.
    partial: Vec<u8>,
    limit: usize,
}

impl LineDecoder {
    /// A decoder of lines of at most `limit` bytes, the `\n` not counted.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { partial: Vec::new(), limit }
    }

    /// Changes the limit, e.g. from that of the first frame to that of the welcome.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// How many bytes of an unfinished line are kept.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.partial.len()
    }

    /// The lines that `input` completes, one at a time. Take them all: what the caller does not ask
    /// for is lost when `Lines` is dropped.
    pub fn lines<'a>(&'a mut self, input: &'a [u8]) -> Lines<'a> {
        Lines { decoder: self, input, hand_out_partial: false }
    }
}

/// The lines in one piece of input; see [`LineDecoder::lines`].
#[derive(Debug)]
pub struct Lines<'a> {
    decoder: &'a mut LineDecoder,
    input: &'a [u8],
    hand_out_partial: bool,
}

impl Lines<'_> {
    /// The next line without its `\n`. Empty lines are passed over.
    ///
    /// # Errors
    /// [`FrameFault::FrameTooLarge`]; the stream cannot go on after it.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, FrameFault> {
        todo!()
    }

    /// What has not been looked at yet.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        self.input
    }
}
