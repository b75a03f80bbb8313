//! What is turned down, aloud: commands get their verdict, wishes a line in their job's log.

use memcloud_domain::Timestamp;

use super::claim::{ClaimKey, Stage};
use super::decision::{By, Decision, Fate};
use super::desk::Desk;
use super::explain::Explanation;
use super::node::Home;
use super::words;

impl Desk {
    /// Offered commands that cannot hold before they expire are turned down.
    pub(super) fn refuse_offers(
        &mut self,
        home: &mut Home,
        place: usize,
        decision: &Decision,
        now: Timestamp,
    ) {
        let mut refused = Vec::new();
        {
            let Some(node) = home.nodes.get(place) else { return };
            let account = Explanation { home, node, decision, now, zone: self.zone };
            for (claim, fate) in &decision.fates {
                let Some(claim) = node.claims.get(*claim) else { continue };
                let Stage::Offered { expires } = claim.stage else { continue };
                let is_envelope = matches!(fate, Fate::Refused(_));
                let is_hopeless = match fate {
                    Fate::Refused(_) => true,
                    Fate::Outranked(By::Home) => {
                        node.at_home.as_ref().is_some_and(|at_home| at_home.until >= expires)
                    }
                    Fate::Outranked(By::Claim(winner)) => {
                        node.claims.get(*winner).is_some_and(|winner| winner.until >= expires)
                    }
                    Fate::Holds | Fate::Narrowed | Fate::Satisfied(_) => false,
                };
                if is_hopeless {
                    let ClaimKey::Command(id) = &claim.key else { continue };
                    let because = account.refusal(claim, fate);
                    refused.push((id.clone(), claim.kind(), because, is_envelope));
                }
            }
        }
        let Some(number) = home.nodes.get(place).map(|node| node.declaration.node) else { return };
        for (id, kind, because, is_envelope) in refused {
            if is_envelope {
                self.figures.refused_by_envelope += 1;
            } else {
                self.figures.refused_by_rank += 1;
            }
            self.end_claim(home, number, &ClaimKey::Command(id.clone()), kind);
            self.refuse(id, because);
        }
    }

    /// Wishes that the envelope refuses are said once in their job's log.
    pub(super) fn complain(&mut self, home: &mut Home, place: usize, decision: &Decision) {
        let hem = home.hem.clone();
        let Some(node) = home.nodes.get_mut(place) else { return };
        let kind = node.declaration.kind;
        let the_node = words::node(&node.declaration);
        for (claim, fate) in &decision.fates {
            let Some(claim) = node.claims.get_mut(*claim) else { continue };
            let ClaimKey::Wish(job) = &claim.key else { continue };
            let Fate::Refused(breach) = fate else {
                claim.complained = false;
                continue;
            };
            if std::mem::replace(&mut claim.complained, true) {
                continue;
            }
            self.figures.refused_by_envelope += 1;
            if let Some(account) = self.accounts.get_mut(job) {
                let what = words::asked(claim.setting, kind);
                let because = words::breach(breach);
                let text = format!(
                    "the wish of {what} for {the_node} of {hem} was refused, since {because}"
                );
                account.complain(1, text);
            }
        }
    }
}
