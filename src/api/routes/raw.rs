//! Raw readings and events: pages of JSON, or one stream of CSV that holds a page in memory at a time.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::{HttpResponse, get, web};
use bytes::Bytes;
use futures_util::stream;
use memcloud_domain::messages::{self, ListEvents, ListReadings, TimeRange};
use memcloud_domain::{HemId, Seq};
use memcloud_registry::Hem;
use memcloud_rest::{Page, RawEvent, RawReading};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::parameters::{Limit, Moment};
use crate::api::accept::Accept;
use crate::api::caller::{Authorised, Viewer};
use crate::api::csv::{self, CsvLines};
use crate::api::error::{ApiError, ApiResult, ErrorCode};
use crate::api::extract::Query;
use crate::api::state::State;
use crate::api::{csv::MEDIA_TYPE, cursor};

/// How much of a CSV is held in memory: so many items.
const CSV_PAGE: usize = 1_000;

/// Which end comes first.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Order {
    /// By rising number.
    #[default]
    Asc,
    /// By falling number.
    Desc,
}

/// Which readings or events.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RawQuery {
    /// Taken at this moment or later, by the HEM's time.
    #[param(value_type = String, format = DateTime, required = false)]
    from: Option<Moment>,
    /// Taken before this moment, by the HEM's time.
    #[param(value_type = String, format = DateTime, required = false)]
    to: Option<Moment>,
    /// The `next` of the page before; or a number: beyond it, in the order's direction.
    #[param(value_type = String, required = false)]
    after: Option<String>,
    /// At most so many items; 100 if absent. A CSV without it has everything.
    #[param(value_type = u16, minimum = 1, maximum = 1000, required = false)]
    limit: Option<Limit>,
    /// Which end comes first.
    #[serde(default)]
    #[param(inline, required = false)]
    order: Order,
}

/// What kind of raw data is asked for.
trait Raw: Sized + 'static {
    /// As the domain has it.
    type Kept;
    /// As REST shows it.
    type Shown: From<Self::Kept> + CsvLines + Serialize;
    /// The list's name, in the cursor.
    const LIST: &'static str;

    /// Asks for a page.
    fn page(
        state: &State,
        page: RawPage,
    ) -> impl Future<Output = ApiResult<messages::Page<Self::Kept>>>;
}

/// A page to be asked for.
#[derive(Debug, Clone)]
struct RawPage {
    hem: HemId,
    range: TimeRange,
    after: Option<Seq>,
    limit: usize,
    order: messages::Order,
}

#[derive(Debug)]
struct Readings;

impl Raw for Readings {
    type Kept = memcloud_domain::Reading;
    type Shown = RawReading;
    const LIST: &'static str = "readings";

    async fn page(state: &State, page: RawPage) -> ApiResult<messages::Page<Self::Kept>> {
        let RawPage { hem, range, after, limit, order } = page;
        state.historian.ask(ListReadings { hem, range, after, limit, order }).await
    }
}

#[derive(Debug)]
struct Events;

impl Raw for Events {
    type Kept = memcloud_domain::HemEvent;
    type Shown = RawEvent;
    const LIST: &'static str = "events";

    async fn page(state: &State, page: RawPage) -> ApiResult<messages::Page<Self::Kept>> {
        let RawPage { hem, range, after, limit, order } = page;
        state.historian.ask(ListEvents { hem, range, after, limit, order }).await
    }
}

/// Raw readings
///
/// As they were sent, by number. JSON in pages, or CSV (one line per node) by `Accept: text/csv`.
#[utoipa::path(
    operation_id = "list_readings", tag = "Data",
    params(RawQuery),
    responses((status = 200, description = "A page, or the CSV.", content((Page<RawReading> = "application/json"), (String = "text/csv"))))
)]
#[get("/hems/{hem}/readings")]
pub(super) async fn readings(
    hem: Authorised<Hem, Viewer>,
    state: web::Data<State>,
    query: Query<RawQuery>,
    accept: Accept,
) -> ApiResult<HttpResponse> {
    answer::<Readings>(&hem.id, &state, query.0, &accept).await
}

/// Raw events
///
/// What happened at the HEM, by number. JSON in pages, or CSV by `Accept: text/csv`.
#[utoipa::path(
    operation_id = "list_events", tag = "Data",
    params(RawQuery),
    responses((status = 200, description = "A page, or the CSV.", content((Page<RawEvent> = "application/json"), (String = "text/csv"))))
)]
#[get("/hems/{hem}/events")]
pub(super) async fn events(
    hem: Authorised<Hem, Viewer>,
    state: web::Data<State>,
    query: Query<RawQuery>,
    accept: Accept,
) -> ApiResult<HttpResponse> {
    answer::<Events>(&hem.id, &state, query.0, &accept).await
}

