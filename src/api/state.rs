//! What every handler can reach: the handles, the settings, and the API's own counters.

use std::ops::Deref;
use std::sync::Arc;

use actix_web::{HttpRequest, web};
use tokio::sync::watch;

use super::error::{ApiError, ApiResult, ErrorCode};
use super::handles::Handles;
use super::live::{Hub, Listeners, LiveHub};
use super::metrics::ApiMetrics;
use super::rate::{Limiter, Rates};
use super::waiting::Waiters;
use crate::config;

/// What every handler can reach. Cheap to clone.
#[derive(Clone)]
pub(crate) struct State(Arc<Inner>);

/// What is behind a [`State`].
pub(crate) struct Inner {
    /// Whom the API asks.
    pub(crate) handles: Handles,
    /// The section `http` of the configuration.
    pub(crate) settings: config::Http,
    /// The API's own counters.
    pub(crate) metrics: ApiMetrics,
    /// Who listens to the live feed.
    pub(crate) listeners: Listeners,
    /// How much each token may ask for.
    pub(crate) limiter: Limiter,
    /// Who waits for commands.
    pub(crate) waiters: Arc<Waiters>,
    /// What the live feed tells, and told last.
    pub(crate) hub: Arc<Hub>,
    /// Turns true when the server is being shut down.
    pub(crate) closing: watch::Receiver<bool>,
}

impl State {
    /// Puts it together: registers the API's own counters beside those of the handles, and starts the
    /// live hub below their scope.
    ///
    /// # Errors
    /// Where the handles' metrics registry holds metrics of the same names already.
    pub(crate) fn new(
        handles: Handles,
        settings: config::Http,
        closing: watch::Receiver<bool>,
    ) -> Result<Self, prometheus::Error> {
        let metrics = ApiMetrics::new(&handles.metrics)?;
        let listeners = Listeners::new(settings.max_live, &metrics);
        let waiters = Waiters::new(settings.max_waiting, &metrics);
        let hub = Arc::new(Hub::new(settings.live_history, Arc::clone(&waiters)));
        LiveHub::start(&handles.scope, &handles.bus, &hub);
        let limiter = Limiter::new(Rates {
            writes: settings.max_writes,
            job_requests: settings.max_job_requests,
        });
        let inner = Inner { handles, settings, metrics, listeners, limiter, waiters, hub, closing };
        Ok(Self(Arc::new(inner)))
    }

    /// The state of the application that a request came to.
    ///
    /// # Errors
    /// `internal` where the application was put together without one.
    pub(crate) fn of(request: &HttpRequest) -> ApiResult<Self> {
        request.app_data::<web::Data<Self>>().map(|data| data.get_ref().clone()).ok_or_else(|| {
            log::error!("the application was put together without its state");
            ApiError::new(ErrorCode::Internal, "the server was put together wrongly")
        })
    }

    /// The counters and settings, and all else that is not a handle.
    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }
}

impl Deref for State {
    type Target = Handles;

    fn deref(&self) -> &Handles {
        &self.0.handles
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("State").finish_non_exhaustive()
    }
}
