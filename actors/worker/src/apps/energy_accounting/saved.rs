//! How a node's ledger is saved: rows of bare numbers, because it is written every few seconds and
//! most of its size would be names.

use serde::{Deserialize, Serialize};

use super::node_ledger::{Counted, NodeEnergy, NodeLedger, Powered, QuarterRow, Sample};
use crate::apps::calendar::{Quarter, start_of};

/// A ledger as rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Saved {
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    anchor: Option<(i64, f64, f64)>,
    #[serde(rename = "c", default, skip_serializing_if = "Vec::is_empty")]
    counted: Vec<CountedRow>,
    #[serde(rename = "p", default, skip_serializing_if = "Vec::is_empty")]
    powered: Vec<PoweredRow>,
}

/// Quarter; first sample and last sample, their times within the quarter.
type Ends = (Quarter, i64, f64, f64, i64, f64, f64);

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum CountedRow {
    /// What was counted between the ends is their difference.
    Plain(Ends),
    /// A counter was reset or replaced: what was counted, and whether that is doubtful.
    Reset(Ends, f64, f64, bool),
}

/// Quarter; mask; the closed minutes' means; the open minute, its sums and count.
type PoweredRow = (Quarter, u16, f64, f64, u8, f64, f64, u32);

impl From<NodeLedger> for Saved {
    fn from(ledger: NodeLedger) -> Self {
        let mut counted = Vec::new();
        let mut powered = Vec::new();
        for (quarter, row) in ledger.quarters {
            if let Some(found) = row.counted {
                counted.push(counted_row(quarter, &found));
            }
            if let Some(found) = row.powered {
                let (minute, sum_in, sum_out, count) = found.open;
                let (mean_in, mean_out) = found.means;
                powered
                    .push((quarter, found.mask, mean_in, mean_out, minute, sum_in, sum_out, count));
            }
        }
        let anchor = ledger.anchor.map(|sample| (sample.ts, sample.wh_in, sample.wh_out));
        Self { anchor, counted, powered }
    }
}

fn counted_row(quarter: Quarter, counted: &Counted) -> CountedRow {
    let Counted { first, last, between } = counted;
    let start = start_of(quarter);
    let ends = (
        quarter,
        first.ts - start,
        first.wh_in,
        first.wh_out,
        last.ts - start,
        last.wh_in,
        last.wh_out,
    );
    let differs = |energy: f64, from: f64, to: f64| (energy - (to - from)).abs() > 1e-6;
    let is_plain = !between.estimated
        && !differs(between.wh_in, first.wh_in, last.wh_in)
        && !differs(between.wh_out, first.wh_out, last.wh_out);
    if is_plain {
        CountedRow::Plain(ends)
    } else {
        CountedRow::Reset(ends, between.wh_in, between.wh_out, between.estimated)
    }
}

impl From<Saved> for NodeLedger {
    fn from(saved: Saved) -> Self {
        let anchor = saved.anchor.map(|(ts, wh_in, wh_out)| Sample { ts, wh_in, wh_out });
        let mut ledger = Self { anchor, ..Self::default() };
        for row in saved.counted {
            let (ends, between) = match row {
                CountedRow::Plain(ends) => {
                    let wh_in = ends.5 - ends.2;
                    let wh_out = ends.6 - ends.3;
                    (ends, NodeEnergy { wh_in, wh_out, estimated: false })
                }
                CountedRow::Reset(ends, wh_in, wh_out, estimated) => {
                    (ends, NodeEnergy { wh_in, wh_out, estimated })
                }
            };
            let start = start_of(ends.0);
            let first = Sample { ts: start + ends.1, wh_in: ends.2, wh_out: ends.3 };
            let last = Sample { ts: start + ends.4, wh_in: ends.5, wh_out: ends.6 };
            let row: &mut QuarterRow = ledger.quarters.entry(ends.0).or_default();
            row.counted = Some(Counted { first, last, between });
        }
        for (quarter, mask, mean_in, mean_out, minute, sum_in, sum_out, count) in saved.powered {
            let open = (minute, sum_in, sum_out, count);
            let row: &mut QuarterRow = ledger.quarters.entry(quarter).or_default();
            row.powered = Some(Powered { mask, means: (mean_in, mean_out), open });
        }
        ledger
    }
}
