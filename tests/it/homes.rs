//! Homes for the tests: HEMs of the SDK over real TLS, and what they were acknowledged.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use memcloud_domain::{
    HemId, NodeDeclaration, NodeId, NodeKind, NodeReading, Secret, Seq, WattHours, Watts,
};
use memcloud_sdk::hem::{
    Credential, HemClient, HemConfig, HemHandler, Notice, TlsTransport, trust,
};
use memcloud_wire::SampleTime;

use crate::support::TestCloud;

/// What a home heard.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Every number that the cloud said is on disk.
    pub(crate) acknowledged: Vec<Seq>,
    /// The codes of the errors that ended connections.
    pub(crate) ended: Vec<String>,
}

#[derive(Debug, Clone, Default)]
struct Ear(Arc<Mutex<Heard>>);

impl HemHandler for Ear {
    fn notice(&self, notice: Notice<'_>) {
        let mut heard = self.0.lock().unwrap();
        match notice {
            Notice::Acknowledged { seq, .. } => heard.acknowledged.push(seq),
            Notice::Disconnected { code, .. } => {
                heard.ended.push(code.map_or("lost".to_owned(), |code| code.as_str().to_owned()));
            }
            _ => {}
        }
    }
}

/// A home with a grid connection, a PV and a load.
pub(crate) struct TestHome {
    /// The HEM.
    pub(crate) hem: HemClient,
    ear: Ear,
}

fn node(number: u8, name: &str, kind: NodeKind) -> NodeDeclaration {
    NodeDeclaration {
        node: NodeId(number),
        name: name.to_owned(),
        kind,
        rated_watts: None,
        min_watts: None,
        max_watts: None,
        capacity_wh: None,
        critical: None,
        priority: None,
        controls: None,
        default: None,
    }
}

impl TestHome {
    /// Connects a HEM by its device key.
    pub(crate) fn connect(cloud: &TestCloud, id: &str, key: &str) -> Self {
        Self::connect_to(cloud.hem, &cloud.ca(), id, key)
    }

    /// The same at an address.
    pub(crate) fn connect_to(address: SocketAddr, ca: &Path, id: &str, key: &str) -> Self {
        let tls = trust(ca, None).unwrap();
        let transport = TlsTransport::new(&address.to_string(), tls).unwrap();
        let credential = Credential::Key(Secret::new(key));
        let config = HemConfig {
            nodes: Some(vec![
                node(0, "grid", NodeKind::Grid),
                node(1, "pv", NodeKind::Source),
                node(2, "house", NodeKind::Load),
            ]),
            retry_first: Duration::from_millis(50),
            retry_most: Duration::from_millis(500),
            ..HemConfig::new(HemId::new(id).unwrap(), credential)
        };
        let ear = Ear::default();
        let (hem, _) = HemClient::spawn(config, transport, ear.clone()).unwrap();
        Self { hem, ear }
    }

    /// Records a sample: a load of so many watts, fed by PV and the grid, so that all sums to zero.
    pub(crate) fn sample(&self, at_ms: i64, load: f64, solar: f64, counter_wh: f64) -> Seq {
        let watts = |number, watts| NodeReading {
            watts: Some(Watts(watts)),
            ..NodeReading::empty(NodeId(number))
        };
        let nodes = [
            watts(0, solar - load),
            watts(1, -solar),
            NodeReading { wh_in: Some(WattHours(counter_wh)), ..watts(2, load) },
        ];
        self.hem.record(SampleTime::At(memcloud_domain::Timestamp(at_ms)), &nodes).unwrap()
    }

    /// Every number that was acknowledged so far, ascending.
    pub(crate) fn acknowledged(&self) -> Vec<u64> {
        let mut all: Vec<u64> =
            self.ear.0.lock().unwrap().acknowledged.iter().map(|seq| seq.0).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The codes of what ended its connections.
    pub(crate) fn ended(&self) -> Vec<String> {
        self.ear.0.lock().unwrap().ended.clone()
    }
}

/// The wall clock in Unix milliseconds.
#[expect(clippy::disallowed_methods, reason = "tests with real sockets use real time")]
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// Waits, on the runtime, until something holds.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "tests with real sockets use real time")]
pub(crate) fn until<'a>(
    what: &'a str,
    mut holds: impl FnMut() -> bool + 'a,
) -> impl Future<Output = ()> + 'a {
    let begun = std::time::Instant::now();
    async move {
        while !holds() {
            assert!(begun.elapsed() < crate::support::PATIENCE, "waited in vain: {what}");
            actix_rt::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
