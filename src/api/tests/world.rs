//! A world with an API in it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{HttpResponse, web};
use memcloud_bus::{CloudBus, CloudEvent};
use memcloud_domain::messages::{AuthenticateHem, CommandChanged, HemCredential};
use memcloud_domain::{Access, CommandId, CommandState, Reading, Role, Secret, Seq, Timestamp};
use memcloud_registry::{
    CreateApiToken, Followers, Randomness, Registrar, RegistrarConfig, RegistrarParts, SqlRegistry,
};
use memcloud_rest::Away;
use memcloud_supervision::{Child, ChildSpec, Clock, Scope, Universe};
use memcloud_worker::AppCatalogue;
use serde_json::Value;
use tokio::sync::watch;

use super::stand_ins::{Shared, StandInDispatch, StandInHistorian, StandInLedger, StandInStatus};
use crate::api::handles::{
    CommandPorts, DispatchPorts, Handles, HealthProbe, HistorianPorts, RegistrarPorts, StatusPorts,
};
use crate::api::server::{Document, Shown, app};
use crate::api::state::State;
use crate::config::Configuration;

/// 2026-11-23T12:00:00Z.
pub(super) const NOW: i64 = 1_795_435_200_000;

type Answering = Pin<Box<dyn Future<Output = ServiceResponse<BoxBody>>>>;

/// A world with an API in it.
pub(super) struct World {
    pub(super) known: Shared,
    pub(super) bus: CloudBus,
    pub(super) admin: String,
    pub(super) clock: Clock,
    /// Made false, `/health/ready` says that the web store is away.
    pub(super) is_well: Arc<AtomicBool>,
    registrar: Child<Registrar>,
    call: Box<dyn Fn(TestRequest) -> Answering>,
    closing: watch::Sender<bool>,
    tokens: RefCell<AtomicUsize>,
    _folder: tempfile::TempDir,
}

/// Runs a test in such a world.
pub(super) fn with_api<F, Fut>(test: F)
where
    F: FnOnce(Rc<World>) -> Fut,
    Fut: Future<Output = ()>,
{
    Universe::run(NOW, |scope| async move {
        let world = Rc::new(World::new(&scope).await);
        test(Rc::clone(&world)).await;
        let _ = world.closing.send(true);
    });
}

