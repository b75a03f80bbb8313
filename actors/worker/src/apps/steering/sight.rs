//! Of which homes too little is known to steer them; said once when it begins and once when it ends.

use std::collections::BTreeMap;
use std::time::Duration;

use memcloud_domain::{HemId, Timestamp};

use crate::{Outcome, Roster};

#[derive(Debug, Clone, Copy, PartialEq)]
struct Dark {
    since: Timestamp,
    said: bool,
}

/// Which homes are in the dark.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sight {
    dark: BTreeMap<HemId, Dark>,
}

impl Sight {
    /// How many homes a line of log names.
    const NAMED: usize = 20;

    /// Takes which homes are in the dark now, and says of which that has been so for `patience`, and
    /// which are back.
    pub fn judge<'a>(
        &mut self,
        now: Timestamp,
        patience: Duration,
        roster: &Roster,
        dark: impl Iterator<Item = &'a HemId>,
        outcome: &mut Outcome,
    ) {
        let mut still = BTreeMap::new();
        let mut lost = Vec::new();
        for hem in dark {
            if still.contains_key(hem) {
                continue;
            }
            let known = self.dark.remove(hem).unwrap_or(Dark { since: now, said: false });
            let says = !known.said && now.since(known.since) >= patience;
            if says {
                lost.push(hem.clone());
            }
            still.insert(hem.clone(), Dark { said: known.said || says, ..known });
        }
        let back: Vec<HemId> = std::mem::replace(&mut self.dark, still)
            .into_iter()
            .filter_map(|(hem, known)| (known.said && roster.has(&hem)).then_some(hem))
            .collect();
        if !lost.is_empty() {
            outcome.warn(format!(
                "not steered for want of fresh readings: {}",
                named(&lost, Self::NAMED)
            ));
        }
        if !back.is_empty() {
            outcome.info(format!("fresh readings again of {}", named(&back, Self::NAMED)));
        }
    }
}

/// Whether too little is known of the whole microgrid; said once when it begins and once when it ends.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Darkness(Option<Dark>);

impl Darkness {
    /// Too little is known now.
    pub(crate) fn falls(&mut self, now: Timestamp, patience: Duration, outcome: &mut Outcome) {
        let dark = self.0.get_or_insert(Dark { since: now, said: false });
        if !dark.said && now.since(dark.since) >= patience {
            dark.said = true;
            outcome.warn("the import cannot be judged: of too many homes the readings are stale");
            outcome.urgent = true;
        }
    }

    /// Enough is known now.
    pub(crate) fn lifts(&mut self, outcome: &mut Outcome) {
        if self.0.take().is_some_and(|dark| dark.said) {
            outcome.info("the import can be judged again");
            outcome.urgent = true;
        }
    }
}

/// The first few names, and how many more there are.
#[must_use]
pub fn named(homes: &[HemId], most: usize) -> String {
    let mut text = homes.iter().take(most).map(HemId::as_str).collect::<Vec<_>>().join(", ");
    if homes.len() > most {
        text.push_str(&format!(" and {} more", homes.len() - most));
    }
    text
}
