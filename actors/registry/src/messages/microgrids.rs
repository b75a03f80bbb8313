//! Microgrids: made, read, changed, deleted.

use actix::Message;
use memcloud_domain::MicrogridId;
use memcloud_domain::messages::{MicrogridChanged, MicrogridProfile, MicrogridRemoved};
use memcloud_store::registry::{
    Listing, Microgrid, MicrogridChange, NewMicrogrid, PageRequest, RegistryError,
};

use crate::clerk::{Clerk, Errand, Kind};
use crate::followers::Fact;
use crate::messages::valid;

/// REST and the command line have a microgrid made. `AlreadyExists`; `Invalid` time zone, name or limit.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Microgrid, RegistryError>")]
pub struct CreateMicrogrid(pub NewMicrogrid);

/// REST asks for a microgrid. `NotFound`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Microgrid, RegistryError>")]
pub struct GetMicrogrid {
    /// Which microgrid.
    pub id: MicrogridId,
}

/// REST and the command line ask for microgrids, by id.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Listing<Microgrid>, RegistryError>")]
pub struct ListMicrogrids {
    /// Which page.
    pub page: PageRequest,
}

/// REST has a microgrid changed. `NotFound`; `Invalid`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Microgrid, RegistryError>")]
pub struct UpdateMicrogrid {
    /// Which microgrid.
    pub id: MicrogridId,
    /// What is to change.
    pub change: MicrogridChange,
}

/// REST has an empty microgrid deleted, with its enrolment and API tokens. `NotFound`; `InUse` while
/// it has HEMs or jobs.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), RegistryError>")]
pub struct DeleteMicrogrid {
    /// Which microgrid.
    pub id: MicrogridId,
}

fn changed(microgrid: &Microgrid) -> Fact {
    Fact::MicrogridChanged(MicrogridChanged {
        profile: MicrogridProfile {
            id: microgrid.id.clone(),
            time_zone: microgrid.time_zone.clone(),
        },
    })
}

impl Errand for CreateMicrogrid {
    type Answer = Microgrid;
    const KIND: Kind = Kind::Write;

    fn carry_out(
        self,
        clerk: &Clerk,
        facts: &mut Vec<Fact>,
    ) -> Result<Self::Answer, RegistryError> {
        let Self(new) = self;
        let microgrid = Microgrid {
            id: new.id,
            name: valid::name("name", &new.name)?,
            time_zone: match new.time_zone {
                Some(time_zone) => valid::time_zone(&time_zone)?,
                None => "UTC".to_owned(),
            },
            limits: new.limits,
            created: clerk.now(),
        };
        valid::limit("import_limit_watts", microgrid.limits.import_watts)?;
        valid::limit("export_limit_watts", microgrid.limits.export_watts)?;
        clerk.registry().create_microgrid(&microgrid)?;
        facts.push(changed(&microgrid));
        Ok(microgrid)
    }
}

impl Errand for GetMicrogrid {
    type Answer = Microgrid;
    const KIND: Kind = Kind::Read;

    fn carry_out(self, clerk: &Clerk, _: &mut Vec<Fact>) -> Result<Self::Answer, RegistryError> {
        clerk.registry().microgrid(&self.id)
    }
}

impl Errand for ListMicrogrids {
    type Answer = Listing<Microgrid>;
    const KIND: Kind = Kind::Read;

    fn carry_out(self, clerk: &Clerk, _: &mut Vec<Fact>) -> Result<Self::Answer, RegistryError> {
        clerk.registry().microgrids(&self.page)
    }
}

impl Errand for UpdateMicrogrid {
    type Answer = Microgrid;
    const KIND: Kind = Kind::Write;

    fn carry_out(
        self,
        clerk: &Clerk,
        facts: &mut Vec<Fact>,
    ) -> Result<Self::Answer, RegistryError> {
        let change = MicrogridChange {
            name: self.change.name.map(|name| valid::name("name", &name)).transpose()?,
            time_zone: self.change.time_zone.map(|zone| valid::time_zone(&zone)).transpose()?,
            import_watts: self.change.import_watts,
            export_watts: self.change.export_watts,
        };
        valid::limit("import_limit_watts", change.import_watts.flatten())?;
        valid::limit("export_limit_watts", change.export_watts.flatten())?;
        let microgrid = clerk.registry().update_microgrid(&self.id, &change)?;
        facts.push(changed(&microgrid));
        Ok(microgrid)
    }
}

impl Errand for DeleteMicrogrid {
    type Answer = ();
    const KIND: Kind = Kind::Write;

    fn carry_out(
        self,
        clerk: &Clerk,
        facts: &mut Vec<Fact>,
    ) -> Result<Self::Answer, RegistryError> {
        clerk.registry().delete_microgrid(&self.id)?;
        facts.push(Fact::MicrogridRemoved(MicrogridRemoved { microgrid: self.id }));
        Ok(())
    }
}
