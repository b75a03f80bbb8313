//! Who asks, and whether they may. A handler says what it demands in its signature: [`Caller`] for a
//! role anywhere, [`Everywhere`] for a role on the whole platform, [`Authorised`] for a role in the
//! microgrid of whatever the path names. What the caller may not see reads as if it were not there.

use std::future::{Future, Ready, ready};
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::Next;
use actix_web::{FromRequest, HttpMessage, HttpRequest, ResponseError};
use memcloud_domain::messages::GetCommand;
use memcloud_domain::{
    Access, Asker, CommandId, CommandRecord, HemId, JobId, JobRecord, MicrogridId, Role, Secret,
};
use memcloud_registry::{AuthenticateToken, GetHem, GetJob, GetMicrogrid, Hem, Microgrid};
use uuid::Uuid;

use super::error::{ApiError, ApiResult, ErrorCode};
use super::rate::PAUSE;
use super::state::State;

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// The token's id.
    pub(crate) id: Uuid,
    /// The token's name.
    pub(crate) name: String,
    /// What it may do.
    pub(crate) access: Access,
    /// The one job that it wishes for.
    pub(crate) job: Option<JobId>,
}

impl Identity {
    /// Who asks for a command.
    pub(crate) fn asker(&self) -> Asker {
        Asker::Token { id: self.id.to_string(), name: self.name.clone() }
    }
}

/// Finds out who asks, before anything of the body is read. A request without a token goes on as
/// nobody's: the handler's demand answers it.
pub(crate) async fn authenticate(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody + 'static>, actix_web::Error> {
    match identify(request.request()).await {
        Ok(Some(identity)) => {
            request.extensions_mut().insert(identity);
        }
        Ok(None) => {}
        Err(error) => {
            return Ok(request.into_response(error.error_response()).map_into_right_body());
        }
    }
    next.call(request).await.map(ServiceResponse::map_into_left_body)
}

async fn identify(request: &HttpRequest) -> ApiResult<Option<Identity>> {
    let Some(secret) = bearer_token(request)? else { return Ok(None) };
    let state = State::of(request)?;
    let Some(known) = state.registrar.ask(AuthenticateToken { secret }).await? else {
        return Err(unauthenticated("this token does not hold, or does no longer"));
    };
    let identity =
        Identity { id: known.id, name: known.name, access: known.access, job: known.job };
    let now = state.clock.instant();
    if let Err(error) = state.inner().limiter.take(&identity, request.method(), now) {
        state.inner().metrics.rate_limited.inc();
        // Whoever is refused waits for it, so that hammering slows the one who hammers.
        if let Some(_held) = state.inner().limiter.hold() {
            state.clock.sleep(PAUSE).await;
        }
        return Err(error);
    }
    Ok(Some(identity))
}

