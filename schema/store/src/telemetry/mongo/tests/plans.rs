//! That questions are answered by an index.

use std::collections::BTreeSet;

use mongodb::bson::Bson;

use super::*;
use crate::telemetry::buckets::Level;
use crate::telemetry::rows::Window;

/// The names of all stages of a plan.
fn stages(plan: &Bson, found: &mut BTreeSet<String>) {
    match plan {
        Bson::Document(document) => {
            for (key, value) in document {
                if key == "stage"
                    && let Bson::String(stage) = value
                {
                    found.insert(stage.clone());
                }
                stages(value, found);
            }
        }
        Bson::Array(values) => values.iter().for_each(|value| stages(value, found)),
        _ => {}
    }
}

#[test]
fn questions_about_a_hem_are_answered_by_an_index_and_without_sorting() {
    let Some(_) = server() else { return };
    let house = House::new();
    house.open("h");
    for seq in 0..4 {
        house.commit("h", 1, (seq * 10 + 1..=seq * 10 + 10).map(at).collect());
    }
    house.upkeep(UpkeepTask::Seal, T0);
    house.upkeep(UpkeepTask::RollUp, T0 + HOUR);
    let window =
        Window { first_seq: 3, last_seq: 30, min_ts: T0, max_ts: T0 + HOUR, ..Window::all(1) };
    let numbers = documents::numbers(1, 3, 30);
    let minutes = documents::buckets(1, Level::Minute, T0, T0 + HOUR);
    for (collection, filter, sort) in [
        (HEMS, doc! { "hem": "h" }, doc! {}),
        (HEMS, doc! { "microgrid": "fontana" }, doc! { "hem": 1 }),
        (HEMS, doc! { "sealable": true, "hot": { "$gte": 3 } }, doc! {}),
        (documents::MICROGRIDS, doc! { "moving": true }, doc! {}),
        (documents::RUNS, rows::runs_in(&window, 3), doc! { "_id": -1 }),
        (documents::CHUNKS, rows::chunks_in(&window), doc! { "_id.s": 1 }),
        (documents::CHUNKS, rows::chunks_in(&window), doc! { "_id.s": -1 }),
        (documents::CHUNKS, doc! { "_id.h": 1_i64, "last_seq": { "$gt": 3 } }, doc! {}),
        (documents::EVENTS, doc! { "_id": numbers, "ts": { "$gte": T0 } }, doc! { "_id": 1 }),
        (documents::ROLLUPS, doc! { "_id": minutes.clone() }, doc! { "_id": 1 }),
        (documents::ROLLUPS, doc! { "_id": minutes.clone() }, doc! { "_id": -1 }),
        (DIRTY, doc! { "_id": minutes }, doc! { "_id": 1 }),
        (DIRTY, doc! { "_id.l": 0, "due": { "$lte": T0 } }, doc! { "due": 1 }),
    ] {
        let find = doc! { "find": collection, "filter": filter.clone(), "sort": sort };
        let explain = doc! { "explain": find, "verbosity": "queryPlanner" };
        let server = &house.store.server;
        let told = server.wait(async { server.database.run_command(explain).await }).unwrap();
        let plan = told.get_document("queryPlanner").unwrap().get("winningPlan").unwrap();
        let mut found = BTreeSet::new();
        stages(plan, &mut found);
        let by_index = found.contains("IXSCAN") || found.contains("IDHACK");
        let sorted = found.contains("SORT");
        assert!(
            by_index && !found.contains("COLLSCAN") && !sorted,
            "{collection} {filter}: {found:?}"
        );
    }
}
