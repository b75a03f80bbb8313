//! Why a node is as it is: one plain sentence that names who won, which limit holds and what was
//! refused, and the same in parts.

use chrono_tz::Tz;
use memcloud_domain::{Claim, ClaimFate, CommandState, NodeWhy, Setting, SettingWhy, Timestamp};

use super::claim::{Kind, Standing};
use super::decision::{By, Chosen, Decision, Fate, HomeOverride, same};
use super::node::{Home, InForce, Node, Pause};
use super::words;

/// Of what a sentence speaks.
#[derive(Debug, Clone, Copy)]
pub struct Explanation<'a> {
    /// The home.
    pub home: &'a Home,
    /// The node.
    pub node: &'a Node,
    /// What was decided.
    pub decision: &'a Decision,
    /// Now.
    pub now: Timestamp,
    /// The microgrid's time zone.
    pub zone: Tz,
}

/// How a chosen setting stands.
enum Stand<'a> {
    /// Nothing was ordered yet.
    Waits(Option<&'a Pause>),
    /// It was ordered.
    Ordered(&'a InForce),
}

impl<'a> Explanation<'a> {
    /// So many claims beside the winner are named in a sentence.
    const NAMED: usize = 4;

    /// All about a node.
    #[must_use]
    pub fn why(&self) -> NodeWhy {
        let newest = Kind::ALL.iter().filter_map(|kind| self.node.slot(*kind).newest());
        let settings = newest.map(|order| SettingWhy {
            setting: order.setting,
            command: order.command.clone(),
            state: order.state,
            until: order.until,
        });
        NodeWhy {
            hem: self.home.hem.clone(),
            node: self.node.declaration.node,
            sentence: self.sentence(),
            since: self.at_home().map_or(self.node.since, |at_home| at_home.since),
            settings: settings.collect(),
            claims: self.claims(),
        }
    }

    fn at_home(&self) -> Option<&'a HomeOverride> {
        self.node.at_home.as_ref().filter(|at_home| self.now < at_home.until)
    }

    fn the_node(&self) -> String {
        words::node(&self.node.declaration)
    }

    fn chosen(&self) -> impl Iterator<Item = (Kind, &'a Chosen)> {
        let decision = self.decision;
        Kind::ALL.into_iter().filter_map(|kind| Some((kind, decision.chosen(kind)?)))
    }

    fn claim(&self, by: By) -> Option<&'a Standing> {
        match by {
            By::Home => None,
            By::Claim(place) => self.node.claims.get(place),
        }
    }

    /// The sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let mut parts = vec![match self.at_home() {
            Some(at_home) => self.of_home(at_home),
            None => self.of_claims(),
        }];
        parts.extend(self.others());
        if let Some(away) = &self.node.turned_away {
            parts.push(format!(
                "a wish of {} was turned away, since it has as many as it may have",
                words::who(&away.asker)
            ));
        }
        if self.home.offline && !self.node.is_idle() {
            parts.push("its HEM is not connected now".to_owned());
        }
        format!("{}.", words::capital(&parts.join("; ")))
    }

    fn of_home(&self, at_home: &HomeOverride) -> String {
        let deed = words::pressed(at_home, &self.the_node(), self.now, self.zone);
        let until = words::moment(at_home.until, self.now, self.zone);
        let held = self.decision.chosen(Kind::Power).and_then(|chosen| {
            let (_, order) = words::does(chosen.setting, self.node.declaration.kind);
            Some(format!(", but it {order}, limited by {}", words::bound(chosen.bound.as_ref()?)))
        });
        format!("{deed}, which holds until {until}{}", held.unwrap_or_default())
    }

    fn of_claims(&self) -> String {
        let mut deeds = Vec::new();
        let mut causes: Vec<String> = Vec::new();
        for (kind, chosen) in self.chosen() {
            deeds.push(self.deed(kind, chosen));
            let cause = self.cause(chosen);
            if !causes.contains(&cause) {
                causes.push(cause);
            }
        }
        if !deeds.is_empty() {
            return format!("{} {}: {}", self.the_node(), deeds.join(" and "), causes.join(", "));
        }
        if let Some(returning) = self.returning() {
            return returning;
        }
        let nothing = format!("nothing is ordered of {}", self.the_node());
        if self.decision.fates.is_empty() {
            format!("{nothing}: nobody asks for anything")
        } else {
            nothing
        }
    }

    fn returning(&self) -> Option<String> {
        let orders = Kind::ALL.iter().filter_map(|kind| self.node.slot(*kind).newest());
        let order = orders.into_iter().next()?;
        let (_, does) = words::does(order.setting, self.node.declaration.kind);
        let (the_node, asker) = (self.the_node(), words::who(&order.asker));
        Some(if order.returns {
            format!("{the_node} {does}, its home's default: {asker} wants nothing of it any more")
        } else {
            let until = order.until.map(|until| words::moment(until, self.now, self.zone));
            let until = until.map_or_else(String::new, |until| format!(" until {until}"));
            format!(
                "{the_node} {does}{until}, as {asker} asked before, and then falls back to its home's default"
            )
        })
    }

    fn stand(&self, kind: Kind, chosen: &Chosen) -> Stand<'a> {
        let (setting, claim) = (chosen.setting, self.claim(chosen.by));
        let slot = self.node.slot(kind);
        match slot.newest() {
            Some(order) if same(order.setting, setting) => Stand::Ordered(order),
            _ => Stand::Waits(slot.waits(claim.map(|claim| &claim.key), self.now).map(|p| &p.why)),
        }
    }

    fn deed(&self, kind: Kind, chosen: &Chosen) -> String {
        let (fact, order) = words::does(chosen.setting, self.node.declaration.kind);
        match self.stand(kind, chosen) {
            Stand::Waits(Some(why)) => format!("{order} but waits {}", words::pause(why)),
            Stand::Waits(None) if self.home.offline => {
                format!("{order} once its HEM is connected")
            }
            Stand::Waits(None) => order,
            Stand::Ordered(ordered) if ordered.state == Some(CommandState::Ineffective) => {
                format!("{order}, though its readings do not show it")
            }
            Stand::Ordered(ordered) if ordered.is_unanswered() => {
                format!("{order} (its HEM has not answered yet)")
            }
            Stand::Ordered(_) => fact,
        }
    }

    fn cause(&self, chosen: &Chosen) -> String {
        let Some(claim) = self.claim(chosen.by) else { return String::new() };
        let mut cause = self.asked(claim);
        if let Some(bound) = &chosen.bound {
            cause.push_str(", limited by ");
            cause.push_str(&words::bound(bound));
        }
        cause
    }

    fn asked(&self, claim: &Standing) -> String {
        let what = words::asked(claim.setting, self.node.declaration.kind);
        let who = words::who(&claim.asker);
        let reason = words::cut(&claim.reason);
        if reason.is_empty() {
            format!("{who} asked for {what}")
        } else {
            format!("{who} asked for {what} ({reason})")
        }
    }

    /// What is to be said of those who did not win.
    fn others(&self) -> Vec<String> {
        let mut said = Vec::new();
        let mut unsaid = 0_usize;
        for (place, fate) in &self.decision.fates {
            let Some(claim) = self.node.claims.get(*place) else { continue };
            let what = words::asked(claim.setting, self.node.declaration.kind);
            let other = match fate {
                Fate::Holds | Fate::Narrowed => continue,
                Fate::Satisfied(_) => {
                    format!("{} asked for {what}, which is kept too", words::who(&claim.asker))
                }
                Fate::Outranked(_) => format!("{} was outranked", words::who_ranked(claim)),
                Fate::Refused(breach) => {
                    format!(
                        "{} and was refused, since {}",
                        self.asked(claim),
                        words::breach(breach)
                    )
                }
            };
            if said.len() < Self::NAMED {
                said.push(other);
            } else {
                unsaid += 1;
            }
        }
        if unsaid > 0 {
            said.push(format!("{unsaid} more did not win"));
        }
        said
    }

    fn claims(&self) -> Vec<Claim> {
        let mut claims = Vec::new();
        if let Some(at_home) = self.at_home() {
            let switched = at_home.on.map(|on| Setting::Switch { on });
            let set = at_home.watts.map(|watts| Setting::Power { watts });
            claims.extend([switched, set].into_iter().flatten().map(|setting| Claim {
                asker: None,
                setting,
                priority: 0,
                until: Some(at_home.until),
                reason: words::pressed(at_home, &self.the_node(), self.now, self.zone),
                fate: ClaimFate::Holds,
                because: "what someone at home sets goes before operators and jobs".to_owned(),
            }));
        }
        for (place, fate) in &self.decision.fates {
            let Some(claim) = self.node.claims.get(*place) else { continue };
            let (fate, because) = self.fate(claim, fate);
            claims.push(Claim {
                asker: Some((*claim.asker).clone()),
                setting: claim.setting,
                priority: claim.class.priority,
                until: Some(claim.until),
                reason: claim.reason.clone(),
                fate,
                because,
            });
        }
        claims
    }

    fn fate(&self, claim: &Standing, fate: &Fate) -> (ClaimFate, String) {
        let chosen = self.decision.chosen(claim.kind());
        let waits = chosen.and_then(|chosen| match self.stand(claim.kind(), chosen) {
            Stand::Waits(Some(why)) => Some(format!("it waits {}", words::pause(why))),
            Stand::Waits(None) if self.home.offline => {
                Some("it waits until its HEM is connected".to_owned())
            }
            _ => None,
        });
        match fate {
            Fate::Refused(breach) => (ClaimFate::Refused, words::breach(breach)),
            Fate::Outranked(by) => (ClaimFate::Outranked, self.outranked_by(*by)),
            Fate::Satisfied(by) => {
                let whose =
                    self.claim(*by).map_or_else(|| "someone at home".to_owned(), words::who_ranked);
                (ClaimFate::Holds, format!("what {whose} asked for keeps it too"))
            }
            Fate::Holds | Fate::Narrowed if waits.is_some() => {
                (ClaimFate::Waits, waits.unwrap_or_default())
            }
            Fate::Holds => (ClaimFate::Holds, "it goes before all others".to_owned()),
            Fate::Narrowed => {
                let limited = chosen.and_then(|chosen| {
                    let to = words::asked(chosen.setting, self.node.declaration.kind);
                    Some(format!("limited to {to} by {}", words::bound(chosen.bound.as_ref()?)))
                });
                (ClaimFate::Narrowed, limited.unwrap_or_default())
            }
        }
    }

    /// Why a claim does not hold, in a sentence that names who goes before it.
    #[must_use]
    pub fn outranked_by(&self, by: By) -> String {
        match self.claim(by) {
            Some(winner) => {
                let until = words::moment(winner.until, self.now, self.zone);
                let what = words::asked(winner.setting, self.node.declaration.kind);
                let whose = words::who_ranked(winner);
                format!("{whose} asked for {what} until {until}, which goes first")
            }
            None => match self.at_home() {
                Some(at_home) => {
                    let until = words::moment(at_home.until, self.now, self.zone);
                    let deed = words::pressed(at_home, &self.the_node(), self.now, self.zone);
                    format!("{deed}, which holds until {until} and goes first")
                }
                None => "someone at home goes first".to_owned(),
            },
        }
    }

    /// Why an order is as it is: for the ledger.
    #[must_use]
    pub fn order_because(&self, chosen: &Chosen) -> String {
        let mut parts = Vec::new();
        match self.at_home() {
            Some(at_home) => parts.push(self.of_home(at_home)),
            None => parts.push(self.cause(chosen)),
        }
        parts.extend(self.others());
        format!("{}.", words::capital(&parts.join("; ")))
    }

    /// Why a command is turned down: for the ledger.
    #[must_use]
    pub fn refusal(&self, claim: &Standing, fate: &Fate) -> String {
        let what = words::asked(claim.setting, self.node.declaration.kind);
        let because = match fate {
            Fate::Refused(breach) => words::breach(breach),
            Fate::Outranked(by) => self.outranked_by(*by),
            _ => return String::new(),
        };
        let whose = words::who(&claim.asker);
        let sentence = format!("{whose} asked for {what} of {}, but {because}", self.the_node());
        format!("{}.", words::capital(&sentence))
    }
}