fn bearer_token(request: &HttpRequest) -> ApiResult<Option<Secret>> {
    let mut values = request.headers().get_all(AUTHORIZATION);
    let Some(value) = values.next() else { return Ok(None) };
    let token = value.to_str().ok().filter(|_| values.next().is_none()).and_then(|text| {
        let (scheme, token) = text.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match token {
        Some(token) if !token.is_empty() && token.len() <= 512 => Ok(Some(Secret::new(token))),
        _ => Err(unauthenticated("the header must read `Authorization: Bearer TOKEN`")),
    }
}

fn unauthenticated(detail: &str) -> ApiError {
    ApiError::new(ErrorCode::Unauthenticated, detail)
}

fn identity(request: &HttpRequest) -> ApiResult<Identity> {
    request.extensions().get::<Identity>().cloned().ok_or_else(|| {
        unauthenticated(
            "send the header `Authorization: Bearer TOKEN`; `memcloud token add` makes one",
        )
    })
}

/// A role, as a type.
pub(crate) trait Demand: 'static {
    /// The role.
    const ROLE: Role;
}

macro_rules! demands {
    ($($(#[$doc:meta])* $name:ident),+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) enum $name {}

        impl Demand for $name {
            const ROLE: Role = Role::$name;
        }
    )+};
}

demands! {
    /// Sees.
    Viewer,
    /// Sees, and wishes for one job.
    Job,
    /// Sees, and runs.
    Operator,
    /// Sees, runs, and changes what there is.
    Admin
}

fn too_low(demanded: Role) -> ApiError {
    ApiError::new(
        ErrorCode::Forbidden,
        format!("this takes the role {}; your token has a lower one", demanded.as_str()),
    )
}

/// A caller with a role, for all microgrids or for one.
#[derive(Debug)]
pub(crate) struct Caller<D> {
    identity: Identity,
    demand: PhantomData<D>,
}

impl<D: Demand> Caller<D> {
    /// The one microgrid that the caller sees; absent: all of them.
    pub(crate) fn only(&self) -> Option<&MicrogridId> {
        self.identity.access.microgrid.as_ref()
    }

    /// Whether the caller sees a microgrid. To be asked of what the body or query names.
    ///
    /// # Errors
    /// `not-found`: what it may not see is not there.
    pub(crate) fn must_see(&self, microgrid: &MicrogridId) -> ApiResult<()> {
        if self.only().is_none_or(|own| own == microgrid) {
            Ok(())
        } else {
            Err(ApiError::not_found("microgrid", microgrid.as_str()))
        }
    }
}

impl<D> Deref for Caller<D> {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

impl<D: Demand> FromRequest for Caller<D> {
    type Error = ApiError;
    type Future = Ready<ApiResult<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(identity(request).and_then(|identity| {
            if identity.access.role < D::ROLE {
                return Err(too_low(D::ROLE));
            }
            Ok(Self { identity, demand: PhantomData })
        }))
    }
}

/// A caller with a role for the whole platform.
#[derive(Debug)]
pub(crate) struct Everywhere<D> {
    identity: Identity,
    demand: PhantomData<D>,
}

impl<D> Deref for Everywhere<D> {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

impl<D: Demand> FromRequest for Everywhere<D> {
    type Error = ApiError;
    type Future = Ready<ApiResult<Self>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let caller = Caller::<D>::from_request(request, payload).into_inner();
        ready(caller.and_then(|caller| {
            if caller.identity.access.allows_everywhere(D::ROLE) {
                return Ok(Self { identity: caller.identity, demand: PhantomData });
            }
            Err(ApiError::new(
                ErrorCode::Forbidden,
                "this takes a token for all microgrids; yours is for one",
            ))
        }))
    }
}

/// Something that a path names and that belongs to a microgrid.
pub(crate) trait Guarded: Sized + 'static {
    /// What names it.
    type Id: FromStr<Err: std::fmt::Display> + AsRef<str>;
    /// The part of the path that holds the name.
    const SEGMENT: &'static str;
    /// What it is, for people.
    const WHAT: &'static str;

    /// Looks it up.
    fn find(state: &State, id: Self::Id) -> impl Future<Output = ApiResult<Self>>;
    /// Whose it is.
    fn microgrid(&self) -> &MicrogridId;
}

impl Guarded for Microgrid {
    type Id = MicrogridId;
    const SEGMENT: &'static str = "microgrid";
    const WHAT: &'static str = "microgrid";

    async fn find(state: &State, id: MicrogridId) -> ApiResult<Self> {
        state.registrar.ask(GetMicrogrid { id }).await
    }

    fn microgrid(&self) -> &MicrogridId {
        &self.id
    }
}

impl Guarded for Hem {
    type Id = HemId;
    const SEGMENT: &'static str = "hem";
    const WHAT: &'static str = "HEM";

    async fn find(state: &State, id: HemId) -> ApiResult<Self> {
        state.registrar.ask(GetHem { id }).await
    }

    fn microgrid(&self) -> &MicrogridId {
        &self.microgrid
    }
}

impl Guarded for JobRecord {
    type Id = JobId;
    const SEGMENT: &'static str = "job";
    const WHAT: &'static str = "job";

    async fn find(state: &State, id: JobId) -> ApiResult<Self> {
        state.registrar.ask(GetJob { id }).await
    }

    fn microgrid(&self) -> &MicrogridId {
        &self.microgrid
    }
}

impl Guarded for Arc<CommandRecord> {
    type Id = CommandId;
    const SEGMENT: &'static str = "command";
    const WHAT: &'static str = "command";

    async fn find(state: &State, id: CommandId) -> ApiResult<Self> {
        let missing = ApiError::not_found(Self::WHAT, id.as_str());
        state.commands.ask(GetCommand { command: id }).await?.ok_or(missing)
    }

    fn microgrid(&self) -> &MicrogridId {
        &self.microgrid
    }
}

/// What the path names, looked up, for a caller with a role in its microgrid.
#[derive(Debug)]
pub(crate) struct Authorised<T, D> {
    /// What the path names.
    pub(crate) item: T,
    /// Who asks.
    pub(crate) caller: Caller<D>,
}

impl<T, D> Deref for Authorised<T, D> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.item
    }
}

