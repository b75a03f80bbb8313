//! A session in the hands of a test, which plays the HEM, the registrar, the historian and the clock.

use std::sync::Arc;
use std::time::Duration;

use memcloud_domain::messages::{AuthenticatedHem, Durability, SessionOpened, StoreEntries};
use memcloud_domain::{Entry, Epoch, MicrogridId, Seq, Timestamp};
use memcloud_wire::{CloudFrame, ErrorCode};
use tokio::time::Instant;

use crate::session::{Claimed, Effect, Event, Moment, Rules, Session, Wish};
use crate::{HemConfig, HemMetrics, TlsFiles};

pub(super) const WALL: i64 = 1_790_000_000_000;

pub(super) fn config() -> HemConfig {
    let nowhere = std::path::PathBuf::new();
    let tls = TlsFiles { certificate: nowhere.clone(), private_key: nowhere, client_ca: None };
    HemConfig { read_pause: Duration::ZERO, ..HemConfig::new(([127, 0, 0, 1], 0).into(), tls) }
}

pub(super) struct Script {
    pub(super) session: Session,
    pub(super) now: Moment,
    pub(super) metrics: Arc<HemMetrics>,
    pub(super) effects: Vec<Effect>,
    /// What was handed over, in order.
    pub(super) stored: Vec<Entry>,
    /// Whether the historian has room.
    pub(super) has_room: bool,
}

impl Script {
    pub(super) fn new(config: HemConfig) -> Self {
        let metrics = Arc::new(HemMetrics::default());
        let now = Moment { at: Instant::now(), wall: Timestamp(WALL), store_is_healthy: true };
        let rules = Arc::new(Rules { config, metrics: Arc::clone(&metrics) });
        let session = Session::new(rules, None, 750, now.at);
        let (effects, stored) = (Vec::new(), Vec::new());
        Self { session, now, metrics, effects, stored, has_room: true }
    }

    /// A session that was welcomed with this mark; its welcome is read already.
    pub(super) fn welcomed(config: HemConfig, mark: u64) -> Self {
        let mut script = Self::new(config);
        script.say(r#"{"type":"hello","protocol":1,"hem":"home-1","key":"k"}"#);
        script.authenticate();
        script.happens(Event::Claimed(Claimed::Granted));
        script.open(mark);
        let frames = script.hears();
        assert!(matches!(frames.first(), Some(CloudFrame::Welcome(_))), "{frames:?}");
        script
    }

    pub(super) fn authenticate(&mut self) {
        self.happens(Event::Authenticated(Ok(AuthenticatedHem {
            microgrid: MicrogridId::new("fontana").unwrap(),
            nodes: Vec::new(),
            issued_key: None,
        })));
    }

    pub(super) fn open(&mut self, mark: u64) {
        self.happens(Event::Opened(Ok(SessionOpened { epoch: Epoch(7), mark: Seq(mark) })));
    }

    pub(super) fn happens(&mut self, event: Event<'_>) {
        for effect in self.session.accept(event, self.now) {
            let Effect::HandOver(StoreEntries { entries, .. }) = effect else {
                self.effects.push(effect);
                continue;
            };
            self.stored.extend(entries);
            if self.has_room {
                self.happens(Event::HandedOver);
            }
        }
    }

    /// The HEM says a line, or several.
    pub(super) fn say(&mut self, lines: &str) {
        self.happens(Event::Received(format!("{lines}\n").as_bytes()));
    }

    pub(super) fn say_readings(&mut self, seqs: impl IntoIterator<Item = u64>) {
        let lines: Vec<String> = seqs.into_iter().map(reading).collect();
        self.say(&lines.join("\n"));
    }

    /// The HEM reads what it was sent.
    pub(super) fn hears(&mut self) -> Vec<CloudFrame> {
        let output = self.session.output().to_vec();
        self.happens(Event::Written(output.len()));
        let lines = output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| CloudFrame::decode(line).unwrap()).collect()
    }

    pub(super) fn commits(&mut self, through: u64) {
        self.happens(Event::Durable(Durability { through: Seq(through), fenced: false }));
    }

    /// Time passes, and every deadline in it is kept.
    pub(super) fn pass(&mut self, span: Duration) {
        let until = self.now.at + span;
        loop {
            self.session.wish(self.now);
            let next = self.session.deadline(self.now).map_or(until, |at| at.min(until));
            self.advance_to(next.max(self.now.at + Duration::from_millis(1)).min(until));
            self.happens(Event::Ticked);
            if self.now.at >= until {
                return;
            }
        }
    }

    fn advance_to(&mut self, at: Instant) {
        self.now.wall = self.now.wall.plus(at.saturating_duration_since(self.now.at));
        self.now.at = at;
    }

    pub(super) fn wish(&mut self) -> Wish {
        self.session.wish(self.now)
    }

    pub(super) fn stored_seqs(&self) -> Vec<u64> {
        self.stored.iter().map(|entry| entry.seq().0).collect()
    }

    pub(super) fn offline_reason(&self) -> Option<&'static str> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Offline(reason) => Some(*reason),
            _ => None,
        })
    }
}

pub(super) fn reading(seq: u64) -> String {
    format!(r#"{{"type":"reading","seq":{seq},"ts":{WALL},"nodes":[{{"node":0,"watts":5}}]}}"#)
}

/// The codes of the errors among these frames, with their numbers.
pub(super) fn errors(frames: &[CloudFrame]) -> Vec<(ErrorCode, Option<u64>)> {
    let error = |frame: &CloudFrame| match frame {
        CloudFrame::Error(error) => Some((error.code, error.seq.map(|seq| seq.0))),
        _ => None,
    };
    frames.iter().filter_map(error).collect()
}

pub(super) fn acks(frames: &[CloudFrame]) -> Vec<u64> {
    let ack = |frame: &CloudFrame| match frame {
        CloudFrame::Ack(ack) => Some(ack.seq.0),
        _ => None,
    };
    frames.iter().filter_map(ack).collect()
}

pub(super) fn refusals(frames: &[CloudFrame]) -> Vec<(u64, &'static str)> {
    let refusal = |frame: &CloudFrame| match frame {
        CloudFrame::Refused(refused) => Some((refused.seq.0, refused.code.as_str())),
        _ => None,
    };
    frames.iter().filter_map(refusal).collect()
}
