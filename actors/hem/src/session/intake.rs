//! What a welcomed HEM sends: frames to entries, and each wrong one to its answer. Whatever one read
//! brought becomes one hand-over.

use memcloud_domain::messages::{LatestSeen, StoreEntries};
use memcloud_domain::{Entry, NodeReading, Refusal, RefusalCode, Seq, Timestamp};
use memcloud_wire::{
    CloudError, CloudFrame, CommandResult, ErrorCode, Event, FrameFault, HemFrame, Latest,
    MAX_BAD_FRAMES, Refused, Sample, Taken, Unstorable, check_time,
};

use super::live::{Ending, Live};
use super::rules::DRAIN_TIMEOUT;
use super::{Effect, Moment, Phase, Rules, Session, orders};

/// Room is made beforehand for so many entries at most: after a burst, the next read may be small.
const MOST_EXPECTED: usize = 64;

/// A fatal error that a frame brought.
struct Fatal {
    error: CloudError,
    /// Whether what was taken before is acknowledged first.
    after_acks: bool,
}

/// One read's worth of frames.
struct Intake<'a> {
    live: &'a mut Live,
    rules: &'a Rules,
    output: &'a mut Vec<u8>,
    effects: &'a mut Vec<Effect>,
    now: Moment,
    entries: Vec<Entry>,
    footprint: usize,
    readings: u64,
    frames: u32,
    /// Whether a stale number was said already for this read.
    has_said_stale: bool,
}

impl Session {
    /// Takes the frames in a piece of input, and hands over what they hold.
    pub(super) fn take_frames(&mut self, bytes: &[u8], now: Moment, effects: &mut Vec<Effect>) {
        let Phase::Live(live) = &mut self.phase else { return };
        let mut intake = Intake {
            entries: Vec::with_capacity(live.usual_entries),
            live,
            rules: &self.rules,
            output: &mut self.output,
            effects,
            now,
            footprint: 0,
            readings: 0,
            frames: 0,
            has_said_stale: false,
        };
        let mut lines = self.decoder.lines(bytes);
        let fatal = loop {
            match lines.next_line() {
                Ok(None) => break None,
                Ok(Some(line)) => {
                    if let Err(fatal) = intake.line(line) {
                        break Some(fatal);
                    }
                }
                Err(fault) => {
                    let code = ErrorCode::FrameTooLarge;
                    break Some(Fatal::at_once(code, fault.to_string()));
                }
            }
        };
        intake.finish();
        if let Phase::Live(live) = &mut self.phase {
            live.has_been_read(bytes.len(), &self.rules, now);
        }
        let Some(fatal) = fatal else { return };
        if fatal.after_acks
            && let Phase::Live(live) = &mut self.phase
        {
            let (reason, until) = (fatal.error.code.as_str(), now.at + DRAIN_TIMEOUT);
            live.ending = Some(Box::new(Ending { error: Some(fatal.error), reason, until }));
        } else {
            self.say_last(fatal.error, now, effects);
        }
    }
}

impl Fatal {
    fn at_once(code: ErrorCode, text: String) -> Self {
        let error = CloudError { code, text, seq: None, retry_after_ms: None };
        Self { error, after_acks: false }
    }
}

