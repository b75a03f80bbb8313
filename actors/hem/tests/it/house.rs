//! A running IoT unit on a real port, with a registrar and a historian that a test can look into, and
//! HEMs that speak TLS to it.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, MessageResult};
use memcloud_domain::messages::{
    AuthenticateHem, AuthenticatedHem, AuthenticationError, CloseSession, CommandAnswered,
    Durability, HemConnected, HemCredential, HemDisconnected, HemHeard, LatestSeen, OpenSession,
    SessionOpened, StoreEntries, Unavailable,
};
use memcloud_domain::{Entry, Epoch, MicrogridId, Seq};
use memcloud_hem::{HemConfig, HemMetrics, HemPorts, HemUnit, StoreHealth, TlsFiles};
use memcloud_supervision::{Clock, Port, Scope};
use memcloud_wire::CloudFrame;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// The longest that anything may take; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

// ------------------------------------------------------------------------------- its neighbours

/// What the neighbours were told.
#[derive(Default)]
pub(crate) struct Books {
    pub(crate) entries: BTreeMap<String, Vec<Entry>>,
    pub(crate) hand_overs: usize,
    pub(crate) connected: Vec<HemConnected>,
    pub(crate) disconnected: Vec<HemDisconnected>,
    pub(crate) latest: Vec<LatestSeen>,
    pub(crate) answered: Vec<CommandAnswered>,
    pub(crate) closed_sessions: usize,
    /// While set, the historian commits nothing and handles nothing.
    pub(crate) is_stalled: bool,
    epochs: HashMap<String, u64>,
    durable: HashMap<String, (Epoch, watch::Sender<Durability>)>,
}

pub(crate) struct Neighbours {
    books: Arc<Mutex<Books>>,
}

impl Actor for Neighbours {
    type Context = Context<Self>;
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap()
}

impl Handler<AuthenticateHem> for Neighbours {
    type Result = MessageResult<AuthenticateHem>;

    fn handle(&mut self, question: AuthenticateHem, _: &mut Context<Self>) -> Self::Result {
        let is_good = match &question.credential {
            HemCredential::Key(key) => key.expose() == "good",
            HemCredential::Certificate => true,
            HemCredential::Enrolment(_) => false,
        };
        MessageResult(if is_good {
            Ok(AuthenticatedHem {
                microgrid: MicrogridId::new("fontana").unwrap(),
                nodes: question.nodes.unwrap_or_default(),
                issued_key: None,
            })
        } else {
            Err(AuthenticationError::Unauthorised)
        })
    }
}

impl Handler<OpenSession> for Neighbours {
    type Result = Result<SessionOpened, Unavailable>;

    fn handle(&mut self, open: OpenSession, _: &mut Context<Self>) -> Self::Result {
        let mut books = lock(&self.books);
        let hem = open.hem.to_string();
        let epoch = books.epochs.entry(hem.clone()).or_default();
        *epoch += 1;
        let epoch = Epoch(*epoch);
        let mark = books.entries.get(&hem).and_then(|entries| entries.last()).map(Entry::seq);
        if let Some((_, earlier)) = books.durable.insert(hem, (epoch, open.durable)) {
            earlier.send_modify(|durability| durability.fenced = true);
        }
        Ok(SessionOpened { epoch, mark: mark.unwrap_or(Seq::NONE) })
    }
}

impl Handler<StoreEntries> for Neighbours {
    type Result = ();