async fn answer<R: Raw>(
    hem: &HemId,
    state: &State,
    query: RawQuery,
    accept: &Accept,
) -> ApiResult<HttpResponse> {
    let as_csv = accept.choose(&["application/json", MEDIA_TYPE])? == 1;
    let (order, direction) = match query.order {
        Order::Asc => (messages::Order::Ascending, "asc"),
        Order::Desc => (messages::Order::Descending, "desc"),
    };
    let list = format!("{}/{hem}/{direction}", R::LIST);
    let first = RawPage {
        hem: hem.clone(),
        range: TimeRange {
            from: query.from.map(|moment| moment.0),
            to: query.to.map(|moment| moment.0),
        },
        after: query.after.map(|text| beyond(&list, &text)).transpose()?,
        limit: query.limit.unwrap_or_default().get(),
        order,
    };
    if as_csv {
        return table::<R>(hem, state.clone(), first, query.limit.map(Limit::get)).await;
    }
    let page = R::page(state, first).await?;
    Ok(HttpResponse::Ok().json(Page {
        items: page.items.into_iter().map(R::Shown::from).collect(),
        next: page.next.map(|seq| cursor::encode(&list, &seq.to_string())),
    }))
}

/// The number that a list goes on beyond: from a cursor, or as it is.
fn beyond(list: &str, after: &str) -> ApiResult<Seq> {
    let plain = after.bytes().all(|byte| byte.is_ascii_digit());
    let text = if plain { after.to_owned() } else { cursor::decode(list, after)? };
    match text.parse() {
        Ok(number) if number <= Seq::MAX.0 => Ok(Seq(number)),
        _ => Err(ApiError::new(
            ErrorCode::BadCursor,
            "after: give the `next` of the page before, or a number up to 2^53 - 1",
        )),
    }
}

/// Where a CSV stands.
struct Table {
    state: State,
    next: Option<RawPage>,
    left: usize,
}

impl Table {
    /// The next lines; nothing at the end.
    async fn lines<R: Raw>(&mut self) -> ApiResult<Option<String>> {
        let Some(asked) = self.next.take() else { return Ok(None) };
        let page = R::page(&self.state, asked.clone()).await?;
        self.left = self.left.saturating_sub(page.items.len());
        if let Some(after) = page.next.filter(|_| self.left > 0) {
            let limit = self.left.min(CSV_PAGE);
            self.next = Some(RawPage { after: Some(after), limit, ..asked });
        }
        let mut lines = String::new();
        for item in page.items {
            R::Shown::from(item).write_lines(&mut lines);
        }
        Ok(Some(lines))
    }
}

async fn table<R: Raw>(
    hem: &HemId,
    state: State,
    first: RawPage,
    limit: Option<usize>,
) -> ApiResult<HttpResponse> {
    let left = limit.unwrap_or(usize::MAX);
    let mut table =
        Table { state, next: Some(RawPage { limit: left.min(CSV_PAGE), ..first }), left };
    // The first page is asked for before the answer begins, so that an error can still be said.
    let mut head = R::Shown::HEADER.to_owned();
    head.push_str(&table.lines::<R>().await?.unwrap_or_default());
    let body = stream::unfold((Some(head), Some(table)), |(head, table)| async move {
        if let Some(head) = head {
            return Some((Ok(Bytes::from(head)), (None, table)));
        }
        let mut table = table?;
        match table.lines::<R>().await {
            Ok(Some(lines)) => Some((Ok(Bytes::from(lines)), (None, Some(table)))),
            Ok(None) => None,
            // The connection is cut without the final chunk: the caller sees that it is not whole.
            Err(error) => {
                log::warn!(error:%; "a CSV was cut short");
                Some((Err(error), (None, None)))
            }
        }
    });
    let name = format!("attachment; filename=\"{hem}-{}.csv\"", R::LIST);
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, csv::CONTENT_TYPE))
        .insert_header((CONTENT_DISPOSITION, name))
        .insert_header((CACHE_CONTROL, "no-store"))
        .streaming(Box::pin(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_goes_on_beyond_a_cursor_or_a_number() {
        let cursor = cursor::encode("readings/a/asc", "7");
        assert_eq!(beyond("readings/a/asc", &cursor).unwrap(), Seq(7));
        assert_eq!(beyond("readings/a/asc", "42").unwrap(), Seq(42));
        for bad in ["99999999999999999999", "9007199254740992", "x", "-1", ""] {
            assert!(beyond("readings/a/asc", bad).is_err(), "{bad}");
        }
        assert!(beyond("readings/b/asc", &cursor).is_err());
        assert!(beyond("readings/a/desc", &cursor).is_err());
    }
}
