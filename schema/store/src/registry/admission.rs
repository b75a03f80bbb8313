//! Who is let in. The rules are plain functions; around them, what is read and written.
//!
//! A key is pending until the HEM has shown once who it is, by that key or by certificate. Until then
//! an enrolment of the same id into the same microgrid replaces it; with the token that made it, that
//! does not count as another use. Whatever the reason, who is not let in is told the same.

use memcloud_domain::{HemId, NodeDeclaration, PowerLimits, Timestamp};

use super::connection::WebConnection;
use super::hem::KeptHem;
use super::{
    EnrolmentToken, Hem, KeyState, RegistryError, SecretHash, enrolment_token, hem as hems,
};

/// What a HEM shows.
#[derive(Debug, Clone)]
pub enum Proof {
    /// Its device key.
    Key(SecretHash),
    /// A client certificate, verified by TLS, with its id as the common name.
    Certificate,
    /// An enrolment token, and the key that it gets if the token is good.
    Enrolment {
        /// The token's hash.
        token: SecretHash,
        /// The new key's hash.
        new_key: SecretHash,
    },
}

/// A HEM at the door.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Who it says it is.
    pub hem: HemId,
    /// What it shows.
    pub proof: Proof,
    /// Its nodes; absent: what is known stays.
    pub nodes: Option<Vec<NodeDeclaration>>,
    /// Its firmware; absent: what is known stays.
    pub firmware: Option<String>,
}

/// What becomes of an arrival.
#[derive(Debug, Clone, PartialEq)]
pub enum ArrivalAnswer {
    /// It is not let in, whatever the reason.
    Refused,
    /// It is let in, and there is nothing to write.
    Admitted(Hem),
    /// Looked up only: it would be let in, once what it brings is written.
    ToRecord,
    /// It is let in, and what it brought is written.
    Recorded(Hem),
}

/// What the rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Refuse,
    /// By key or certificate.
    Admit,
    /// By a token, for an id that is new or whose key is pending.
    Enrol {
        /// Whether it is one of the token's uses.
        counts: bool,
    },
}

/// The rules.
fn judge(
    proof: &Proof,
    known: Option<&KeptHem>,
    token: Option<&EnrolmentToken>,
    now: Timestamp,
) -> Verdict {
    match proof {
        Proof::Key(key) => match known {
            Some(kept) if kept.hem.key != KeyState::Revoked && key.matches(&kept.key_hash) => {
                Verdict::Admit
            }
            _ => Verdict::Refuse,
        },
        Proof::Certificate => match known {
            Some(kept) if kept.hem.key != KeyState::Revoked => Verdict::Admit,
            _ => Verdict::Refuse,
        },
        Proof::Enrolment { .. } => judge_enrolment(known, token, now),
    }
}

fn judge_enrolment(
    known: Option<&KeptHem>,
    token: Option<&EnrolmentToken>,
    now: Timestamp,
) -> Verdict {
    let Some(token) = token.filter(|token| now < token.expires) else { return Verdict::Refuse };
    if let Some(kept) = known {
        if kept.hem.microgrid != token.microgrid || kept.hem.key != KeyState::Pending {
            return Verdict::Refuse;
        }
        if kept.enrolled_by.as_deref() == Some(token.id.to_string().as_str()) {
            return Verdict::Enrol { counts: false };
        }
    }
    if token.used < token.uses { Verdict::Enrol { counts: true } } else { Verdict::Refuse }
}

/// The HEM as it is once it was let in.
fn after_admission(mut kept: KeptHem, arrival: &Arrival) -> KeptHem {
    if let Some(nodes) = &arrival.nodes {
        kept.hem.nodes.clone_from(nodes);
    }
    if arrival.firmware.is_some() {
        kept.hem.firmware.clone_from(&arrival.firmware);
    }
    if !matches!(arrival.proof, Proof::Enrolment { .. }) {
        kept.hem.key = KeyState::Established;
    }
    kept
}

/// Looks whether a HEM is who it says; writes nothing.
pub(super) fn look_up(
    connection: &mut WebConnection,
    arrival: &Arrival,
    now: Timestamp,
) -> Result<ArrivalAnswer, RegistryError> {
    let known = hems::find_kept(connection, &arrival.hem)?;
    let token = match &arrival.proof {
        Proof::Enrolment { token, .. } => enrolment_token::find_by_hash(connection, token)?,
        Proof::Key(_) | Proof::Certificate => None,
    };
    Ok(match (judge(&arrival.proof, known.as_ref(), token.as_ref(), now), known) {
        (Verdict::Refuse, _) => ArrivalAnswer::Refused,
        (Verdict::Admit, Some(kept)) => {
            let after = after_admission(kept.clone(), arrival);
            if after.hem == kept.hem {
                ArrivalAnswer::Admitted(kept.hem)
            } else {
                ArrivalAnswer::ToRecord
            }
        }
        (Verdict::Admit | Verdict::Enrol { .. }, _) => ArrivalAnswer::ToRecord,
    })
}

/// Decides on a HEM at the door, and writes what it brings.
pub(super) fn record(
    connection: &mut WebConnection,
    arrival: &Arrival,
    now: Timestamp,
) -> Result<ArrivalAnswer, RegistryError> {
    let known = hems::find_kept_to_change(connection, &arrival.hem)?;
    let token = match &arrival.proof {
        Proof::Enrolment { token, .. } => {
            enrolment_token::find_by_hash_to_change(connection, token)?
        }
        Proof::Key(_) | Proof::Certificate => None,
    };
    let verdict = judge(&arrival.proof, known.as_ref(), token.as_ref(), now);
    match (verdict, known, token, &arrival.proof) {
        (Verdict::Admit, Some(kept), _, _) => {
            let after = after_admission(kept.clone(), arrival);
            if after.hem == kept.hem {
                return Ok(ArrivalAnswer::Admitted(kept.hem));
            }
            hems::save(connection, &after)?;
            Ok(ArrivalAnswer::Recorded(after.hem))
        }
        (Verdict::Enrol { counts }, known, Some(token), Proof::Enrolment { new_key, .. }) => {
            if counts {
                enrolment_token::count_use(connection, &token)?;
            }
            let is_new = known.is_none();
            let mut kept = known.unwrap_or_else(|| KeptHem {
                hem: Hem {
                    id: arrival.hem.clone(),
                    microgrid: token.microgrid.clone(),
                    name: arrival.hem.to_string(),
                    created: now,
                    firmware: None,
                    nodes: Vec::new(),
                    key: KeyState::Pending,
                    limits: PowerLimits::default(),
                },
                key_hash: Vec::new(),
                enrolled_by: None,
            });
            kept.key_hash = new_key.as_bytes().to_vec();
            kept.enrolled_by = Some(token.id.to_string());
            let after = after_admission(kept, arrival);
            if is_new {
                hems::insert(connection, &after).map_err(|error| meanwhile(error, &arrival.hem))?;
            } else {
                hems::save(connection, &after)?;
            }
            Ok(ArrivalAnswer::Recorded(after.hem))
        }
        _ => Ok(ArrivalAnswer::Refused),
    }
}

/// Another process let the same HEM in since it was looked for: it is to be judged again.
fn meanwhile(error: RegistryError, hem: &HemId) -> RegistryError {
    match error {
        RegistryError::AlreadyExists { .. } | RegistryError::NotFound { .. } => {
            RegistryError::Contended { reason: format!("the hem \"{hem}\" arrives twice") }
        }
        other => other,
    }
}
