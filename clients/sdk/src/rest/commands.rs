//! Commands, why, and what a job that runs elsewhere sends.

use std::time::Duration;

use awc::http::Method;
use memcloud_domain::{CommandId, HemId, JobId, MicrogridId};
use memcloud_rest::{
    Command, CommandsTaken, JobTokenCreated, NewCommand, NewCommands, NewWishes, Page, Why,
    WishesTaken,
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::query::Parameters;
use super::{CommandsQuery, PageQuery, RestClient};
use crate::SdkError;

/// The cloud holds an answer back for so long at most, well within this client's patience.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

fn waiting(patience: Option<Duration>) -> Parameters {
    let wait = patience.map(|patience| format!("{}ms", patience.min(LONGEST_WAIT).as_millis()));
    Parameters::default().with("wait", wait)
}

impl RestClient {
    /// Commands a HEM or one of its nodes. Answered once it is on disk; with `patience`, once it is
    /// decided or so long (at most 20 s) has passed. [`RestClient::await_command`] waits longer.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`]; `invalid-value` says what the node can be told.
    pub async fn command(
        &self,
        hem: &HemId,
        new: &NewCommand,
        patience: Option<Duration>,
    ) -> Result<Command, SdkError> {
        let path = format!("/hems/{hem}/commands");
        self.call(Method::POST, &path, waiting(patience), Some(new)).await
    }

    /// Commands many homes of a microgrid; what became of it at each is in the answer.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`], for what is wrong with the request as a whole.
    pub async fn command_many(
        &self,
        microgrid: &MicrogridId,
        new: &NewCommands,
    ) -> Result<CommandsTaken, SdkError> {
        self.post(&format!("/microgrids/{microgrid}/commands"), Some(new)).await
    }

    /// One command, as it is now.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn command_of(&self, id: &CommandId) -> Result<Command, SdkError> {
        self.get(&format!("/commands/{id}"), Parameters::default()).await
    }

    /// Waits until a command is decided, or so long; answers it as it is then.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn await_command(
        &self,
        id: &CommandId,
        patience: Duration,
    ) -> Result<Command, SdkError> {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let command: Command =
                self.get(&format!("/commands/{id}"), waiting(Some(left))).await?;
            if command.is_decided() || left.is_zero() {
                return Ok(command);
            }
        }
    }

    /// Takes a command back that was not sent yet.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`]; `too-late`.
    pub async fn cancel_command(&self, id: &CommandId) -> Result<Command, SdkError> {
        let none = None::<&()>;
        self.call(Method::DELETE, &format!("/commands/{id}"), Parameters::default(), none).await
    }

    /// A page of the ledger, the newest first.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn commands(&self, query: &CommandsQuery) -> Result<Page<Command>, SdkError> {
        self.get("/commands", query.parameters()).await
    }

    /// Why each node of a home is as it is.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn why(&self, hem: &HemId) -> Result<Page<Why>, SdkError> {
        self.get(&format!("/hems/{hem}/why"), Parameters::default()).await
    }

    /// Why each node of a microgrid is as it is.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn microgrid_why(
        &self,
        microgrid: &MicrogridId,
        page: &PageQuery,
    ) -> Result<Page<Why>, SdkError> {
        self.get(&format!("/microgrids/{microgrid}/why"), Parameters::default().page(page)).await
    }

    /// Makes a job of the app `external` a token of its own; the one before no longer holds.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`]; `not-external`.
    pub async fn create_job_token(&self, job: &JobId) -> Result<JobTokenCreated, SdkError> {
        self.post(&format!("/jobs/{job}/token"), None::<&()>).await
    }

    /// Revokes a job's own token.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn revoke_job_token(&self, job: &JobId) -> Result<(), SdkError> {
        self.delete(&format!("/jobs/{job}/token")).await
    }

    /// Hands in what a job wants; nothing at all is a sign of life. Under no idempotency key: the same
    /// wish twice is the same wish.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`]; `not-running`, `not-external`, `too-many-requests`.
    pub async fn wish(&self, job: &JobId, wishes: &NewWishes) -> Result<WishesTaken, SdkError> {
        let url = self.url(&format!("/jobs/{job}/wishes"));
        let none = Parameters::default();
        let bytes = self.exchange_under(None, Method::POST, &url, &none, Some(wishes)).await?;
        read(url, &bytes)
    }
}

fn read<T: DeserializeOwned>(url: String, bytes: &[u8]) -> Result<T, SdkError> {
    serde_json::from_slice(bytes)
        .map_err(|error| SdkError::UnexpectedAnswer { url, reason: error.to_string() })
}
