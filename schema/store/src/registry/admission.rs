//! Who is let in: the rules, without a database. A key is pending until the HEM has shown once who
//! it is; until then an enrolment of the same id replaces it.

use memcloud_domain::{HemId, NodeDeclaration};

use super::{Hem, SecretHash};

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
