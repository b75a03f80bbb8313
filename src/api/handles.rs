//! Whom the API asks. The one who starts the cloud fills [`Handles`] in; handlers know nothing else.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Actor, Context, Handler, Message};
use memcloud_bus::CloudBus;
use memcloud_cluster::GetCluster;
use memcloud_domain::messages::{
    CancelCommand, FindOwner, GetCommand, GetRoster, GetSeries, ListCommands, ListEvents,
    ListMarks, ListReadings, RequestCommands,
};
use memcloud_domain::{HemStatus, ProcessId};
use memcloud_microgrid::{ExplainNodes, SubmitWishes};
use memcloud_registry as registry;
use memcloud_rest::Away;
use memcloud_status::{self as status, MicrogridStatus, StatusPage};
use memcloud_supervision::{Child, Clock, Port, Scope, Tree};
use memcloud_worker::AppCatalogue;

use super::error::{ApiError, ApiResult};

/// How long a handler waits for an actor. The stores answer in milliseconds; this is for bad days.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// Has the port over which a message is asked.
pub(crate) trait Asks<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    /// The port.
    fn port(&self) -> &Port<M>;
}

/// What an actor answers, as REST takes it.
pub(crate) trait Answer {
    /// What was asked for.
    type Value;
    /// Turns the actor's own error into what REST answers.
    fn into_api(self) -> ApiResult<Self::Value>;
}

impl<T, E: Into<ApiError>> Answer for Result<T, E> {
    type Value = T;

    fn into_api(self) -> ApiResult<T> {
        self.map_err(Into::into)
    }
}

macro_rules! always_answered {
    ($($value:ty),+) => {$(
        impl Answer for $value {
            type Value = Self;

            fn into_api(self) -> ApiResult<Self> {
                Ok(self)
            }
        }
    )+};
}
always_answered!(Option<Arc<HemStatus>>, StatusPage, MicrogridStatus, Vec<MicrogridStatus>);

macro_rules! ports {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $message:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        #[expect(missing_docs, reason = "each port is documented by its message")]
        pub struct $name {
            $(pub $field: Port<$message>,)+
        }

        impl $name {
            /// The ports of an actor that answers all of it.
            #[must_use]
            pub fn of<A>(child: &Child<A>) -> Self
            where
                A: Actor<Context = Context<A>> $(+ Handler<$message>)+,
                $(A::Context: ToEnvelope<A, $message>,)+
            {
                Self { $($field: child.port(),)+ }
            }

            /// Asks, and turns what goes wrong into what REST answers.
            ///
            /// # Errors
            /// The actor's own error; `unavailable` and `unanswered`.
            pub(crate) async fn ask<M>(
                &self,
                message: M,
            ) -> ApiResult<<M::Result as Answer>::Value>
            where
                Self: Asks<M>,
                M: Message<Result: Answer + Send> + Send + 'static,
            {
                self.port().ask(message, DEADLINE).await?.into_api()
            }
        }

        $(impl Asks<$message> for $name {
            fn port(&self) -> &Port<$message> {
                &self.$field
            }
        })+
    };
}

ports! {
    /// What is asked of the `Registrar`.
    RegistrarPorts {
        authenticate_token: registry::AuthenticateToken,
        create_microgrid: registry::CreateMicrogrid,
        get_microgrid: registry::GetMicrogrid,
        list_microgrids: registry::ListMicrogrids,
        update_microgrid: registry::UpdateMicrogrid,
        delete_microgrid: registry::DeleteMicrogrid,
        create_enrolment_token: registry::CreateEnrolmentToken,
        list_enrolment_tokens: registry::ListEnrolmentTokens,
        delete_enrolment_tokens: registry::DeleteEnrolmentTokens,
        register_hem: registry::RegisterHem,
        get_hem: registry::GetHem,
        list_hems: registry::ListHems,
        update_hem: registry::UpdateHem,
        delete_hem: registry::DeleteHem,
        rotate_hem_key: registry::RotateHemKey,
        revoke_hem_key: registry::RevokeHemKey,
        create_job: registry::CreateJob,
        get_job: registry::GetJob,
        list_jobs: registry::ListJobs,
        update_job: registry::UpdateJob,
        delete_job: registry::DeleteJob,
        create_job_token: registry::CreateJobToken,
        revoke_job_token: registry::RevokeJobToken,
        list_job_results: registry::ListJobResults,
        list_job_log: registry::ListJobLog,
        begin_idempotent: registry::BeginIdempotent,
        finish_idempotent: registry::FinishIdempotent,
        get_roster: GetRoster,
    }
}

ports! {
    /// What is asked of the `Historian`.
    HistorianPorts {
        list_readings: ListReadings,
        list_events: ListEvents,
        get_series: GetSeries,
        list_marks: ListMarks,
    }
}

ports! {
    /// What is asked of the `CommandProcessor`.
    CommandPorts {
        request: RequestCommands,
        get: GetCommand,
        list: ListCommands,
        cancel: CancelCommand,
    }
}

ports! {
    /// What is asked of the `ChiefMicrogridOperator`, who passes it to the right supervisor.
    DispatchPorts {
        explain: ExplainNodes,
        submit: SubmitWishes,
    }
}

ports! {
    /// What is asked of the `StatusMonitor`.
    StatusPorts {
        get_hem_status: status::GetHemStatus,
        list_hem_statuses: status::ListHemStatuses,
        get_microgrid_status: status::GetMicrogridStatus,
        list_microgrid_statuses: status::ListMicrogridStatuses,
    }
}

ports! {
    /// What is asked of the `ClusterMember`.
    ClusterPorts {
        find_owner: FindOwner,
        get_cluster: GetCluster,
    }
}

/// Asks one part of the cloud whether it can do its work: what is away now, nothing if all is well.
pub type HealthProbe =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Vec<Away>> + Send>> + Send + Sync>;

/// Whom the API asks.
#[derive(Clone)]
pub struct Handles {
    /// What time it is.
    pub clock: Clock,
    /// Below which the API's own actors start.
    pub scope: Scope,
    /// All actors.
    pub tree: Tree,
    /// Microgrids, HEMs, keys, tokens, jobs.
    pub registrar: RegistrarPorts,
    /// Readings, events, history.
    pub historian: HistorianPorts,
    /// How HEMs and microgrids stand now.
    pub status: StatusPorts,
    /// Commands.
    pub commands: CommandPorts,
    /// Wishes, and why nodes are as they are.
    pub dispatch: DispatchPorts,
    /// Who runs what, in a cluster.
    pub cluster: Option<ClusterPorts>,
    /// The name of this process in a cluster.
    pub process: Option<ProcessId>,
    /// The apps that can be deployed.
    pub apps: AppCatalogue,
    /// Where the live feed listens.
    pub bus: CloudBus,
    /// What `/health/ready` asks.
    pub health: Vec<HealthProbe>,
    /// What `/metrics` shows beside the API's own; collectors are registered by whoever has them.
    pub metrics: prometheus::Registry,
}

impl std::fmt::Debug for Handles {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Handles").finish_non_exhaustive()
    }
}