impl World {
    async fn new(scope: &Scope) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let parts = RegistrarParts {
            registry: Arc::new(SqlRegistry::open(folder.path().join("web.db")).unwrap()),
            randomness: Randomness::seeded(1),
            followers: Followers::default(),
            config: RegistrarConfig::default(),
        };
        let registrar = scope.supervise(ChildSpec::new("registrar"), move |scope| {
            Registrar::new(scope, parts.clone())
        });
        let known = Shared::default();
        let in_historian = Arc::clone(&known);
        let historian = scope.supervise(ChildSpec::new("historian"), move |_| {
            StandInHistorian(Arc::clone(&in_historian))
        });
        let in_status = Arc::clone(&known);
        let status = scope
            .supervise(ChildSpec::new("status"), move |_| StandInStatus(Arc::clone(&in_status)));
        let in_ledger = Arc::clone(&known);
        let ledger = scope
            .supervise(ChildSpec::new("commands"), move |_| StandInLedger(Arc::clone(&in_ledger)));
        let in_dispatch = Arc::clone(&known);
        let dispatch = scope
            .supervise(ChildSpec::new("cmo"), move |_| StandInDispatch(Arc::clone(&in_dispatch)));
        let bus = CloudBus::in_process();
        let is_well = Arc::new(AtomicBool::new(true));
        let handles = Handles {
            clock: scope.clock().clone(),
            scope: scope.clone(),
            tree: scope.tree(),
            registrar: RegistrarPorts::of(&registrar),
            historian: HistorianPorts::of(&historian),
            status: StatusPorts::of(&status),
            commands: CommandPorts::of(&ledger),
            dispatch: DispatchPorts::of(&dispatch),
            cluster: None,
            process: None,
            apps: AppCatalogue::standard(),
            bus: bus.clone(),
            health: vec![probe(Arc::clone(&is_well))],
            metrics: prometheus::Registry::new(),
        };
        let mut settings = Configuration::load(None).unwrap().http;
        settings.live_queue = 4;
        settings.max_live = 2;
        let (closing, closed) = watch::channel(false);
        let state = State::new(handles, settings, closed).unwrap();
        let application =
            app(web::Data::new(state), web::Data::new(Document::new(Shown::All)), Shown::All);
        let service = Rc::new(init_service(application).await);
        let call = Box::new(move |request: TestRequest| {
            let service = Rc::clone(&service);
            Box::pin(async move {
                call_service(&*service, request.to_request()).await.map_into_boxed_body()
            }) as Answering
        });
        let mut world = Self {
            known,
            bus,
            admin: String::new(),
            clock: scope.clock().clone(),
            is_well,
            registrar,
            call,
            closing,
            tokens: RefCell::default(),
            _folder: folder,
        };
        world.admin = world.token(Role::Admin, None).await;
        world
    }

    /// A new token.
    pub(super) async fn token(&self, role: Role, microgrid: Option<&str>) -> String {
        let number = self.tokens.borrow().fetch_add(1, Ordering::Relaxed);
        let access = Access { role, microgrid: microgrid.map(|id| id.parse().unwrap()) };
        let make = CreateApiToken { name: format!("token {number}"), access };
        let made = self.registrar.ask(make, Duration::from_secs(5)).await;
        made.unwrap().unwrap().secret.expose().to_owned()
    }

    /// Sends a request as it is.
    pub(super) async fn send(&self, request: TestRequest) -> Answer {
        Answer::of((self.call)(request).await.into()).await
    }

    /// Sends a request whose answer has no end.
    pub(super) async fn open(&self, request: TestRequest) -> HttpResponse {
        (self.call)(request).await.into()
    }

    /// Sends a request as an admin.
    pub(super) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.ask_as(&self.admin, method, path, body).await
    }

    /// Sends a request with a token.
    pub(super) async fn ask_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        self.send(as_caller(token, method, path, body)).await
    }

    /// Lets a HEM connect for a moment, and declare its nodes.
    pub(super) async fn declare(&self, hem: &str, nodes: Value) {
        let key = self.ask("POST", &format!("/hems/{hem}/key"), None).await.json();
        let hello = AuthenticateHem {
            hem: hem.parse().unwrap(),
            credential: HemCredential::Key(Secret::new(key["key"].as_str().unwrap())),
            nodes: Some(serde_json::from_value(nodes).unwrap()),
            firmware: None,
        };
        self.registrar.ask(hello, Duration::from_secs(5)).await.unwrap().unwrap();
    }

    /// Moves a command on, and says so on the bus.
    pub(super) fn move_command(&self, id: &str, state: CommandState) {
        let id = CommandId::new(id).unwrap();
        let command = self.known.lock().unwrap().moved(&id, state);
        self.bus.events.publish("", CloudEvent::CommandChanged(CommandChanged { command }));
    }

    /// Makes a microgrid with HEMs.
    pub(super) async fn populate(&self, microgrid: &str, hems: &[&str]) {
        let body =
            serde_json::json!({"id": microgrid, "name": microgrid, "time_zone": "Europe/Berlin"});
        assert_eq!(self.ask("POST", "/microgrids", Some(body)).await.status, 201);
        for hem in hems {
            let body = serde_json::json!({"id": hem, "microgrid": microgrid});
            assert_eq!(self.ask("POST", "/hems", Some(body)).await.status, 201);
        }
    }
}

/// A request below the base.
pub(super) fn as_caller(token: &str, method: &str, path: &str, body: Option<Value>) -> TestRequest {
    let request = TestRequest::default()
        .method(method.parse().unwrap())
        .uri(&format!("/api/v1{path}"))
        .insert_header(("Authorization", format!("Bearer {token}")));
    match body {
        Some(body) => request.set_json(body),
        None => request,
    }
}

fn probe(is_well: Arc<AtomicBool>) -> HealthProbe {
    Arc::new(move || {
        let is_well = is_well.load(Ordering::Relaxed);
        Box::pin(async move {
            if is_well {
                return Vec::new();
            }
            vec![Away { what: "web store".to_owned(), reason: "the disk is full".to_owned() }]
        })
    })
}

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl Answer {
    async fn of(response: HttpResponse) -> Self {
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        let bytes = actix_web::body::to_bytes(response.into_body()).await.unwrap();
        Self { status, headers, body: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// A header.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The code of a problem, checked to be one.
    pub(super) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.body);
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        problem["code"].as_str().unwrap().to_owned()
    }

    /// The ids of a list's items.
    pub(super) fn ids(&self) -> Vec<String> {
        let list = self.json();
        let items = list["items"].as_array().unwrap_or_else(|| panic!("{}", self.body));
        items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    }
}

/// A reading with nothing in it.
pub(super) fn reading(seq: u64) -> Reading {
    let ts = Timestamp(NOW + i64::try_from(seq).unwrap() * 1_000);
    let nodes = vec![memcloud_domain::NodeReading::empty(memcloud_domain::NodeId(0))];
    Reading { seq: Seq(seq), ts, received: ts, nodes }
}
