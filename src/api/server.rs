//! The HTTP server: one application per worker thread, its limits, and its orderly end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{
    ResourceDef, Server, ServerHandle, ServiceFactory, ServiceRequest, ServiceResponse,
};
use actix_web::http::{Method, header};
use actix_web::middleware::{Compress, DefaultHeaders, from_fn};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, ResponseError, web};
use tokio::sync::watch;
use utoipa::openapi::OpenApi;
use utoipa_actix_web::scope::scope;
use utoipa_actix_web::service_config::ServiceConfig;
use utoipa_actix_web::{AppExt, UtoipaApp};
use utoipa_swagger_ui::{Config, SwaggerUi, Url};

use super::caller::authenticate;
use super::error::{ApiError, ERRORS_PATH, ErrorCode, errors_page};
use super::handles::Handles;
use super::metrics::measure;
use super::state::State;
use super::{BASE, health, metrics, openapi, routes};
use crate::config;

const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long, at the end, answers that are under way may take; in seconds.
const SHUTDOWN_SECONDS: u64 = 1;
const OPENAPI_PATH: &str = "/api/openapi.json";
const DOCS_PATH: &str = "/api/docs/";

/// The running HTTP server.
#[derive(Debug)]
pub struct ApiServer {
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    closing: watch::Sender<bool>,
    servers: Vec<ServerHandle>,
}

/// Starts the HTTP server on `http.bind`, and on `http.admin_bind` if that is set. Must be called
/// within an actix system.
///
/// # Errors
/// Where an address cannot be listened on, or the metrics are registered already.
pub fn serve(handles: Handles, settings: &config::Http) -> io::Result<ApiServer> {
    let (closing, closed) = watch::channel(false);
    let state = State::new(handles, settings.clone(), closed)
        .map_err(|error| io::Error::other(error.to_string()))?;
    let listener = bind("http.bind", settings.bind)?;
    let address = listener.local_addr()?;
    let admin = settings.admin_bind.map(|bind_to| bind("http.admin_bind", bind_to)).transpose()?;
    let admin_address = admin.as_ref().map(TcpListener::local_addr).transpose()?;
    let shown = if admin.is_some() { Shown::Api } else { Shown::All };
    let mut servers = vec![start(state.clone(), shown, settings, listener)?];
    if let Some(listener) = admin {
        servers.push(start(state, Shown::Operations, settings, listener)?);
    }
    let handles = servers.iter().map(Server::handle).collect();
    for server in servers {
        actix_web::rt::spawn(async move {
            if let Err(error) = server.await {
                log::error!(error:%; "the HTTP server ended with an error");
            }
        });
    }
    Ok(ApiServer { address, admin_address, closing, servers: handles })
}

fn bind(key: &str, address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot listen for HTTP on {address} ({error}); set `{key}` to a free address"),
        )
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn start(
    state: State,
    shown: Shown,
    settings: &config::Http,
    listener: TcpListener,
) -> io::Result<Server> {
    let state = web::Data::new(state);
    let document = web::Data::new(Document::new(shown));
    let workers = settings.workers.max(1);
    let server = HttpServer::new(move || app(state.clone(), document.clone(), shown))
        .workers(workers)
        .max_connections(settings.max_connections.div_ceil(workers))
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}

impl ApiServer {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for `/health` and `/metrics`, if that is another address.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Takes no more requests, tells the listeners of the live feed, lets answers that are under way
    /// finish for a second, and ends.
    pub async fn stop(&self) {
        let _ = self.closing.send(true);
        futures_util::future::join_all(self.servers.iter().map(|server| server.stop(true))).await;
    }
}

/// What an application shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Everything.
    All,
    /// All but health and metrics.
    Api,
    /// Health and metrics alone.
    Operations,
}

/// The OpenAPI document, and what follows from it: which methods a path has.
pub(super) struct Document {
    document: OpenApi,
    json: String,
    paths: Vec<(ResourceDef, String)>,
}

