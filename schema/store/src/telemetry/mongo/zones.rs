//! Time zones of microgrids: where one changes, or a HEM comes from another microgrid, its days are
//! dropped and marked, one HEM at a time.

use std::collections::BTreeSet;

use chrono_tz::Tz;
use memcloud_domain::MicrogridId;
use mongodb::ClientSession;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};

use super::MongoTelemetry;
use super::documents::{
    BucketKey, DIRTY, HEMS, HemDocument, MICROGRIDS, MicrogridDocument, ROLLUPS, buckets,
};
use super::rows::{Keyed, Snapshot};
use super::server::{Server, is_duplicate};
use super::transaction::{Failure, update};
use crate::StoreError;
use crate::telemetry::buckets::Level;
use crate::telemetry::rows::parse_zone;

impl MongoTelemetry {
    pub(super) fn record_zone(
        &self,
        microgrid: &MicrogridId,
        time_zone: Tz,
    ) -> Result<(), StoreError> {
        let of_microgrid = doc! { "_id": microgrid.as_str() };
        let zone = time_zone.name();
        self.server.wait(async {
            let database = &self.server.database;
            let microgrids = database.collection::<MicrogridDocument>(MICROGRIDS);
            let known = microgrids.find_one(of_microgrid.clone()).await?;
            // Asked at every start, and hardly ever news.
            if known.is_some_and(|known| known.time_zone == zone) {
                return Ok(());
            }
            let change = doc! { "$set": { "time_zone": zone, "moving": true } };
            let recorded = microgrids.update_one(of_microgrid.clone(), change.clone()).upsert(true);
            match recorded.await {
                // Another process has just made it.
                Err(error) if is_duplicate(&error) => {
                    microgrids.update_one(of_microgrid, change).await.map(|_| ())
                }
                other => other.map(|_| ()),
            }
        })
    }

    /// Moves the days of one HEM to its microgrid's time zone. Says whether there may be more.
    pub(super) fn move_days(&self) -> Result<bool, StoreError> {
        let mut snapshot = Snapshot::open(&self.server)?;
        let moving = doc! { "moving": true };
        let moving: Option<MicrogridDocument> = snapshot.one(MICROGRIDS, moving, doc! {})?;
        let Some(microgrid) = moving else { return Ok(false) };
        let elsewhere = doc! {
            "microgrid": &microgrid.microgrid, "day_zone": { "$ne": &microgrid.time_zone },
        };
        let hem: Option<HemDocument> = snapshot.one(HEMS, elsewhere, doc! {})?;
        let Some(hem) = hem else {
            self.all_are_there(&microgrid)?;
            return Ok(true);
        };
        let quarters = doc! { "_id": buckets(hem.hem_no, Level::Quarter, i64::MIN, i64::MAX) };
        let quarters: Vec<Keyed<BucketKey>> =
            snapshot.parts(ROLLUPS, quarters, doc! { "_id": 1 }, None)?;
        let zone = parse_zone(&microgrid.time_zone);
        let days: BTreeSet<i64> =
            quarters.iter().map(|quarter| Level::Day.start(quarter.key.b, zone)).collect();
        self.write(async |session| {
            move_days(&self.server, session, &hem, &microgrid.time_zone, &days).await
        })?;
        Ok(true)
    }

    /// No HEM is left to move, unless its zone has changed or one has come since.
    fn all_are_there(&self, microgrid: &MicrogridDocument) -> Result<(), StoreError> {
        let mut unchanged = doc! {
            "_id": &microgrid.microgrid, "time_zone": &microgrid.time_zone,
        };
        // Absent where no HEM ever came.
        let joined = if microgrid.joined == 0 {
            doc! { "$in": [null, 0_i64] }
        } else {
            doc! { "$eq": microgrid.joined }
        };
        unchanged.insert("joined", joined);
        let microgrids = self.server.database.collection::<Document>(MICROGRIDS);
        let done = doc! { "$set": { "moving": false } };
        self.server.wait(async { microgrids.update_one(unchanged, done).await })?;
        Ok(())
    }
}

async fn move_days(
    server: &Server,
    session: &mut ClientSession,
    hem: &HemDocument,
    zone: &str,
    days: &BTreeSet<i64>,
) -> Result<(), Failure> {
    let from = doc! { "_id": hem.hem_no, "day_zone": &hem.day_zone };
    let change = doc! { "$set": { "day_zone": zone }, "$inc": { "rolled": 1_i64 } };
    if update(server, session, HEMS, vec![doc! { "q": from, "u": change }]).await? == 0 {
        // Another process did it.
        return Ok(());
    }
    let all_days = doc! { "_id": buckets(hem.hem_no, Level::Day, i64::MIN, i64::MAX) };
    for collection in [ROLLUPS, DIRTY] {
        let collection = server.database.collection::<Document>(collection);
        collection.delete_many(all_days.clone()).session(&mut *session).await?;
    }
    let marks = days.iter().map(|start| {
        let key = BucketKey::new(hem.hem_no, Level::Day, *start).document();
        let mark = doc! { "from_seq": 0_i64, "due": 0_i64, "stamp": ObjectId::new() };
        doc! { "q": { "_id": key }, "u": { "$set": mark }, "upsert": true }
    });
    update(server, session, DIRTY, marks.collect()).await?;
    Ok(())
}