impl<T: Guarded, D: Demand> FromRequest for Authorised<T, D> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = ApiResult<Self>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let identity = identity(&request)?;
            let state = State::of(&request)?;
            let text = request.match_info().get(T::SEGMENT).unwrap_or_default();
            let id = T::Id::from_str(text)
                .map_err(|error| ApiError::new(ErrorCode::BadPath, error.to_string()))?;
            let item = seen(T::find(&state, id).await, &identity.access, text)?;
            if identity.access.role < D::ROLE {
                return Err(too_low(D::ROLE));
            }
            Ok(Self { item, caller: Caller { identity, demand: PhantomData } })
        })
    }
}

/// What was found, if the caller may see it. Whether it is not there, or not theirs, reads the same.
fn seen<T: Guarded>(found: ApiResult<T>, access: &Access, id: &str) -> ApiResult<T> {
    let hidden = || ApiError::not_found(T::WHAT, id);
    match found {
        Ok(item) if access.allows(Role::Viewer, item.microgrid()) => Ok(item),
        Ok(_) => Err(hidden()),
        Err(error) if error.code() == ErrorCode::NotFound => Err(hidden()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn token(header: &str) -> ApiResult<Option<Secret>> {
        bearer_token(&TestRequest::get().insert_header((AUTHORIZATION, header)).to_http_request())
    }

    #[test]
    fn only_a_bearer_token_is_taken() {
        assert_eq!(token("Bearer abc").unwrap().unwrap().expose(), "abc");
        assert_eq!(token("bearer  abc ").unwrap().unwrap().expose(), "abc");
        for bad in ["", "Bearer", "Bearer ", "Basic YTpi", "abc", &"Bearer x".repeat(200)] {
            assert_eq!(token(bad).unwrap_err().code(), ErrorCode::Unauthenticated, "{bad}");
        }
        assert!(bearer_token(&TestRequest::get().to_http_request()).unwrap().is_none());
    }

    #[test]
    fn what_is_of_another_microgrid_reads_as_if_it_were_not_there() {
        let microgrid = |id: &str| Microgrid {
            id: id.parse().unwrap(),
            name: id.to_owned(),
            time_zone: "UTC".to_owned(),
            limits: memcloud_domain::PowerLimits::default(),
            created: memcloud_domain::Timestamp(0),
        };
        let access = Access { role: Role::Admin, microgrid: Some("own".parse().unwrap()) };
        assert!(seen(Ok(microgrid("own")), &access, "own").is_ok());
        let foreign = seen(Ok(microgrid("other")), &access, "other").unwrap_err();
        let absent = seen::<Microgrid>(Err(ApiError::not_found("row", "other")), &access, "other")
            .unwrap_err();
        assert_eq!(foreign.problem(), absent.problem());
    }
}
