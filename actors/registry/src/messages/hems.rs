//! HEMs: registered, read, changed, deleted; their keys rotated and revoked.

use actix::Message;
use memcloud_domain::messages::{CutHem, HemChanged, HemRemoved};
use memcloud_domain::{HemId, MicrogridId, Secret};
use memcloud_store::registry::{
    Hem, HemChange, Listing, NewHem, PageRequest, RegistryError, SecretHash,
};

use crate::clerk::{Clerk, Errand, Kind};
use crate::followers::Fact;
use crate::messages::valid;

/// REST and the command line have a HEM registered. `AlreadyExists`; `NotFound` of the microgrid.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<IssuedKey, RegistryError>")]
pub struct RegisterHem {
    /// Its id.
    pub id: HemId,
    /// Whose it is.
    pub microgrid: MicrogridId,
    /// Its name, for people; absent: its id.
    pub name: Option<String>,
}

/// A HEM with its new device key, shown this once.
#[derive(Debug, Clone)]
pub struct IssuedKey {
    /// The HEM.
    pub hem: Hem,
    /// Its key.
    pub key: Secret,
}

/// REST asks for a HEM. `NotFound`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Hem, RegistryError>")]
pub struct GetHem {
    /// Which HEM.
    pub id: HemId,
}

/// REST asks for HEMs, by id. `NotFound` of the microgrid.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Listing<Hem>, RegistryError>")]
pub struct ListHems {
    /// Of this microgrid; absent: of all.
    pub microgrid: Option<MicrogridId>,
    /// Which page.
    pub page: PageRequest,
}

/// REST has a HEM changed. `NotFound`; `Invalid` name or limit.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Hem, RegistryError>")]
pub struct UpdateHem {
    /// Which HEM.
    pub id: HemId,
    /// What is to change.
    pub change: HemChange,
}

/// REST has a HEM deleted; its open socket is cut. `NotFound`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), RegistryError>")]
pub struct DeleteHem {
    /// Which HEM.
    pub id: HemId,
}

/// REST has a HEM given another key, a revoked one too; its open socket is cut. `NotFound`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<IssuedKey, RegistryError>")]
pub struct RotateHemKey {
    /// Which HEM.
    pub id: HemId,
}

/// REST has a HEM's key revoked; its open socket is cut, and until its key is rotated nobody comes in
/// under its id. `NotFound`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Hem, RegistryError>")]
pub struct RevokeHemKey {
    /// Which HEM.
    pub id: HemId,
}

pub(crate) fn changed(hem: &Hem) -> Fact {
    Fact::HemChanged(HemChanged {
        hem: hem.id.clone(),
        microgrid: hem.microgrid.clone(),
        nodes: hem.nodes.clone(),
        limits: hem.limits,
    })
}

impl Errand for RegisterHem {
    type Answer = IssuedKey;
    const KIND: Kind = Kind::Write;

    fn carry_out(
        self,
        clerk: &Clerk,
        facts: &mut Vec<Fact>,
    ) -> Result<Self::Answer, RegistryError> {
        let key = clerk.randomness().device_key()?;
        let hem = clerk.registry().register_hem(&NewHem {
            id: self.id,
            microgrid: self.microgrid,
            name: self.name.map(|name| valid::name("name", &name)).transpose()?,
            key: SecretHash::of(&key),
            created: clerk.now(),
        })?;
        facts.push(changed(&hem));
        Ok(IssuedKey { hem, key })
    }
}

impl Errand for GetHem {
    type Answer = Hem;
    const KIND: Kind = Kind::Read;

    fn carry_out(self, clerk: &Clerk, _: &mut Vec<Fact>) -> Result<Self::Answer, RegistryError> {
        clerk.registry().hem(&self.id)
    }
}

impl Errand for ListHems {
    type Answer = Listing<Hem>;
    const KIND: Kind = Kind::Read;

    fn carry_out(self, clerk: &Clerk, _: &mut Vec<Fact>) -> Result<Self::Answer, RegistryError> {
        clerk.registry().hems(self.microgrid.as_ref(), &self.page)
    }
}

impl Errand for UpdateHem {
    type Answer = Hem;
    const KIND: Kind = Kind::Write;

    fn carry_out(
        self,
        clerk: &Clerk,
        facts: &mut Vec<Fact>,
    ) -> Result<Self::Answer, RegistryError> {
        let change = HemChange {
            name: self.change.name.map(|name| valid::name("name", &name)).transpose()?,
            ..self.change
        };
        valid::limit("import_limit_watts", change.import_watts.flatten())?;
        valid::limit("export_limit_watts", change.export_watts.flatten())?;
        let hem = clerk.registry().update_hem(&self.id, &change)?;
        facts.push(changed(&hem));
        Ok(hem)
    }
}

impl Errand for DeleteHem {
    type Answer = ();
    const KIND: Kind = Kind::Write;

    fn carry_out(
        self,
        clerk: &Clerk,
        facts: &mut Vec<Fact>,
    ) -> Result<Self::Answer, RegistryError> {
        let hem = clerk.registry().delete_hem(&self.id)?;
        facts.push(Fact::CutHem(CutHem { hem: hem.id.clone() }));
        facts.push(Fact::HemRemoved(HemRemoved { hem: hem.id, microgrid: hem.microgrid }));
        Ok(())
    }
}

impl Errand for RotateHemKey {
    type Answer = IssuedKey;
    const KIND: Kind = Kind::Write;

    fn carry_out(
        self,
        clerk: &Clerk,
        facts: &mut Vec<Fact>,
    ) -> Result<Self::Answer, RegistryError> {
        let key = clerk.randomness().device_key()?;
        let hem = clerk.registry().rotate_key(&self.id, &SecretHash::of(&key))?;
        facts.push(Fact::CutHem(CutHem { hem: hem.id.clone() }));
        Ok(IssuedKey { hem, key })
    }
}

impl Errand for RevokeHemKey {
    type Answer = Hem;
    const KIND: Kind = Kind::Write;

    fn carry_out(
        self,
        clerk: &Clerk,
        facts: &mut Vec<Fact>,
    ) -> Result<Self::Answer, RegistryError> {
        let hem = clerk.registry().revoke_key(&self.id)?;
        facts.push(Fact::CutHem(CutHem { hem: hem.id.clone() }));
        Ok(hem)
    }
}
