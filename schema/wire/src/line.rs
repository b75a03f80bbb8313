//! Bytes to lines. A line that lies whole in what was read is handed out in place; only what is cut
//! off at the end is kept, and an idle connection keeps nothing.

use serde::Serialize;

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
        Lines { decoder: self, input, partial_is_done: false }
    }
}

/// The lines in one piece of input; see [`LineDecoder::lines`].
#[derive(Debug)]
pub struct Lines<'a> {
    decoder: &'a mut LineDecoder,
    input: &'a [u8],
    /// Whether the line that was handed out last lies in the decoder.
    partial_is_done: bool,
}

impl Lines<'_> {
    /// The next line without its `\n`. Empty lines are passed over.
    ///
    /// # Errors
    /// [`FrameFault::FrameTooLarge`]; the stream cannot go on after it.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, FrameFault> {
        let limit = self.decoder.limit;
        if std::mem::take(&mut self.partial_is_done) {
            self.decoder.partial = Vec::new();
        }
        loop {
            let Some(end) = memchr::memchr(b'\n', self.input) else {
                self.keep_rest()?;
                return Ok(None);
            };
            let (head, rest) = self.input.split_at_checked(end).unwrap_or_default();
            self.input = rest.get(1..).unwrap_or_default();
            if self.decoder.partial.len() + head.len() > limit {
                return Err(self.too_large());
            }
            if self.decoder.partial.is_empty() {
                if is_blank(head) {
                    continue;
                }
                return Ok(Some(head));
            }
            self.decoder.keep(head);
            if is_blank(&self.decoder.partial) {
                self.decoder.partial = Vec::new();
                continue;
            }
            self.partial_is_done = true;
            return Ok(Some(&self.decoder.partial));
        }
    }

    /// What has not been looked at yet.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        self.input
    }

    /// Keeps the beginning of a line whose end has not come.
    fn keep_rest(&mut self) -> Result<(), FrameFault> {
        let rest = std::mem::take(&mut self.input);
        if self.decoder.partial.len() + rest.len() > self.decoder.limit {
            return Err(self.too_large());
        }
        self.decoder.keep(rest);
        Ok(())
    }

    fn too_large(&mut self) -> FrameFault {
        self.decoder.partial = Vec::new();
        self.input = &[];
        FrameFault::FrameTooLarge { limit: self.decoder.limit }
    }
}

impl LineDecoder {
    fn keep(&mut self, more: &[u8]) {
        let needed = self.partial.len() + more.len();
        if needed > self.partial.capacity() {
            // By doubling, but never beyond the longest line that is allowed.
            let capacity = needed.max((self.partial.capacity() * 2).min(self.limit));
            self.partial.reserve_exact(capacity - self.partial.len());
        }
        self.partial.extend_from_slice(more);
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
}

/// Appends a value as one line of JSON.
pub(crate) fn push_line(out: &mut Vec<u8>, value: &impl Serialize) {
    let start = out.len();
    match serde_json::to_writer(&mut *out, value) {
        Ok(()) => out.push(b'\n'),
        Err(error) => {
            // Writing to memory cannot fail, and no frame has a map with odd keys.
            debug_assert!(false, "a frame that is not JSON: {error}");
            out.truncate(start);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn collect(decoder: &mut LineDecoder, input: &[u8]) -> Result<Vec<Vec<u8>>, FrameFault> {
        let mut lines = decoder.lines(input);
        let mut found = Vec::new();
        while let Some(line) = lines.next_line()? {
            found.push(line.to_vec());
        }
        Ok(found)
    }

    #[test]
    fn a_whole_line_is_handed_out_where_it_lies() {
        let input = b"{}\n[]\n".to_vec();
        let mut decoder = LineDecoder::new(100);
        let mut lines = decoder.lines(&input);
        let line = lines.next_line().unwrap().unwrap();
        assert!(input.as_ptr_range().contains(&line.as_ptr()));
        assert_eq!(lines.rest(), b"[]\n");
    }

    #[test]
    fn an_idle_decoder_keeps_no_memory() {
        let mut decoder = LineDecoder::new(1_000_000);
        assert!(collect(&mut decoder, &[b'x'; 500_000]).unwrap().is_empty());
        assert_eq!(decoder.buffered(), 500_000);
        assert_eq!(collect(&mut decoder, b"y\n").unwrap().len(), 1);
        assert_eq!((decoder.buffered(), decoder.partial.capacity()), (0, 0));
    }

    #[test]
    fn a_line_over_the_limit_ends_it_before_it_is_kept() {
        let mut decoder = LineDecoder::new(10);
        assert_eq!(collect(&mut decoder, b"0123456789\n").unwrap(), [b"0123456789"]);
        assert_eq!(
            collect(&mut decoder, b"0123456789a\n"),
            Err(FrameFault::FrameTooLarge { limit: 10 })
        );
        let mut decoder = LineDecoder::new(10);
        assert!(collect(&mut decoder, b"012345").unwrap().is_empty());
        assert!(collect(&mut decoder, b"678901").is_err());
        assert_eq!(decoder.buffered(), 0);
    }

    #[test]
    fn memory_for_a_long_line_stays_under_the_limit() {
        let limit = 100_000;
        let mut decoder = LineDecoder::new(limit);
        for _ in 0..99 {
            collect(&mut decoder, &[b'x'; 1_000]).unwrap();
            assert!(decoder.partial.capacity() <= limit);
        }
    }

    #[test]
    fn empty_lines_are_passed_over() {
        let mut decoder = LineDecoder::new(10);
        assert_eq!(collect(&mut decoder, b"\r\n\n  \n{}\r\n").unwrap(), [b"{}\r"]);
        assert!(collect(&mut decoder, b" ").unwrap().is_empty());
        assert!(collect(&mut decoder, b"\n").unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_the_stream_is_cut(
            lines in prop::collection::vec("[a-z]{1,40}", 0..20),
            cuts in prop::collection::vec(1_usize..50, 1..60),
        ) {
            let stream: Vec<u8> =
                lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
            let mut decoder = LineDecoder::new(40);
            let mut found = Vec::new();
            let mut rest = &stream[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                found.extend(collect(&mut decoder, piece).unwrap());
                rest = after;
            }
            let expected: Vec<Vec<u8>> = lines.into_iter().map(String::into_bytes).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(decoder.buffered(), 0);
        }
    }
}
