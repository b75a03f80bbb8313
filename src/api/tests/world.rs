//! A world with an API in it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use actix::{Actor, Context, Handler, MessageResult};
use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{HttpResponse, web};
use memcloud_bus::CloudBus;
use memcloud_domain::messages::{
    GetSeries, ListEvents, ListReadings, Order, Page, SeriesSubject, Unavailable,
};
use memcloud_domain::{
    Access, HemEvent, HemId, HemStatus, MicrogridId, PowerTotals, Reading, Resolution, Role, Seq,
    Series, Timestamp,
};
use memcloud_registry::{
    CreateApiToken, Followers, Randomness, Registrar, RegistrarConfig, RegistrarParts,
    SqliteRegistry,
};
use memcloud_rest::Away;
use memcloud_status::{
    GetHemStatus, GetMicrogridStatus, ListHemStatuses, ListMicrogridStatuses, MicrogridStatus,
    StatusPage,
};
use memcloud_supervision::{Child, ChildSpec, Observe, Scope, Universe, supervised};
use memcloud_worker::AppCatalogue;
use serde_json::Value;
use tokio::sync::watch;

use crate::api::handles::{Handles, HealthProbe, HistorianPorts, RegistrarPorts, StatusPorts};
use crate::api::server::{Document, Shown, app};
use crate::api::state::State;
use crate::config::Configuration;

/// 2026-11-23T12:00:00Z.
pub(super) const NOW: i64 = 1_795_435_200_000;

/// What the stand-ins know, and what they were asked.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) readings: Vec<Reading>,
    pub(super) events: Vec<HemEvent>,
    pub(super) statuses: BTreeMap<HemId, HemStatus>,
    pub(super) series_asked: Option<(SeriesSubject, String)>,
    pub(super) pages_asked: usize,
    pub(super) largest_page: usize,
    pub(super) is_away: bool,
}

type Shared = Arc<std::sync::Mutex<Known>>;

/// Stands in for the historian: keeps what the test puts in.
struct StandInHistorian(Shared);

impl Actor for StandInHistorian {
    type Context = Context<Self>;
}
impl Observe for StandInHistorian {}
supervised!(StandInHistorian);

fn page<T: Clone>(
    items: &[T],
    seq: impl Fn(&T) -> Seq,
    after: Option<Seq>,
    limit: usize,
    order: Order,
) -> Page<T> {
    let mut fitting: Vec<T> = items
        .iter()
        .filter(|item| match (after, order) {
            (None, _) => true,
            (Some(after), Order::Ascending) => seq(item) > after,
            (Some(after), Order::Descending) => seq(item) < after,
        })
        .cloned()
        .collect();
    if order == Order::Descending {
        fitting.reverse();
    }
    let is_last = fitting.len() <= limit;
    fitting.truncate(limit);
    let next = if is_last { None } else { fitting.last().map(seq) };
    Page { items: fitting, next }
}

impl StandInHistorian {
    fn known(&self) -> Result<std::sync::MutexGuard<'_, Known>, Unavailable> {
        let known = self.0.lock().unwrap();
        if known.is_away {
            return Err(Unavailable { what: "iot store", reason: "the disk is full".to_owned() });
        }
        Ok(known)
    }
}

impl Handler<ListReadings> for StandInHistorian {
    type Result = MessageResult<ListReadings>;

    fn handle(&mut self, asked: ListReadings, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.known().map(|mut known| {
            known.pages_asked += 1;
            known.largest_page = known.largest_page.max(asked.limit);
            let in_range: Vec<Reading> = known
                .readings
                .iter()
                .filter(|reading| asked.range.from.is_none_or(|from| reading.ts >= from))
                .filter(|reading| asked.range.to.is_none_or(|to| reading.ts < to))
                .cloned()
                .collect();
            page(&in_range, |reading| reading.seq, asked.after, asked.limit, asked.order)
        }))
    }
}

impl Handler<ListEvents> for StandInHistorian {
    type Result = MessageResult<ListEvents>;

    fn handle(&mut self, asked: ListEvents, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.known().map(|known| {
            page(&known.events, |event| event.seq, asked.after, asked.limit, asked.order)
        }))
    }
}

impl Handler<GetSeries> for StandInHistorian {
    type Result = MessageResult<GetSeries>;

    fn handle(&mut self, asked: GetSeries, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.known().map(|mut known| {
            known.series_asked = Some((asked.subject, asked.time_zone));
            Series {
                points: Vec::new(),
                unit: asked.quantity.unit().to_owned(),
                resolution: Resolution::Minute,
                step_seconds: 60,
            }
        }))
    }
}

/// Stands in for the status monitor: answers what the test puts in.
struct StandInStatus(Shared);

impl Actor for StandInStatus {
    type Context = Context<Self>;
}
impl Observe for StandInStatus {}
supervised!(StandInStatus);

impl Handler<GetHemStatus> for StandInStatus {
    type Result = MessageResult<GetHemStatus>;

    fn handle(&mut self, asked: GetHemStatus, _: &mut Context<Self>) -> Self::Result {
        let known = self.0.lock().unwrap();
        MessageResult(known.statuses.get(&asked.hem).cloned().map(Arc::new))
    }
}

impl Handler<ListHemStatuses> for StandInStatus {
    type Result = MessageResult<ListHemStatuses>;

    fn handle(&mut self, asked: ListHemStatuses, _: &mut Context<Self>) -> Self::Result {
        let known = self.0.lock().unwrap();
        let wanted = asked.hems.unwrap_or_default();
        let items = wanted
            .iter()
            .filter_map(|hem| known.statuses.get(hem).cloned().map(Arc::new))
            .collect();
        MessageResult(StatusPage { items, next: None })
    }
}

fn nobody(microgrid: MicrogridId) -> MicrogridStatus {
    MicrogridStatus { microgrid, totals: PowerTotals::default(), online: 0, active: 0, known: 0 }
}

impl Handler<GetMicrogridStatus> for StandInStatus {
    type Result = MessageResult<GetMicrogridStatus>;

    fn handle(&mut self, asked: GetMicrogridStatus, _: &mut Context<Self>) -> Self::Result {
        MessageResult(nobody(asked.microgrid))
    }
}

impl Handler<ListMicrogridStatuses> for StandInStatus {
    type Result = MessageResult<ListMicrogridStatuses>;

    fn handle(&mut self, asked: ListMicrogridStatuses, _: &mut Context<Self>) -> Self::Result {
        MessageResult(asked.microgrids.into_iter().map(nobody).collect())
    }
}

type Answering = Pin<Box<dyn Future<Output = ServiceResponse<BoxBody>>>>;

/// A world with an API in it.
pub(super) struct World {
    pub(super) known: Shared,
    pub(super) bus: CloudBus,
    pub(super) admin: String,
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
            registry: Arc::new(SqliteRegistry::open(folder.path().join("web.db")).unwrap()),
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
        let bus = CloudBus::in_process();
        let is_well = Arc::new(AtomicBool::new(true));
        let handles = Handles {
            clock: scope.clock().clone(),
            tree: scope.tree(),
            registrar: RegistrarPorts::of(&registrar),
            historian: HistorianPorts::of(&historian),
            status: StatusPorts::of(&status),
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
        let made = self.registrar.ask(make, std::time::Duration::from_secs(5)).await;
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
