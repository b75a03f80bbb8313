//! Pages of readings, events and refusals; marks; and what a subscriber missed.

use diesel::prelude::*;
use memcloud_domain::{
    Entry, Epoch, HemBatch, HemEvent, HemId, HemMark, MicrogridId, Order, Page, Reading, Refusal,
    RefusalCode, Seq, TimeRange, Timestamp,
};

use super::raw::{self, End, Window};
use super::{SqliteTelemetry, damaged, from_sql, to_sql};
use crate::StoreError;
use crate::telemetry::row::decode_event;
use crate::telemetry::schema::{events, hems, marks, refusals};
use crate::telemetry::{MAX_PAGE, PageQuery};

/// How far back the newest value of each node is looked for.
const LOOK_BACK: usize = 256;

/// What a page covers: numbers and times, ends inclusive; and one more than its limit, to know
/// whether there is more.
struct Span {
    window: Window,
    end: End,
    limit: usize,
}

impl Span {
    fn of(hem_no: i64, query: &PageQuery) -> Self {
        let TimeRange { from, to } = query.range;
        let mut window = Window::all(hem_no);
        window.min_ts = from.map_or(i64::MIN, |from| from.0);
        window.max_ts = to.map_or(i64::MAX, |to| to.0.saturating_sub(1));
        let end = match query.order {
            Order::Ascending => {
                window.first_seq = query.after.map_or(i64::MIN, |after| to_sql(after.0) + 1);
                End::Oldest
            }
            Order::Descending => {
                window.last_seq = query.after.map_or(i64::MAX, |after| to_sql(after.0) - 1);
                End::Newest
            }
        };
        Self { window, end, limit: query.limit.clamp(1, MAX_PAGE) }
    }

    fn sql_limit(&self) -> i64 {
        i64::try_from(self.limit + 1).unwrap_or(i64::MAX)
    }

    fn page<T>(&self, mut items: Vec<T>, seq: impl Fn(&T) -> Seq) -> Page<T> {
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let next = if more { items.last().map(seq) } else { None };
        Page { items, next }
    }
}

fn empty<T>() -> Page<T> {
    Page { items: Vec::new(), next: None }
}

pub(super) fn readings(
    connection: &mut SqliteConnection,
    query: &PageQuery,
) -> Result<Page<Reading>, StoreError> {
    let Some(hem_no) = SqliteTelemetry::hem_no(connection, &query.hem)? else { return Ok(empty()) };
    let span = Span::of(hem_no, query);
    let found = raw::readings(connection, span.window, span.end, span.limit + 1)?;
    Ok(span.page(found, |reading| reading.seq))
}

pub(super) fn events(
    connection: &mut SqliteConnection,
    query: &PageQuery,
) -> Result<Page<HemEvent>, StoreError> {
    let Some(hem_no) = SqliteTelemetry::hem_no(connection, &query.hem)? else { return Ok(empty()) };
    let span = Span::of(hem_no, query);
    let found = load_events(connection, &span.window, span.end, span.sql_limit())?;
    Ok(span.page(found, |event| event.seq))
}

pub(super) fn refusals(
    connection: &mut SqliteConnection,
    query: &PageQuery,
) -> Result<Page<Refusal>, StoreError> {
    let Some(hem_no) = SqliteTelemetry::hem_no(connection, &query.hem)? else { return Ok(empty()) };
    let span = Span::of(hem_no, query);
    let found = load_refusals(connection, &span.window, span.end, span.sql_limit())?;
    Ok(span.page(found, |refusal| refusal.seq))
}

fn load_events(
    connection: &mut SqliteConnection,
    window: &Window,
    end: End,
    limit: i64,
) -> Result<Vec<HemEvent>, StoreError> {
    let rows = events::table
        .filter(events::hem_no.eq(window.hem_no))
        .filter(events::seq.between(window.first_seq, window.last_seq))
        .filter(events::ts.between(window.min_ts, window.max_ts))
        .select((events::seq, events::ts, events::payload))
        .limit(limit);
    let rows: Vec<(i64, i64, Vec<u8>)> = match end {
        End::Oldest => rows.order(events::seq.asc()).load(connection)?,
        End::Newest => rows.order(events::seq.desc()).load(connection)?,
    };
    rows.into_iter()
        .map(|(seq, ts, payload)| {
            decode_event(Seq(from_sql(seq)), Timestamp(ts), &payload)
                .map_err(|_| damaged("event", window.hem_no, seq))
        })
        .collect()
}

