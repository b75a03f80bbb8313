//! From the hello to the welcome: the registrar, the table of sockets and the historian are asked, in
//! this order, one at a time. What the HEM sends meanwhile is kept and taken in order afterwards.

use memcloud_domain::messages::{
    AuthenticateHem, AuthenticatedHem, AuthenticationError, HemConnected, HemCredential,
    SessionOpened, Unavailable,
};
use memcloud_domain::{HemId, MicrogridId, NodeDeclaration, Secret};
use memcloud_wire::{CloudFrame, ErrorCode, Greeting, HelloFault, Welcome};
use tokio::time::Instant;

use super::live::Live;
use super::{Claimed, Effect, Moment, Phase, Rules, Session};

/// A HEM that said hello and waits.
pub(super) struct Welcoming {
    pub(super) deadline: Instant,
    /// What it sent after the hello.
    pub(super) early: Vec<u8>,
    hem: HemId,
    /// What is wrong with its nodes: said only to who has proven who it is.
    nodes_fault: Option<HelloFault>,
    known: Option<Known>,
}

struct Known {
    microgrid: MicrogridId,
    nodes: Vec<NodeDeclaration>,
    issued_key: Option<Secret>,
}

impl Welcoming {
    /// Checks what can be checked here, in the protocol's order: credentials, id, nodes.
    pub(super) fn start(
        greeting: Greeting,
        certified: Option<HemId>,
        early: Vec<u8>,
        now: Moment,
        rules: &Rules,
    ) -> Result<(Self, Box<AuthenticateHem>), HelloFault> {
        let claimed = greeting.hem.as_ref().ok();
        let credential = if let Some(key) = greeting.key {
            HemCredential::Key(key)
        } else if let Some(token) = greeting.enrol {
            HemCredential::Enrolment(token)
        } else if certified.is_some() && (certified.as_ref() == claimed || claimed.is_none()) {
            HemCredential::Certificate
        } else {
            let text = "the hello needs a key, an enrolment token, or a client certificate whose \
                        common name is the HEM's id";
            return Err(HelloFault { code: ErrorCode::Unauthorised, text: text.to_owned() });
        };
        let hem = greeting.hem?;
        let (nodes, nodes_fault) = match greeting.nodes {
            Ok(nodes) => (nodes, None),
            Err(fault) => (None, Some(fault)),
        };
        let firmware = greeting.firmware;
        let question = AuthenticateHem { hem: hem.clone(), credential, nodes, firmware };
        let deadline = now.at + rules.config.welcome_timeout;
        Ok((Self { deadline, early, hem, nodes_fault, known: None }, Box::new(question)))
    }
}

impl Session {
    pub(super) fn authenticated(
        &mut self,
        answer: Result<AuthenticatedHem, AuthenticationError>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let Phase::Welcoming(welcoming) = &mut self.phase else { return };
        match answer {
            Ok(hem) => {
                if let Some(fault) = welcoming.nodes_fault.take() {
                    return self.fatal(fault.code, fault.text, now, effects);
                }
                let AuthenticatedHem { microgrid, nodes, issued_key } = hem;
                welcoming.known = Some(Known { microgrid, nodes, issued_key });
                effects.push(Effect::Claim(welcoming.hem.clone()));
            }
            Err(AuthenticationError::Unavailable(away)) => {
                self.fatal(ErrorCode::Busy, away.to_string(), now, effects);
            }
            // The same words for every reason, so that nobody learns which ids there are.
            Err(refused) => {
                self.fatal(ErrorCode::Unauthorised, refused.to_string(), now, effects);
            }
        }
    }

    pub(super) fn claimed(&mut self, answer: Claimed, now: Moment, effects: &mut Vec<Effect>) {
        let Phase::Welcoming(welcoming) = &self.phase else { return };
        let Some(known) = &welcoming.known else { return };
        match answer {
            Claimed::Granted => {
                effects.push(Effect::Open(welcoming.hem.clone(), known.microgrid.clone()));
            }
            Claimed::Cut => {
                let text = AuthenticationError::Unauthorised.to_string();
                self.fatal(ErrorCode::Unauthorised, text, now, effects);
            }
        }
    }

    pub(super) fn opened(
        &mut self,
        answer: Result<SessionOpened, Unavailable>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let Phase::Welcoming(welcoming) = &mut self.phase else { return };
        let Some(known) = welcoming.known.take() else { return };
        let opened = match answer {
            Ok(opened) => opened,
            Err(away) => return self.fatal(ErrorCode::Busy, away.to_string(), now, effects),
        };
        let early = std::mem::take(&mut welcoming.early);
        let hem = welcoming.hem.clone();
        let config = &self.rules.config;
        CloudFrame::Welcome(Welcome {
            hem: hem.clone(),
            microgrid: known.microgrid.clone(),
            time: now.wall,
            seq: opened.mark,
            heartbeat_s: u32::try_from(config.heartbeat.as_secs()).unwrap_or(u32::MAX).max(1),
            max_in_flight: config.max_in_flight,
            max_batch: u32::try_from(config.max_batch).unwrap_or(u32::MAX),
            max_frame: u32::try_from(config.max_frame).unwrap_or(u32::MAX),
            key: known.issued_key,
        })
        .encode(&mut self.output);
        self.rules.metrics.welcomes.increment();
        effects.push(Effect::Welcomed(Box::new(HemConnected {
            hem: hem.clone(),
            microgrid: known.microgrid.clone(),
            epoch: opened.epoch,
            mark: opened.mark,
            nodes: known.nodes,
            process: config.process.clone(),
            at: now.wall,
        })));
        let live = Live::new(hem, known.microgrid, opened, &self.rules, now);
        self.phase = Phase::Live(Box::new(live));
        if !early.is_empty() {
            self.take_frames(&early, now, effects);
        }
    }

    pub(super) fn unanswered(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Welcoming(_)) {
            let text = "the cloud cannot look this HEM up now; come back after retry_after_ms";
            self.fatal(ErrorCode::Busy, text.to_owned(), now, effects);
        }
    }
}
