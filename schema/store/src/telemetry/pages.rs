//! Pages of readings, events and refusals; and what a subscriber missed.

use memcloud_domain::{
    Entry, Epoch, HemBatch, HemEvent, HemId, Order, Page, Reading, Refusal, Seq, TimeRange,
    Timestamp,
};

use super::raw;
use super::row::decode_event;
use super::rows::{End, Rows, Window, damaged, from_signed, to_signed};
use super::{MAX_PAGE, PageQuery};
use crate::StoreError;

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
                window.first_seq = query.after.map_or(i64::MIN, |after| to_signed(after.0) + 1);
                End::Oldest
            }
            Order::Descending => {
                window.last_seq = query.after.map_or(i64::MAX, |after| to_signed(after.0) - 1);
                End::Newest
            }
        };
        Self { window, end, limit: query.limit.clamp(1, MAX_PAGE) }
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
    rows: &mut impl Rows,
    query: &PageQuery,
) -> Result<Page<Reading>, StoreError> {
    let Some(hem) = rows.hem(&query.hem)? else { return Ok(empty()) };
    let span = Span::of(hem.hem_no, query);
    let found = raw::readings(rows, span.window, span.end, span.limit + 1)?;
    Ok(span.page(found, |reading| reading.seq))
}

pub(super) fn events(
    rows: &mut impl Rows,
    query: &PageQuery,
) -> Result<Page<HemEvent>, StoreError> {
    let Some(hem) = rows.hem(&query.hem)? else { return Ok(empty()) };
    let span = Span::of(hem.hem_no, query);
    let found = load_events(rows, &span.window, span.end, span.limit + 1)?;
    Ok(span.page(found, |event| event.seq))
}

pub(super) fn refusals(
    rows: &mut impl Rows,
    query: &PageQuery,
) -> Result<Page<Refusal>, StoreError> {
    let Some(hem) = rows.hem(&query.hem)? else { return Ok(empty()) };
    let span = Span::of(hem.hem_no, query);
    let found = load_refusals(rows, &span.window, span.end, span.limit + 1)?;
    Ok(span.page(found, |refusal| refusal.seq))
}

fn load_events(
    rows: &mut impl Rows,
    window: &Window,
    end: End,
    limit: usize,
) -> Result<Vec<HemEvent>, StoreError> {
    rows.events(window, end, limit)?
        .into_iter()
        .map(|row| {
            decode_event(Seq(from_signed(row.seq)), Timestamp(row.ts), &row.payload)
                .map_err(|_| damaged("event", window.hem_no, row.seq))
        })
        .collect()
}

fn load_refusals(
    rows: &mut impl Rows,
    window: &Window,
    end: End,
    limit: usize,
) -> Result<Vec<Refusal>, StoreError> {
    rows.refusals(window, end, limit)?.into_iter().map(|row| row.open(window.hem_no)).collect()
}

pub(super) fn entries_after(
    rows: &mut impl Rows,
    hem: &HemId,
    after: Seq,
    limit: usize,
) -> Result<HemBatch, StoreError> {
    let mut batch =
        HemBatch { hem: hem.clone(), epoch: Epoch(0), after, through: after, entries: Vec::new() };
    let Some(known) = rows.hem(hem)? else { return Ok(batch) };
    batch.epoch = Epoch(from_signed(known.epoch));
    let mark = Seq(from_signed(known.mark));
    if after >= mark {
        return Ok(batch);
    }
    let limit = limit.clamp(1, MAX_PAGE);
    let mut window = Window::all(known.hem_no);
    window.first_seq = to_signed(after.0) + 1;
    // Each kind up to one more than the limit: the lowest of all of them are among these.
    let readings = raw::readings(rows, window, End::Oldest, limit + 1)?;
    let events = load_events(rows, &window, End::Oldest, limit + 1)?;
    let refusals = load_refusals(rows, &window, End::Oldest, limit + 1)?;
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
    rows: &mut impl Rows,
    hem: &HemId,
) -> Result<Option<Reading>, StoreError> {
    let Some(known) = rows.hem(hem)? else { return Ok(None) };
    let mut found = raw::readings(rows, Window::all(known.hem_no), End::Newest, LOOK_BACK)?;
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
