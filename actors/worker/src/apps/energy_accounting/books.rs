//! The books: what is kept of every home and of the microgrid, and the results made from it.

use std::collections::{BTreeMap, BTreeSet};

use chrono_tz::Tz;
use memcloud_domain::{HemId, NodeDeclaration, NodeId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::node_ledger::{NodeLedger, Rules};
use super::sums::{Money, Sums};
use super::tariff::carbon_at;
use super::{EnergyAccounting, Terms};
use crate::apps::calendar::{QUARTER_MS, Quarter, Span, day_of, hour_of, quarter_of, start_of};
use crate::{Outcome, Roster, View};

/// What the app keeps between its steps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Books {
    homes: BTreeMap<HemId, HomeBook>,
    /// What homes have settled, by quarter: their sum, before import and export are netted.
    settled: BTreeMap<Quarter, Sums>,
    /// Before this quarter the microgrid's results are final.
    final_before: Quarter,
    /// Hours whose results are to be made, by home, each by the quarter it begins with.
    dirty: BTreeMap<HemId, BTreeSet<Quarter>>,
    reported: Timestamp,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct HomeBook {
    oldest: Option<i64>,
    newest: i64,
    /// Before this quarter everything is settled.
    open_from: Quarter,
    nodes: BTreeMap<NodeId, NodeLedger>,
    presence: Presence,
    /// What is settled of days that are not over, by local hour.
    hours: BTreeMap<i64, (Sums, Money)>,
    left_out: u64,
    left_out_said: u64,
}

/// From when to when there were readings in each quarter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Presence {
    last_settled: Option<i64>,
    quarters: BTreeMap<Quarter, (i64, i64)>,
}

impl Presence {
    fn take(&mut self, ts: i64) {
        let span = self.quarters.entry(quarter_of(ts)).or_insert((ts, ts));
        *span = (span.0.min(ts), span.1.max(ts));
    }

    /// Milliseconds of a quarter that lie between readings without a gap.
    fn covered(&self, quarter: Quarter, rules: &Rules) -> i64 {
        let (start, end) = (start_of(quarter), start_of(quarter + 1));
        let Some((first, last)) = self.quarters.get(&quarter) else {
            return 0;
        };
        let before = self.quarters.range(..quarter).next_back().map(|(_, span)| span.1);
        let before = before.or(self.last_settled).filter(|ts| first - ts <= rules.max_gap_ms);
        let after = self.quarters.range(quarter + 1..).next().map(|(_, span)| span.0);
        let after = after.filter(|ts| ts - last <= rules.max_gap_ms);
        let from = before.map_or(*first, |ts| ts.max(start));
        let to = after.map_or(*last, |ts| ts.min(end));
        to - from
    }

    fn settle(&mut self, quarter: Quarter) {
        let open = self.quarters.split_off(&(quarter + 1));
        if let Some((_, (_, last))) = self.quarters.pop_last() {
            self.last_settled = Some(last);
        }
        self.quarters = open;
    }
}

impl HomeBook {
    fn sums(&self, quarter: Quarter, declared: &[NodeDeclaration], rules: &Rules) -> Sums {
        let mut sums = Sums { covered: self.presence.covered(quarter, rules), ..Sums::default() };
        for (node, ledger) in &self.nodes {
            // A node that was never declared is in no total.
            if let Some(known) = declared.iter().find(|known| known.node == *node) {
                sums.add_node(known.kind, ledger.energy(quarter, rules));
            }
        }
        sums
    }

    fn first_kept(&self) -> Option<Quarter> {
        let nodes = self.nodes.values().filter_map(NodeLedger::first);
        nodes.chain(self.presence.quarters.keys().next().copied()).min()
    }
}

impl Books {
    pub(super) fn step(
        &mut self,
        terms: &Terms,
        now: Timestamp,
        view: &View,
        outcome: &mut Outcome,
    ) {
        let roster = view.roster();
        self.take_in(terms, view);
        if self.is_report_due(terms, now, roster.time_zone()) {
            self.report(terms, roster, outcome);
            self.reported = now;
        }
        self.settle(terms, roster);
        self.say_what_was_left_out(outcome);
    }