impl Intake<'_> {
    fn line(&mut self, line: &[u8]) -> Result<(), Fatal> {
        self.frames += 1;
        let metrics = &self.rules.metrics;
        let frame = match HemFrame::decode(line, self.rules.config.max_batch) {
            Ok(frame) => frame,
            Err(FrameFault::Unstorable(unstorable)) => {
                self.live.bad_frames = 0;
                self.charge(1);
                metrics.frames_other.increment();
                return self.refuse_unstorable(unstorable);
            }
            Err(fault) => return self.answer_fault(&fault),
        };
        self.live.bad_frames = 0;
        self.charge(frame.numbers());
        match frame {
            HemFrame::Reading(sample) => {
                self.readings += 1;
                self.sample(sample)?;
            }
            HemFrame::Batch(items) => {
                metrics.frames_batch.increment();
                self.batch(items)?;
            }
            HemFrame::Event(event) => {
                metrics.frames_event.increment();
                self.event(event)?;
            }
            HemFrame::Latest(latest) => {
                metrics.frames_latest.increment();
                return self.latest(latest);
            }
            HemFrame::Result(result) => {
                metrics.frames_result.increment();
                return self.result(result);
            }
            HemFrame::Ping => {
                metrics.frames_ping.increment();
                CloudFrame::Pong.encode(self.output);
            }
            HemFrame::Hello(_) => {
                metrics.frames_hello.increment();
                return self.bad_frame("a hello comes once, as the first frame".into());
            }
        }
        Ok(())
    }

    fn charge(&mut self, numbers: usize) {
        let cost = u32::try_from(numbers).unwrap_or(u32::MAX).max(1);
        self.live.rate.charge(cost, self.now.at);
    }

    fn sample(&mut self, sample: Sample) -> Result<(), Fatal> {
        let seq = sample.seq;
        if !self.take(seq)? {
            return Ok(());
        }
        let reading = sample.into_reading(self.now.wall);
        match self.refusal_by_time(reading.ts) {
            Some(code) => self.refuse(seq, code, time_text(code).to_owned()),
            None => self.push(Entry::Reading(reading)),
        }
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<(), Fatal> {
        let seq = event.seq;
        if !self.take(seq)? {
            return Ok(());
        }
        let event = event.into_hem_event(self.now.wall);
        match self.refusal_by_time(event.ts) {
            Some(code) => self.refuse(seq, code, time_text(code).to_owned()),
            None => self.push(Entry::Event(event)),
        }
        Ok(())
    }

    /// Each item is stored or refused by itself; but over a `gap` nothing of the batch is.
    fn batch(&mut self, items: Vec<Result<Sample, Unstorable>>) -> Result<(), Fatal> {
        let mut ahead = self.live.gate.clone();
        for item in &items {
            let seq = match item {
                Ok(sample) => sample.seq,
                Err(unstorable) => unstorable.seq,
            };
            if let Taken::Gap { missing } = ahead.take(seq) {
                return Err(self.gap(missing));
            }
        }
        for item in items {
            match item {
                Ok(sample) => self.sample(sample)?,
                Err(unstorable) => self.refuse_unstorable(unstorable)?,
            }
        }
        Ok(())
    }

    fn latest(&mut self, latest: Latest) -> Result<(), Fatal> {
        let received = self.now.wall;
        let ts = latest.time.resolve(received);
        if check_time(ts, received).is_err() {
            return self.bad_frame(time_text(RefusalCode::BadTime).into());
        }
        self.effects.push(Effect::Latest(LatestSeen {
            hem: self.live.hem.clone(),
            microgrid: self.live.microgrid.clone(),
            epoch: self.live.epoch,
            ts,
            received,
            nodes: latest.nodes,
        }));
        Ok(())
    }

    fn result(&mut self, result: CommandResult) -> Result<(), Fatal> {
        match orders::answer(self.live, result, self.now.wall) {
            Ok(answered) => {
                self.rules.metrics.count_result(answered.outcome);
                self.effects.push(Effect::Answered(answered));
                Ok(())
            }
            Err(text) => self.bad_frame(text),
        }
    }

    /// Takes a number. `false`: it is stale, and that was said.
    fn take(&mut self, seq: Seq) -> Result<bool, Fatal> {
        match self.live.gate.take(seq) {
            Taken::InOrder { missing } => {
                self.rules.metrics.missing.add(missing);
                Ok(true)
            }
            Taken::Stale => {
                self.rules.metrics.stale.increment();
                if !self.has_said_stale {
                    self.has_said_stale = true;
                    self.say_stale(seq);
                }
                Ok(false)
            }
            Taken::Gap { missing } => Err(self.gap(missing)),
        }
    }

    fn say_stale(&mut self, seq: Seq) {
        let last = self.live.gate.last();
        self.rules.metrics.count_error(ErrorCode::StaleSeq);
        CloudFrame::Error(CloudError {
            code: ErrorCode::StaleSeq,
            text: format!("{seq} is not above {last}, the last number taken; it was not stored"),
            seq: Some(last),
            retry_after_ms: None,
        })
        .encode(self.output);
    }

    /// The error comes after the acknowledgements of what was taken before, so that the HEM renumbers
    /// nothing that is stored.
    fn gap(&self, missing: u64) -> Fatal {
        let limit = self.rules.config.max_gap;
        let text = format!(
            "{missing} numbers would be missing, over the limit of {limit}; renumber what you hold \
             from the next welcome.seq + 1"
        );
        let error = CloudError { code: ErrorCode::Gap, text, seq: None, retry_after_ms: None };
        Fatal { error, after_acks: true }
    }

    fn refusal_by_time(&self, ts: Timestamp) -> Option<RefusalCode> {
        let received = self.now.wall;
        if let Err(code) = check_time(ts, received) {
            return Some(code);
        }
        let oldest = received.minus(self.rules.config.retention_raw);
        (ts < oldest).then_some(RefusalCode::TooOld)
    }

    fn refuse_unstorable(&mut self, unstorable: Unstorable) -> Result<(), Fatal> {
        if self.take(unstorable.seq)? {
            self.refuse(unstorable.seq, unstorable.code, unstorable.text.into_owned());
        }
        Ok(())
    }

    fn refuse(&mut self, seq: Seq, code: RefusalCode, text: String) {
        self.rules.metrics.count_refusal(code);
        self.push(Entry::Refused(Refusal { seq, received: self.now.wall, code }));
        CloudFrame::Refused(Refused { seq, code, text }).encode(self.output);
    }

    fn push(&mut self, entry: Entry) {
        self.footprint += footprint(&entry);
        self.entries.push(entry);
    }

    fn answer_fault(&mut self, fault: &FrameFault) -> Result<(), Fatal> {
        self.rules.metrics.frames_other.increment();
        self.charge(1);
        if let FrameFault::UnknownType(_) = fault {
            self.live.bad_frames = 0;
            self.rules.metrics.count_error(ErrorCode::UnknownType);
            fault.answer(self.live.gate.last()).encode(self.output);
            return Ok(());
        }
        self.bad_frame(fault.to_string())
    }

    fn bad_frame(&mut self, text: String) -> Result<(), Fatal> {
        self.live.bad_frames += 1;
        let seq = Some(self.live.gate.last());
        let error = CloudError { code: ErrorCode::BadFrame, text, seq, retry_after_ms: None };
        if self.live.bad_frames >= MAX_BAD_FRAMES {
            return Err(Fatal { error, after_acks: false });
        }
        self.rules.metrics.count_error(ErrorCode::BadFrame);
        CloudFrame::Error(error).encode(self.output);
        Ok(())
    }

    fn finish(self) {
        let Self { live, rules, effects, now, entries, footprint, readings, frames, .. } = self;
        rules.metrics.frames_reading.add(readings);
        live.usual_entries = entries.len().min(MOST_EXPECTED);
        let has_stored = !entries.is_empty();
        if let Some(last) = entries.last().map(Entry::seq) {
            let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
            rules.metrics.entries.add(count);
            let bytes = u64::try_from(footprint).unwrap_or(u64::MAX);
            live.in_flight.add(last, count, bytes, now.at);
            live.is_handing_over = true;
            let (hem, epoch) = (live.hem.clone(), live.epoch);
            effects.push(Effect::HandOver(StoreEntries { hem, epoch, entries }));
        }
        // A frame cut into many reads is heard too: a slow line is not a silent HEM.
        if let Some(heard) = live.heard(has_stored, now)
            && frames > 0
        {
            effects.push(Effect::Heard(heard));
        }
    }
}

fn time_text(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::TooOld => "the time is beyond the raw retention",
        _ => "the time is before 2010 or over a day ahead; without a set clock send age_ms",
    }
}

/// What an entry takes up in memory, about.
fn footprint(entry: &Entry) -> usize {
    let heap = match entry {
        Entry::Reading(reading) => reading.nodes.capacity() * size_of::<NodeReading>(),
        Entry::Event(event) => {
            event.kind.capacity() + event.text.as_ref().map_or(0, String::capacity)
        }
        Entry::Refused(_) => 0,
    };
    size_of::<Entry>() + heap
}
