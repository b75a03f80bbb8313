//! A model of the cloud: what it keeps is a map, how it fails is a script. It checks what a HEM must
//! never do, and speaks through `memcloud-wire` over an in-process pipe.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use memcloud_domain::{HemId, MicrogridId, NodeId, NodeReading, Secret, Seq, Timestamp, Watts};
use memcloud_sdk::hem::{Connecting, Connection, Credential, HemConfig, Transport};
use memcloud_wire::{
    Ack, CloudError, CloudFrame, Command, CommandResult, ErrorCode, Greeting, HemFrame,
    LineDecoder, NumberGate, Refused, SampleTime, Taken, Welcome,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// How one connection goes. By default: well.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    /// Closes after so many frames with numbers.
    pub(crate) close_after: Option<usize>,
    /// What was received and not acknowledged is stored at the close; else it is lost.
    pub(crate) commits_at_close: bool,
    /// Acknowledges after so many numbers; 0 and 1: each.
    pub(crate) ack_every: usize,
    /// The frames with numbers, counted from 0, that arrive unreadable.
    pub(crate) unreadable: Vec<usize>,
    /// The content of which is refused.
    pub(crate) refuses: Vec<u64>,
    /// Says this instead of the welcome.
    pub(crate) instead_of_welcome: Option<CloudError>,
    /// Refuses the connection itself.
    pub(crate) unreachable: bool,
    /// Commands that are sent behind the welcome.
    pub(crate) commands: Vec<Command>,
    /// Says nothing any more after the welcome.
    pub(crate) falls_silent: bool,
}

/// What the cloud knows and has seen.
#[derive(Debug, Default)]
pub(crate) struct Cloud {
    pub(crate) mark: u64,
    /// Content by number.
    pub(crate) stored: BTreeMap<u64, u64>,
    pub(crate) refused: Vec<u64>,
    pub(crate) max_in_flight: usize,
    pub(crate) max_gap: u64,
    pub(crate) scripts: VecDeque<Script>,
    pub(crate) connections: usize,
    pub(crate) most_in_flight: usize,
    pub(crate) batches: usize,
    pub(crate) singles: usize,
    pub(crate) pings: usize,
    pub(crate) latest: Vec<f64>,
    pub(crate) events: Vec<String>,
    pub(crate) results: Vec<CommandResult>,
    pub(crate) greetings: Vec<(Option<Secret>, Option<Secret>)>,
    pub(crate) issues_key: Option<Secret>,
    pub(crate) missing: u64,
    /// What a HEM must never do.
    pub(crate) offences: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Model(pub(crate) Arc<Mutex<Cloud>>);

impl Model {
    pub(crate) fn new(mark: u64, scripts: impl IntoIterator<Item = Script>) -> Self {
        Self(Arc::new(Mutex::new(Cloud {
            mark,
            max_in_flight: 1_000,
            max_gap: 1_000_000,
            scripts: scripts.into_iter().collect(),
            ..Cloud::default()
        })))
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Cloud) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// The contents that are stored, in the order of their numbers.
    pub(crate) fn contents(&self) -> Vec<u64> {
        self.with(|cloud| cloud.stored.values().copied().collect())
    }

    pub(crate) fn assert_no_offence(&self) {
        self.with(|cloud| assert!(cloud.offences.is_empty(), "{:?}", cloud.offences));
    }
}

impl Transport for Model {
    fn connect(&self) -> Connecting<'_> {
        let script = self.with(|cloud| {
            cloud.connections += 1;
            cloud.scripts.pop_front().unwrap_or_default()
        });
        let model = self.clone();
        Box::pin(async move {
            if script.unreachable {
                return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
            }
            let (near, far) = tokio::io::duplex(4_096);
            tokio::spawn(async move { serve(model, far, script).await });
            Ok(Box::new(near) as Box<dyn Connection>)
        })
    }
}

/// One connection at the cloud.
struct Session {
    model: Model,
    script: Script,
    gate: Option<NumberGate>,
    /// Received, not yet stored: number and content.
    received: Vec<(u64, u64)>,
    frames: usize,
}

async fn serve(model: Model, mut stream: DuplexStream, script: Script) {
    let mut session = Session { model, script, gate: None, received: Vec::new(), frames: 0 };
    let mut decoder = LineDecoder::new(524_288);
    let mut scratch = vec![0; 1_024];
    let mut out = Vec::new();
    while let Ok(length @ 1..) = stream.read(&mut scratch).await {
        let mut lines = decoder.lines(&scratch[..length]);
        let mut goes_on = true;
        while goes_on && let Some(line) = lines.next_line().unwrap() {
            goes_on = session.line(line, &mut out);
        }
        if stream.write_all(&out).await.is_err() || !goes_on {
            break;
        }
        out.clear();
    }
    if session.script.commits_at_close {
        session.commit();
    }
}

