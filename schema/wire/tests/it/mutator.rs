//! Hostile bytes with a method: the corpus, mutated by a seeded generator, cut at any place, through
//! everything that decodes. Shared by the test and by `examples/mutate.rs`.

use memcloud_domain::Seq;
use memcloud_wire::{CloudFrame, FrameFault, Greeting, HemFrame, LineDecoder};

pub(crate) const HEM_GOOD: &str = include_str!("../../corpus/hem-good.jsonl");
pub(crate) const HEM_MALFORMED: &str = include_str!("../../corpus/hem-malformed.jsonl");
pub(crate) const HEM_BAD_FRAME: &str = include_str!("../../corpus/hem-bad-frame.jsonl");
pub(crate) const HEM_UNKNOWN_TYPE: &str = include_str!("../../corpus/hem-unknown-type.jsonl");
pub(crate) const HELLO_BAD_FRAME: &str = include_str!("../../corpus/hello-bad-frame.jsonl");
pub(crate) const HELLO_UNAUTHORISED: &str = include_str!("../../corpus/hello-unauthorised.jsonl");
pub(crate) const HELLO_UNSUPPORTED: &str =
    include_str!("../../corpus/hello-unsupported-protocol.jsonl");
pub(crate) const CLOUD_GOOD: &str = include_str!("../../corpus/cloud-good.jsonl");
pub(crate) const CLOUD_BAD: &str = include_str!("../../corpus/cloud-bad.jsonl");

/// What a mutation puts in.
const TOKENS: [&[u8]; 34] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b",",
    b":",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"\\\"",
    b"null",
    b"true",
    b"-",
    b"0",
    b"-0",
    b"1e999",
    b"1e-999",
    b"9007199254740991",
    b"9007199254740992",
    b"18446744073709551616",
    b"0.1",
    b"256",
    b"\"seq\":",
    b"\"type\":\"reading\"",
    b"\"nodes\":[",
    b"\"ts\":",
    b"\"age_ms\":",
    b"\"node\":",
    b"\xff",
    b"\xc3\xa9",
    b"\n",
    b"\r\n",
    b"\x00",
];

/// What became of the frames.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcomes {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    pub(crate) taken: u64,
    pub(crate) malformed: u64,
    pub(crate) bad_frame: u64,
    pub(crate) unknown_type: u64,
    pub(crate) too_large: u64,
    pub(crate) greetings: u64,
    pub(crate) cloud_frames: u64,
}

/// `SplitMix64`: small, and the same on every version of every library.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap_or(1)).unwrap_or(0)
    }
}

/// The mutator: a generator over the corpus, and a stream into which its frames go.
pub(crate) struct Mutator {
    random: Random,
    corpus: Vec<&'static [u8]>,
    decoder: LineDecoder,
    outcomes: Outcomes,
    line: Vec<u8>,
}

impl Mutator {
    pub(crate) const LIMIT: usize = 65_536;

    pub(crate) fn new(seed: u64) -> Self {
        let files = [
            HEM_GOOD,
            HEM_GOOD,
            HEM_GOOD,
            HEM_MALFORMED,
            HEM_BAD_FRAME,
            HEM_UNKNOWN_TYPE,
            HELLO_BAD_FRAME,
            HELLO_UNAUTHORISED,
            HELLO_UNSUPPORTED,
            CLOUD_GOOD,
            CLOUD_BAD,
        ];
        Self {
            random: Random(seed),
            corpus: files.iter().flat_map(|file| file.lines()).map(str::as_bytes).collect(),
            decoder: LineDecoder::new(Self::LIMIT),
            outcomes: Outcomes::default(),
            line: Vec::new(),
        }
    }

    pub(crate) fn outcomes(&self) -> Outcomes {
        self.outcomes
    }

