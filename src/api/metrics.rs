//! The API's own counters, and the page that shows all. Labels are bounded: methods, the routes'
//! patterns and classes of statuses, never an id.

use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, header};
use actix_web::middleware::Next;
use actix_web::{HttpResponse, get, web};
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

use super::error::{ApiError, ApiResult, ErrorCode};
use super::state::State;

/// The API's own counters.
#[derive(Debug, Clone)]
pub(crate) struct ApiMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    /// Who listens to the live feed now.
    pub(crate) live_listeners: IntGauge,
    /// Updates that slow listeners lost.
    pub(crate) live_lost: IntCounter,
    /// Listeners that were turned away because there were too many.
    pub(crate) live_refused: IntCounter,
    /// Who waits for a command now.
    pub(crate) waiting: IntGauge,
    /// Requests that could not wait because too many did.
    pub(crate) waiting_refused: IntCounter,
    /// Requests that were refused because their tokens had sent too many.
    pub(crate) rate_limited: IntCounter,
}

impl ApiMetrics {
    /// Makes and registers them.
    ///
    /// # Errors
    /// Where the names are taken.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new("memcloud_http_requests_total", "HTTP requests answered."),
            &["method", "route", "status"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "memcloud_http_request_seconds",
                "Time until the head of the answer was ready.",
            )
            .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0]),
            &["route"],
        )?;
        let live_listeners =
            IntGauge::new("memcloud_live_listeners", "Open subscriptions of the live feed.")?;
        let live_lost = IntCounter::new(
            "memcloud_live_lost_total",
            "Updates that slow listeners of the live feed lost.",
        )?;
        let live_refused = IntCounter::new(
            "memcloud_live_refused_total",
            "Listeners that were turned away because `http.max_live` listened already.",
        )?;
        let waiting = IntGauge::new(
            "memcloud_http_waiting",
            "Requests that wait for a command to be decided.",
        )?;
        let waiting_refused = IntCounter::new(
            "memcloud_http_waiting_refused_total",
            "Requests that were answered at once because `http.max_waiting` waited already.",
        )?;
        let rate_limited = IntCounter::new(
            "memcloud_http_rate_limited_total",
            "Requests that were refused because their token had sent more than it may.",
        )?;
        registry.register(Box::new(waiting.clone()))?;
        registry.register(Box::new(waiting_refused.clone()))?;
        registry.register(Box::new(rate_limited.clone()))?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(live_listeners.clone()))?;
        registry.register(Box::new(live_lost.clone()))?;
        registry.register(Box::new(live_refused.clone()))?;
        Ok(Self {
            requests,
            seconds,
            live_listeners,
            live_lost,
            live_refused,
            waiting,
            waiting_refused,
            rate_limited,
        })
    }

    fn count(&self, method: &Method, route: &str, status: u16, span: Duration) {
        let class = match status {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        self.requests.with_label_values(&[method_label(method), route, class]).inc();
        self.seconds.with_label_values(&[route]).observe(span.as_secs_f64());
    }
}

fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Counts and times every request.
pub(crate) async fn measure(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let state = State::of(request.request())?;
    let began = state.clock.instant();
    let method = request.method().clone();
    let route = request.match_pattern();
    let answer = next.call(request).await;
    let span = state.clock.instant().saturating_duration_since(began);
    let status = match &answer {
        Ok(response) => response.status().as_u16(),
        Err(error) => error.as_response_error().status_code().as_u16(),
    };
    let route = route.as_deref().unwrap_or("unmatched");
    state.inner().metrics.count(&method, route, status, span);
    let duration_ms = span.as_millis();
    if status >= 500 {
        log::warn!(method:% = method, route, status, duration_ms; "a request failed for no fault of the caller");
    } else {
        log::debug!(method:% = method, route, status, duration_ms; "answered a request");
    }
    answer
}

/// Everything that is counted.
#[utoipa::path(
    operation_id = "get_metrics", tag = "Operations",
    summary = "Metrics",
    description = "Everything that is counted, in the text format of Prometheus. On `http.admin_bind` alone if that is set.",
    security(()),
    responses((status = 200, content_type = "text/plain", body = String, description = "The metrics."))
)]
#[get("/metrics")]
pub(crate) async fn metrics(state: web::Data<State>) -> ApiResult<HttpResponse> {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    encoder.encode(&state.metrics.gather(), &mut text).map_err(|error| {
        log::error!(error:%; "the metrics cannot be written");
        ApiError::new(ErrorCode::Internal, "the metrics cannot be written")
    })?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, encoder.format_type().to_owned()))
        .body(text))
}