    fn take_in(&mut self, terms: &Terms, view: &View) {
        let zone = view.roster().time_zone();
        for seen in view.entries() {
            let Some(reading) = seen.reading() else { continue };
            let ts = reading.taken().as_millis();
            let home = self.homes.entry(seen.hem.clone()).or_default();
            if quarter_of(ts) < home.open_from {
                home.left_out += 1;
                continue;
            }
            let oldest = home.oldest.map_or(ts, |oldest| oldest.min(ts));
            home.oldest = Some(oldest);
            home.newest = home.newest.max(ts);
            home.presence.take(ts);
            let dirty = self.dirty.entry(seen.hem.clone()).or_default();
            // A reading completes the coverage of the quarter before, too.
            let mut changed = (quarter_of(ts) - 1, quarter_of(ts));
            for node in &reading.nodes {
                let ledger = home.nodes.entry(node.node).or_default();
                if let Some((first, last)) = ledger.take(ts, node, &terms.rules) {
                    changed = (changed.0.min(first), changed.1.max(last));
                }
            }
            let first = changed.0.max(home.open_from);
            let mut quarter = first;
            while quarter <= changed.1 {
                let hour = hour_of(zone, start_of(quarter));
                if hour.to > oldest {
                    dirty.insert(quarter_of(hour.from));
                }
                quarter = quarter_of(hour.to).max(quarter + 1);
            }
        }
    }

    /// Hours that go on are reported now and then; anything else at once.
    fn is_report_due(&self, terms: &Terms, now: Timestamp, zone: Tz) -> bool {
        if self.dirty.is_empty() {
            return false;
        }
        let goes_on = |(hem, hours): (&HemId, &BTreeSet<Quarter>)| {
            let Some(home) = self.homes.get(hem) else { return true };
            let current = quarter_of(hour_of(zone, home.newest).from);
            hours.iter().all(|hour| *hour == current)
        };
        now.since(self.reported) >= terms.report_every || !self.dirty.iter().all(goes_on)
    }

    fn report(&mut self, terms: &Terms, roster: &Roster, outcome: &mut Outcome) {
        let zone = roster.time_zone();
        let mut all_hours = BTreeSet::new();
        let mut all_days = BTreeSet::new();
        for (hem, hours) in std::mem::take(&mut self.dirty) {
            let Some(home) = self.homes.get(&hem) else { continue };
            let Some(declared) = roster.homes().get(&hem) else { continue };
            let mut days = BTreeSet::new();
            for hour in hours {
                let span = hour_of(zone, start_of(hour));
                let (sums, money) = home_over(home, span, declared, terms, zone);
                let body = body(&sums, &money, span, 1, terms);
                put(outcome, EnergyAccounting::HOUR, hem.as_str(), span, body);
                days.insert(day_of(zone, span.from));
                all_hours.insert(span);
            }
            for span in &days {
                let (sums, money) = home_over(home, *span, declared, terms, zone);
                let body = body(&sums, &money, *span, 1, terms);
                put(outcome, EnergyAccounting::DAY, hem.as_str(), *span, body);
            }
            all_days.extend(days);
        }
        for (kind, spans) in
            [(EnergyAccounting::HOUR, all_hours), (EnergyAccounting::DAY, all_days)]
        {
            for span in spans {
                if quarter_of(span.from) >= self.final_before {
                    let body = self.microgrid_over(span, roster, terms);
                    put(outcome, kind, EnergyAccounting::MICROGRID, span, body);
                }
            }
        }
    }

    fn microgrid_over(&self, span: Span, roster: &Roster, terms: &Terms) -> Value {
        let zone = roster.time_zone();
        let mut sums = Sums::default();
        let mut money = Money::default();
        let mut shared = 0.0;
        for quarter in span.quarters() {
            let mut of_quarter = self.settled.get(&quarter).copied().unwrap_or_default();
            for (hem, home) in &self.homes {
                let Some(declared) = roster.homes().get(hem) else { continue };
                if quarter >= home.open_from {
                    of_quarter.add(&home.sums(quarter, declared, &terms.rules));
                }
            }
            // One home's export is another's import: within a quarter they are netted.
            let net = of_quarter.import - of_quarter.export;
            shared += of_quarter.import - net.max(0.0);
            of_quarter.import = net.max(0.0);
            of_quarter.export = (-net).max(0.0);
            money.add(&terms.money(quarter, &of_quarter, zone));
            sums.add(&of_quarter);
        }
        let mut body = body(&sums, &money, span, roster.homes().len(), terms);
        if let Some(fields) = body.as_object_mut() {
            fields.insert("shared_wh".into(), json!(rounded(shared)));
            fields.insert("homes".into(), json!(roster.homes().len()));
        }
        body
    }