    fn pick(&mut self) -> &'static [u8] {
        let at = self.random.below(self.corpus.len());
        self.corpus.get(at).copied().unwrap_or_default()
    }

    /// Mutates one frame and sends it through the decoders, in up to three pieces.
    pub(crate) fn step(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        line.extend_from_slice(self.pick());
        for _ in 0..self.random.below(4) {
            self.mutate(&mut line);
        }
        line.push(b'\n');
        self.outcomes.frames += 1;
        self.outcomes.bytes += u64::try_from(line.len()).unwrap_or(0);
        let mut rest = line.as_slice();
        for _ in 0..self.random.below(3) {
            let (piece, after) =
                rest.split_at_checked(self.random.below(rest.len())).unwrap_or_default();
            self.feed(piece);
            rest = after;
        }
        self.feed(rest);
        if line.capacity() < 16_384 {
            self.line = line;
        }
    }

    fn mutate(&mut self, line: &mut Vec<u8>) {
        let from = self.random.below(line.len());
        let to = (from + 1 + self.random.below(24)).min(line.len());
        match self.random.below(16) {
            0 | 1 => {
                let bit = self.random.below(8);
                if let Some(byte) = line.get_mut(from) {
                    *byte ^= 1 << bit;
                }
            }
            2..=4 => {
                let token = TOKENS.get(self.random.below(TOKENS.len())).copied().unwrap_or(b"0");
                let end = if self.random.below(2) == 0 { from } else { to };
                line.splice(from..end, token.iter().copied());
            }
            5 | 6 => drop(line.drain(from..to)),
            7 => {
                let copied = line.get(from..to).unwrap_or_default().to_vec();
                let at = self.random.below(line.len() + 1);
                line.splice(at..at, copied);
            }
            8 => line.truncate(from),
            9 => {
                let other = self.pick();
                let cut = self.random.below(other.len());
                line.truncate(from);
                line.extend_from_slice(other.get(cut..).unwrap_or_default());
            }
            10..=14 => {
                // One value in place of another: what looks like a number becomes an extreme one.
                if let Some(start) = line.iter().skip(from).position(u8::is_ascii_digit) {
                    let at = from + start;
                    let length =
                        line.iter().skip(at).take_while(|byte| byte.is_ascii_digit()).count();
                    let token = TOKENS.get(14 + self.random.below(9)).copied().unwrap_or(b"0");
                    line.splice(at..at + length, token.iter().copied());
                }
            }
            _ => {
                // Growth is rare, since it is slow: a bomb of one byte, sometimes past the limit.
                if self.random.below(256) == 0 {
                    let bomb = *b"[{\"0 1\\".get(self.random.below(7)).unwrap_or(&b'[');
                    let length = self.random.below(Self::LIMIT + Self::LIMIT / 8);
                    line.splice(from..from, std::iter::repeat_n(bomb, length));
                }
            }
        }
    }

    fn feed(&mut self, piece: &[u8]) {
        let mut lines = self.decoder.lines(piece);
        loop {
            match lines.next_line() {
                Ok(Some(line)) => decode(line, &mut self.outcomes),
                Ok(None) => break,
                Err(_) => {
                    // A server would close; the next frame begins a new stream.
                    self.outcomes.too_large += 1;
                    self.decoder = LineDecoder::new(Self::LIMIT);
                    break;
                }
            }
        }
        assert!(self.decoder.buffered() <= Self::LIMIT, "no more than a line is kept");
    }
}

/// Sends a line through every decoder. What is taken must survive being sent again.
fn decode(line: &[u8], outcomes: &mut Outcomes) {
    match HemFrame::decode(line, 2) {
        Ok(frame) => {
            outcomes.taken += 1;
            let mut again = Vec::new();
            frame.encode(&mut again);
            again.pop();
            let expected = match frame {
                HemFrame::Batch(items) => {
                    HemFrame::Batch(items.into_iter().filter(Result::is_ok).collect())
                }
                other => other,
            };
            assert_eq!(HemFrame::decode(&again, 2), Ok(expected), "sent again, it is the same");
        }
        Err(fault) => {
            let answer = fault.answer(Seq(1));
            let mut text = Vec::new();
            answer.encode(&mut text);
            assert!(text.len() < 1_000, "an answer is short");
            match fault {
                FrameFault::Unstorable(_) => outcomes.malformed += 1,
                FrameFault::BadFrame(_) => outcomes.bad_frame += 1,
                FrameFault::UnknownType(_) => outcomes.unknown_type += 1,
                _ => {}
            }
        }
    }
    outcomes.greetings += u64::from(Greeting::decode(line).is_ok());
    outcomes.cloud_frames += u64::from(CloudFrame::decode(line).is_ok());
}