impl Session {
    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(gate) = &mut self.gate else { return self.greet(line, out) };
        if self.script.falls_silent {
            return true;
        }
        let frame = HemFrame::decode(line, 500).unwrap_or_else(|fault| panic!("{fault}"));
        let numbers = frame.numbers();
        if numbers > 0 {
            let index = self.frames;
            self.frames += 1;
            if self.script.close_after.is_some_and(|limit| index >= limit) {
                return false;
            }
            if self.script.unreadable.contains(&index) {
                self.model.with(|cloud| {
                    if numbers > 1 {
                        cloud.batches += 1;
                    }
                });
                CloudFrame::Error(CloudError {
                    code: ErrorCode::BadFrame,
                    text: "unreadable".to_owned(),
                    seq: Some(gate.last()),
                    retry_after_ms: None,
                })
                .encode(out);
                return true;
            }
        }
        let entries: Vec<(Seq, u64)> = match frame {
            HemFrame::Reading(sample) => {
                self.model.with(|cloud| cloud.singles += 1);
                vec![(sample.seq, content(&sample.nodes))]
            }
            HemFrame::Batch(items) => {
                self.model.with(|cloud| cloud.batches += 1);
                items
                    .into_iter()
                    .map(|item| item.map(|sample| (sample.seq, content(&sample.nodes))).unwrap())
                    .collect()
            }
            HemFrame::Event(event) => {
                self.model.with(|cloud| cloud.events.push(event.kind.clone()));
                vec![(event.seq, event.watts.map_or(0, |watts| whole(watts.0)))]
            }
            HemFrame::Latest(latest) => {
                let watts = latest.nodes.first().and_then(|node| node.watts).unwrap();
                self.model.with(|cloud| cloud.latest.push(watts.0));
                return true;
            }
            HemFrame::Result(result) => {
                self.model.with(|cloud| cloud.results.push(result));
                return true;
            }
            HemFrame::Ping => {
                self.model.with(|cloud| cloud.pings += 1);
                CloudFrame::Pong.encode(out);
                if !self.received.is_empty() {
                    self.acknowledge(out);
                }
                return true;
            }
            HemFrame::Hello(_) => panic!("a second hello"),
        };
        for (seq, content) in entries {
            if !self.take(seq, content, out) {
                return false;
            }
        }
        let due = self.received.len() >= self.script.ack_every.max(1);
        if due {
            self.acknowledge(out);
        }
        true
    }

    fn take(&mut self, seq: Seq, content: u64, out: &mut Vec<u8>) -> bool {
        let Some(gate) = &mut self.gate else { return false };
        let error =
            |code| CloudError { code, text: code.to_string(), seq: None, retry_after_ms: None };
        match gate.take(seq) {
            Taken::InOrder { missing } => self.model.with(|cloud| cloud.missing += missing),
            Taken::Stale => {
                self.model.with(|cloud| cloud.offences.push(format!("stale {seq}")));
                CloudFrame::Error(error(ErrorCode::StaleSeq)).encode(out);
                return true;
            }
            Taken::Gap { .. } => {
                self.acknowledge(out);
                CloudFrame::Error(error(ErrorCode::Gap)).encode(out);
                return false;
            }
        }
        if self.script.refuses.contains(&content) {
            self.model.with(|cloud| cloud.refused.push(content));
            CloudFrame::Refused(Refused {
                seq,
                code: memcloud_domain::RefusalCode::BadTime,
                text: "no".to_owned(),
            })
            .encode(out);
        } else {
            self.received.push((seq.0, content));
        }
        let in_flight = self.received.len();
        self.model.with(|cloud| {
            cloud.most_in_flight = cloud.most_in_flight.max(in_flight);
            if in_flight > cloud.max_in_flight {
                cloud.offences.push(format!("{in_flight} in flight"));
            }
        });
        true
    }

    fn acknowledge(&mut self, out: &mut Vec<u8>) {
        self.commit();
        let through = self.gate.as_ref().map_or(Seq(0), NumberGate::last);
        self.model.with(|cloud| cloud.mark = cloud.mark.max(through.0));
        CloudFrame::Ack(Ack { seq: through }).encode(out);
    }

    fn commit(&mut self) {
        let received = std::mem::take(&mut self.received);
        self.model.with(|cloud| {
            for (seq, content) in received {
                cloud.mark = cloud.mark.max(seq);
                if let Some(other) = cloud.stored.insert(seq, content) {
                    cloud.offences.push(format!("{seq} stored twice, {other} and {content}"));
                }
            }
        });
    }

    fn greet(&mut self, line: &[u8], out: &mut Vec<u8>) -> bool {
        let greeting = Greeting::decode(line).unwrap();
        let hem = greeting.hem.unwrap();
        let (mark, max_in_flight, key) = self.model.with(|cloud| {
            let issues_key = greeting.enrol.is_some().then(|| cloud.issues_key.clone()).flatten();
            cloud.greetings.push((greeting.key, greeting.enrol));
            (cloud.mark, cloud.max_in_flight, issues_key)
        });
        if let Some(error) = self.script.instead_of_welcome.clone() {
            CloudFrame::Error(error).encode(out);
            return false;
        }
        self.gate = Some(NumberGate::new(Seq(mark), self.model.with(|cloud| cloud.max_gap)));
        CloudFrame::Welcome(Welcome {
            hem,
            microgrid: MicrogridId::new("fontana").unwrap(),
            time: Timestamp(1_790_000_000_000),
            seq: Seq(mark),
            heartbeat_s: 30,
            max_in_flight: u32::try_from(max_in_flight).unwrap(),
            max_batch: 500,
            max_frame: 524_288,
            key,
        })
        .encode(out);
        for command in &self.script.commands {
            CloudFrame::Command(command.clone()).encode(out);
        }
        true
    }
}

fn content(nodes: &[NodeReading]) -> u64 {
    whole(nodes.first().and_then(|node| node.watts).unwrap().0)
}

fn whole(value: f64) -> u64 {
    value.to_string().parse().unwrap()
}

/// A sample that is told from every other by its content.
pub(crate) fn sample(content: u64) -> (SampleTime, Vec<NodeReading>) {
    let watts = Watts(content.to_string().parse().unwrap());
    let nodes = vec![NodeReading { watts: Some(watts), ..NodeReading::empty(NodeId(0)) }];
    (SampleTime::At(Timestamp(1_790_000_000_000)), nodes)
}

pub(crate) fn config() -> HemConfig {
    HemConfig {
        retry_first: Duration::from_millis(100),
        retry_most: Duration::from_secs(5),
        ..HemConfig::new(HemId::new("home-1").unwrap(), Credential::Key(Secret::new("k")))
    }
}