    fn handle(&mut self, store: StoreEntries, context: &mut Context<Self>) {
        if lock(&self.books).is_stalled {
            // Nothing is read from the mailbox until the stall ends.
            let books = Arc::clone(&self.books);
            let wait = async move {
                while lock(&books).is_stalled {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            context.wait(actix::fut::wrap_future(wait));
        }
        let mut books = lock(&self.books);
        let hem = store.hem.to_string();
        let Some((epoch, durable)) = books.durable.get(&hem) else { return };
        if *epoch != store.epoch {
            return;
        }
        let through = store.entries.last().map_or(Seq::NONE, Entry::seq);
        let _ = durable.send(Durability { through, fenced: false });
        books.hand_overs += 1;
        books.entries.entry(hem).or_default().extend(store.entries);
    }
}

impl Handler<CloseSession> for Neighbours {
    type Result = ();
    fn handle(&mut self, _: CloseSession, _: &mut Context<Self>) {
        lock(&self.books).closed_sessions += 1;
    }
}

impl Handler<HemConnected> for Neighbours {
    type Result = ();
    fn handle(&mut self, fact: HemConnected, _: &mut Context<Self>) {
        lock(&self.books).connected.push(fact);
    }
}

impl Handler<HemDisconnected> for Neighbours {
    type Result = ();
    fn handle(&mut self, fact: HemDisconnected, _: &mut Context<Self>) {
        lock(&self.books).disconnected.push(fact);
    }
}

impl Handler<HemHeard> for Neighbours {
    type Result = ();
    fn handle(&mut self, _: HemHeard, _: &mut Context<Self>) {}
}

impl Handler<LatestSeen> for Neighbours {
    type Result = ();
    fn handle(&mut self, fact: LatestSeen, _: &mut Context<Self>) {
        lock(&self.books).latest.push(fact);
    }
}

impl Handler<CommandAnswered> for Neighbours {
    type Result = ();
    fn handle(&mut self, answered: CommandAnswered, _: &mut Context<Self>) {
        lock(&self.books).answered.push(answered);
    }
}

/// The historian crashes: it forgets every session.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Die;

impl Handler<Die> for Neighbours {
    type Result = ();
    fn handle(&mut self, _: Die, context: &mut Context<Self>) {
        lock(&self.books).durable.clear();
        context.stop();
    }
}

// ------------------------------------------------------------------------------------- its keys

/// An authority, and what it signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate and its key.
    pub(crate) fn sign(&self, common_name: &str) -> (String, String) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// Puts a server's certificate into a folder, as a person would: whole files at a time.
    pub(crate) fn install(&self, dir: &Path, common_name: &str) -> CertificateDer<'static> {
        let (certificate, key) = self.sign(common_name);
        write(dir, "key.pem", &key);
        write(dir, "cert.pem", &certificate);
        CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()
    }
}