    /// Moves what is too old to change from the homes' detail to sums.
    fn settle(&mut self, terms: &Terms, roster: &Roster) {
        let zone = roster.time_zone();
        let bridge = terms.rules.max_bridge_ms.div_euclid(QUARTER_MS) + 1;
        let newest = self.homes.values().map(|home| home.newest).max().unwrap_or(0);
        let no_longer_completed = quarter_of(newest) - terms.late_quarters - 104;
        self.final_before = self.final_before.max(no_longer_completed);
        for (hem, home) in &mut self.homes {
            let floor = quarter_of(home.newest) - terms.open_quarters;
            let Some(declared) = roster.homes().get(hem) else { continue };
            let Some(first) = home.first_kept() else { continue };
            let mut quarter = first.max(home.open_from);
            while quarter < floor {
                let sums = home.sums(quarter, declared, &terms.rules);
                if sums != Sums::default() {
                    let money = terms.money(quarter, &sums, zone);
                    let hour = hour_of(zone, start_of(quarter)).from;
                    let of_hour = home.hours.entry(hour).or_default();
                    of_hour.0.add(&sums);
                    of_hour.1.add(&money);
                    if quarter >= self.final_before {
                        self.settled.entry(quarter).or_default().add(&sums);
                    }
                }
                for ledger in home.nodes.values_mut() {
                    ledger.settle(quarter, &terms.rules);
                }
                home.presence.settle(quarter);
                // Over a gap that no energy is shared out over, there is nothing to be settled.
                let next = home.first_kept().unwrap_or(floor);
                quarter = if next - quarter > bridge { next } else { quarter + 1 };
            }
            home.open_from = home.open_from.max(floor);
            let day = day_of(zone, start_of(home.open_from)).from;
            home.hours = home.hours.split_off(&day);
        }
        self.settled = self.settled.split_off(&self.final_before);
    }

    fn say_what_was_left_out(&mut self, outcome: &mut Outcome) {
        for (hem, home) in &mut self.homes {
            // Said when it begins and each time it has doubled, so that a stream of them fills no log.
            if home.left_out > home.left_out_said.saturating_mul(2) {
                home.left_out_said = home.left_out;
                outcome.warn(format!(
                    "{} readings of {hem} are older than its open hours and are in no result",
                    home.left_out
                ));
            }
        }
    }
}

fn home_over(
    home: &HomeBook,
    span: Span,
    declared: &[NodeDeclaration],
    terms: &Terms,
    zone: Tz,
) -> (Sums, Money) {
    let mut sums = Sums::default();
    let mut money = Money::default();
    for (of_hour, of_money) in home.hours.range(span.from..span.to).map(|(_, settled)| settled) {
        sums.add(of_hour);
        money.add(of_money);
    }
    for quarter in span.quarters().filter(|quarter| *quarter >= home.open_from) {
        let of_quarter = home.sums(quarter, declared, &terms.rules);
        money.add(&terms.money(quarter, &of_quarter, zone));
        sums.add(&of_quarter);
    }
    (sums, money)
}

impl Terms {
    fn money(&self, quarter: Quarter, sums: &Sums, zone: Tz) -> Money {
        let ts = start_of(quarter);
        let (imported, exported) = (sums.import / 1_000.0, sums.export / 1_000.0);
        Money {
            cost: imported * self.import.at(zone, ts),
            credit: exported * self.export.at(zone, ts),
            carbon: imported * carbon_at(&self.carbon, zone, ts),
        }
    }
}

fn put(outcome: &mut Outcome, kind: &str, subject: &str, span: Span, body: Value) {
    outcome.report(kind, subject, Timestamp(span.from), Timestamp(span.to), body);
}

#[expect(clippy::cast_precision_loss, reason = "spans and counts of homes are far below 2^52")]
fn body(sums: &Sums, money: &Money, span: Span, homes: usize, terms: &Terms) -> Value {
    let share = |part: f64, whole: f64| {
        // What is less than a milliwatt-hour is no quantity to take a share of.
        (whole > 1e-3).then(|| rounded((1.0 - part / whole).clamp(0.0, 1.0)))
    };
    let coverage = sums.covered as f64 / (span.length() as f64 * homes.max(1) as f64);
    json!({
        "consumption_wh": rounded(sums.consumption),
        "generation_wh": rounded(sums.generation),
        "import_wh": rounded(sums.import),
        "export_wh": rounded(sums.export),
        "charged_wh": rounded(sums.charged),
        "discharged_wh": rounded(sums.discharged),
        "self_sufficiency": share(sums.import, sums.consumption),
        "self_consumption": share(sums.export, sums.generation),
        "import_cost": money_rounded(money.cost),
        "export_credit": money_rounded(money.credit),
        "currency": terms.currency,
        "carbon_g": rounded(money.carbon),
        "coverage": rounded(coverage.clamp(0.0, 1.0)),
        "estimated": sums.estimated,
    })
}

/// To a thousandth: floating-point dust is not a result.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn money_rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