impl Document {
    pub(super) fn new(shown: Shown) -> Self {
        let document = openapi::openapi();
        let json = serde_json::to_string(&document).unwrap_or_default();
        let pages = [OPENAPI_PATH, ERRORS_PATH, "/api/docs", DOCS_PATH]
            .into_iter()
            .filter(|_| shown != Shown::Operations)
            .map(|path| (path.to_owned(), "GET".to_owned()));
        let paths = document
            .paths
            .paths
            .iter()
            .filter(|(path, _)| match shown {
                Shown::All => true,
                Shown::Api => path.starts_with(BASE),
                Shown::Operations => !path.starts_with(BASE),
            })
            .map(|(path, item)| {
                let methods = [
                    ("GET", item.get.is_some()),
                    ("POST", item.post.is_some()),
                    ("PATCH", item.patch.is_some()),
                    ("DELETE", item.delete.is_some()),
                ];
                let there_are: Vec<_> = methods
                    .into_iter()
                    .filter_map(|(method, is_there)| is_there.then_some(method))
                    .collect();
                (path.clone(), there_are.join(", "))
            })
            .chain(pages)
            .map(|(path, methods)| (ResourceDef::new(path), methods))
            .collect();
        Self { document, json, paths }
    }

    fn methods(&self, path: &str) -> Option<&str> {
        self.paths
            .iter()
            .find(|(pattern, _)| pattern.is_match(path))
            .map(|(_, methods)| methods.as_str())
    }
}

/// Registers the documented paths.
pub(super) fn register(config: &mut ServiceConfig<'_>, shown: Shown) {
    if shown != Shown::Api {
        config.service(health::live).service(health::ready).service(metrics::metrics);
    }
    if shown != Shown::Operations {
        config.service(scope(BASE).configure(routes::register));
    }
}

/// An application with everything around the handlers.
pub(super) fn app(
    state: web::Data<State>,
    document: web::Data<Document>,
    shown: Shown,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    let max_body = state.inner().settings.max_body;
    let ui = document.document.clone();
    let app: UtoipaApp<_> = App::new().into_utoipa_app();
    app.configure(|config| register(config, shown))
        .into_app()
        .configure(|config| {
            if shown != Shown::Operations {
                documentation(config, ui);
            }
        })
        .app_data(state)
        .app_data(document)
        .app_data(web::PayloadConfig::new(max_body))
        .default_service(web::to(no_such_path))
        .wrap(from_fn(authenticate))
        .wrap(from_fn(measure))
        .wrap(DefaultHeaders::new().add((header::X_CONTENT_TYPE_OPTIONS, "nosniff")))
        .wrap(Compress::default())
}

fn documentation(config: &mut web::ServiceConfig, document: OpenApi) {
    let ui = Config::new([Url::new("MEMCloud", OPENAPI_PATH)])
        .validator_url("none")
        .persist_authorization(true);
    config
        .route(
            OPENAPI_PATH,
            web::get().to(|document: web::Data<Document>| async move {
                HttpResponse::Ok().content_type("application/json").body(document.json.clone())
            }),
        )
        .route(
            ERRORS_PATH,
            web::get().to(|| async {
                HttpResponse::Ok().content_type("text/html; charset=utf-8").body(errors_page())
            }),
        )
        .route(
            "/api/docs",
            web::get().to(|| async {
                HttpResponse::PermanentRedirect()
                    .insert_header((header::LOCATION, DOCS_PATH))
                    .finish()
            }),
        )
        .service(
            SwaggerUi::new("/api/docs/{_:.*}")
                .external_url_unchecked(
                    Url::new("MEMCloud", OPENAPI_PATH),
                    serde_json::json!(document),
                )
                .config(ui),
        );
}

/// Whatever no handler took: the path is not there, or not for this method.
async fn no_such_path(
    request: HttpRequest,
    document: web::Data<Document>,
) -> HttpResponse<BoxBody> {
    let shown: String = request.path().chars().take(120).collect();
    let error = match document.methods(request.path()) {
        Some(methods) if !methods.is_empty() => ApiError::new(
            ErrorCode::MethodNotAllowed,
            format!("{shown} has {methods}, not {}", method_shown(request.method())),
        )
        .allowing(methods),
        _ => ApiError::new(
            ErrorCode::NoSuchPath,
            format!("there is no {shown}; {DOCS_PATH} lists what there is"),
        ),
    };
    error.error_response()
}

fn method_shown(method: &Method) -> String {
    method.as_str().chars().take(20).collect()
}