pub(crate) fn write(dir: &Path, name: &str, text: &str) {
    let (new, path) = (dir.join("new"), dir.join(name));
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

// ------------------------------------------------------------------------------------ the house

pub(crate) struct House {
    pub(crate) unit: HemUnit,
    pub(crate) scope: Scope,
    pub(crate) books: Arc<Mutex<Books>>,
    pub(crate) neighbours: actix::Addr<Neighbours>,
    pub(crate) authority: Authority,
    pub(crate) dir: tempfile::TempDir,
}

impl House {
    /// Starts a unit with two threads for its sockets, or with what the test changes.
    pub(crate) fn start(change: impl FnOnce(&mut HemConfig)) -> Self {
        Self::start_on(2, change)
    }

    pub(crate) fn start_on(threads: usize, change: impl FnOnce(&mut HemConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        authority.install(dir.path(), "first");
        write(dir.path(), "ca.pem", &authority.pem);
        let tls = TlsFiles {
            certificate: dir.path().join("cert.pem"),
            private_key: dir.path().join("key.pem"),
            client_ca: Some(dir.path().join("ca.pem")),
        };
        let mut config = HemConfig::new(([127, 0, 0, 1], 0).into(), tls);
        change(&mut config);

        let books = Arc::new(Mutex::new(Books::default()));
        let own = Arc::clone(&books);
        let health = Arc::clone(&books);
        let neighbours = Neighbours::create(|context| {
            context.set_mailbox_capacity(16);
            Neighbours { books: own }
        });
        let addr = &neighbours;
        let ports = HemPorts {
            authenticate: Port::from(addr.clone().recipient()),
            open_session: Port::from(addr.clone().recipient()),
            store_entries: Port::from(addr.clone().recipient()),
            close_session: Port::from(addr.clone().recipient()),
            answered: Port::from(addr.clone().recipient()),
            store_health: StoreHealth::new(move || !lock(&health).is_stalled),
            connected: vec![Port::from(addr.clone().recipient())],
            disconnected: vec![Port::from(addr.clone().recipient())],
            heard: vec![Port::from(addr.clone().recipient())],
            latest: vec![Port::from(addr.clone().recipient())],
        };
        let scope = Scope::root("house", Clock::system());
        let arbiters = (0..threads).map(|_| actix_rt::Arbiter::new().handle()).collect();
        let unit = HemUnit::start(&scope, config, ports, arbiters).unwrap();
        Self { unit, scope, books, neighbours, authority, dir }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.unit.address()
    }

    pub(crate) fn metrics(&self) -> Arc<HemMetrics> {
        self.unit.metrics()
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        lock(&self.books)
    }

    /// The numbers stored of a HEM.
    pub(crate) fn stored(&self, hem: &str) -> Vec<u64> {
        let books = self.books();
        let entries = books.entries.get(hem).map(Vec::as_slice).unwrap_or_default();
        entries.iter().map(|entry| entry.seq().0).collect()
    }

    /// How HEMs connect that trust this house's authority.
    pub(crate) fn client(&self) -> ClientConfig {
        self.client_of(&[&rustls::version::TLS13])
    }

    pub(crate) fn client_of(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ClientConfig {
        self.trusting(versions).with_no_client_auth()
    }

    /// How a HEM connects that has a certificate of this house's authority.
    pub(crate) fn client_with_certificate(&self, hem: &str) -> ClientConfig {
        let (certificate, key) = self.authority.sign(hem);
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        self.trusting(&[&rustls::version::TLS13])
            .with_client_auth_cert(vec![certificate], key)
            .unwrap()
    }

    fn trusting(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
    }

    pub(crate) async fn connect(&self) -> Hem {
        Hem::connect(self.address(), self.client()).await.unwrap()
    }

    /// A HEM that is welcomed, and the number it was welcomed with.
    pub(crate) async fn welcome(&self, hem: &str) -> (Hem, u64) {
        let mut client = self.connect().await;
        client.hello(hem).await;
        match client.hear().await {
            Some(CloudFrame::Welcome(welcome)) => (client, welcome.seq.0),
            other => panic!("no welcome but {other:?}"),
        }
    }

    /// Waits until something holds.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let waiting = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "never so: {what}");
    }
}

// ---------------------------------------------------------------------------------------- a HEM

pub(crate) struct Hem {
    pub(crate) stream: BufReader<TlsStream<TcpStream>>,
}

impl Hem {
    pub(crate) async fn connect(
        address: SocketAddr,
        config: ClientConfig,
    ) -> std::io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        Self::shake_hands(tcp, config).await
    }

    /// Over a connection on which something may have been said already.
    pub(crate) async fn shake_hands(tcp: TcpStream, config: ClientConfig) -> std::io::Result<Self> {
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    pub(crate) fn server_certificate(&self) -> Option<CertificateDer<'static>> {
        let certificates = self.stream.get_ref().get_ref().1.peer_certificates()?;
        certificates.first().map(|certificate| certificate.clone().into_owned())
    }

    pub(crate) async fn say(&mut self, line: &str) {
        let line = format!("{line}\n");
        self.stream.get_mut().write_all(line.as_bytes()).await.unwrap();
        self.stream.get_mut().flush().await.unwrap();
    }

    pub(crate) async fn hello(&mut self, hem: &str) {
        self.say(&format!(r#"{{"type":"hello","protocol":1,"hem":"{hem}","key":"good"}}"#)).await;
    }

    pub(crate) async fn say_readings(&mut self, seqs: impl IntoIterator<Item = u64>) {
        let reading =
            |seq| format!(r#"{{"type":"reading","seq":{seq},"age_ms":0,"nodes":[{{"node":0}}]}}"#);
        let lines: Vec<String> = seqs.into_iter().map(reading).collect();
        self.say(&lines.join("\n")).await;
    }

    /// The next frame; nothing when the cloud has closed.
    pub(crate) async fn hear(&mut self) -> Option<CloudFrame> {
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, self.stream.read_line(&mut line)).await;
        match read.expect("the cloud says nothing") {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(CloudFrame::decode(line.trim_end().as_bytes()).unwrap()),
        }
    }

    /// Hears until everything up to a number is acknowledged.
    pub(crate) async fn hear_ack(&mut self, seq: u64) {
        loop {
            match self.hear().await {
                Some(CloudFrame::Ack(ack)) if ack.seq.0 >= seq => return,
                Some(CloudFrame::Ack(_)) => {}
                other => panic!("no ack of {seq} but {other:?}"),
            }
        }
    }

    /// Hears an error, then the end.
    pub(crate) async fn hear_last_error(&mut self) -> memcloud_wire::CloudError {
        let error = match self.hear().await {
            Some(CloudFrame::Error(error)) => error,
            other => panic!("no error but {other:?}"),
        };
        assert_eq!(self.hear().await, None);
        error
    }
}

/// The cloud closes this connection without a word.
pub(crate) async fn is_closed(stream: &mut TcpStream) {
    let mut bytes = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    assert!(closed.is_ok(), "the connection stays open");
}