fn load_refusals(
    connection: &mut SqliteConnection,
    window: &Window,
    end: End,
    limit: i64,
) -> Result<Vec<Refusal>, StoreError> {
    let rows = refusals::table
        .filter(refusals::hem_no.eq(window.hem_no))
        .filter(refusals::seq.between(window.first_seq, window.last_seq))
        .filter(refusals::received.between(window.min_ts, window.max_ts))
        .select((refusals::seq, refusals::received, refusals::code))
        .limit(limit);
    let rows: Vec<(i64, i64, String)> = match end {
        End::Oldest => rows.order(refusals::seq.asc()).load(connection)?,
        End::Newest => rows.order(refusals::seq.desc()).load(connection)?,
    };
    rows.into_iter()
        .map(|(seq, received, code)| {
            let code =
                code_of(&code).ok_or_else(|| damaged("refused number", window.hem_no, seq))?;
            Ok(Refusal { seq: Seq(from_sql(seq)), received: Timestamp(received), code })
        })
        .collect()
}

fn code_of(text: &str) -> Option<RefusalCode> {
    [RefusalCode::Malformed, RefusalCode::BadTime, RefusalCode::TooOld, RefusalCode::BatchTooLong]
        .into_iter()
        .find(|code| code.as_str() == text)
}

pub(super) fn entries_after(
    connection: &mut SqliteConnection,
    hem: &HemId,
    after: Seq,
    limit: usize,
) -> Result<HemBatch, StoreError> {
    let mut batch =
        HemBatch { hem: hem.clone(), epoch: Epoch(0), after, through: after, entries: Vec::new() };
    let known = hems::table
        .inner_join(marks::table)
        .filter(hems::hem.eq(hem.as_str()))
        .select((hems::hem_no, marks::mark, marks::epoch))
        .get_result::<(i64, i64, i64)>(connection)
        .optional()?;
    let Some((hem_no, mark, epoch)) = known else { return Ok(batch) };
    batch.epoch = Epoch(from_sql(epoch));
    let mark = Seq(from_sql(mark));
    if after >= mark {
        return Ok(batch);
    }
    let limit = limit.clamp(1, MAX_PAGE);
    let sql_limit = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let mut window = Window::all(hem_no);
    window.first_seq = to_sql(after.0) + 1;
    // Each kind up to one more than the limit: the lowest of all of them are among these.
    let readings = raw::readings(connection, window, End::Oldest, limit + 1)?;
    let events = load_events(connection, &window, End::Oldest, sql_limit)?;
    let refusals = load_refusals(connection, &window, End::Oldest, sql_limit)?;
    batch.entries.extend(readings.into_iter().map(Entry::Reading));
    batch.entries.extend(events.into_iter().map(Entry::Event));
    batch.entries.extend(refusals.into_iter().map(Entry::Refused));
    batch.entries.sort_by_key(Entry::seq);
    let more = batch.entries.len() > limit;
    batch.entries.truncate(limit);
    batch.through = match batch.entries.last() {
        Some(last) if more => last.seq(),
        _ => mark,
    };
    Ok(batch)
}

pub(super) fn latest_reading(
    connection: &mut SqliteConnection,
    hem: &HemId,
) -> Result<Option<Reading>, StoreError> {
    let Some(hem_no) = SqliteTelemetry::hem_no(connection, hem)? else { return Ok(None) };
    let mut found = raw::readings(connection, Window::all(hem_no), End::Newest, LOOK_BACK)?;
    found.sort_by_key(|reading| (reading.ts, reading.seq));
    let mut found = found.into_iter();
    let Some(mut latest) = found.next() else { return Ok(None) };
    for reading in found {
        (latest.seq, latest.ts, latest.received) = (reading.seq, reading.ts, reading.received);
        for node in &reading.nodes {
            match latest.nodes.iter_mut().find(|held| held.node == node.node) {
                Some(held) => held.update_from(node),
                None => latest.nodes.push(*node),
            }
        }
    }
    latest.nodes.sort_by_key(|node| node.node);
    Ok(Some(latest))
}

pub(super) fn marks(
    connection: &mut SqliteConnection,
    microgrid: Option<&MicrogridId>,
) -> Result<Vec<HemMark>, StoreError> {
    let mut rows = hems::table
        .inner_join(marks::table)
        .select((hems::hem, marks::mark, marks::epoch))
        .order(hems::hem.asc())
        .into_boxed();
    if let Some(microgrid) = microgrid {
        rows = rows.filter(hems::microgrid.eq(microgrid.as_str()));
    }
    rows.load::<(String, i64, i64)>(connection)?
        .into_iter()
        .map(|(hem, mark, epoch)| {
            let hem = HemId::new(&hem).map_err(|error| StoreError::Damaged {
                what: "the id of a HEM".to_owned(),
                reason: error.to_string(),
            })?;
            Ok(HemMark { hem, mark: Seq(from_sql(mark)), epoch: Epoch(from_sql(epoch)) })
        })
        .collect()
}
