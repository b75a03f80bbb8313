//! Microgrids, HEMs, tokens and jobs, made, listed, changed and deleted.

use serde_json::{Value, json};

use super::world::{World, as_caller, with_api};

#[test]
fn a_microgrid_with_its_homes_lives_its_life() {
    with_api(|world| async move {
        let new = json!({"id": "fontana", "name": "Fontana", "time_zone": "America/Los_Angeles"});
        let made = world.ask("POST", "/microgrids", Some(new.clone())).await;
        assert_eq!((made.status, made.header("location")), (201, "/api/v1/microgrids/fontana"));
        assert_eq!(made.json()["limits"], json!({"import_watts": null, "export_watts": null}));
        assert_eq!(world.ask("POST", "/microgrids", Some(new)).await.problem(), "already-exists");

        let home = json!({"id": "home-1", "microgrid": "fontana"});
        let registered = world.ask("POST", "/hems", Some(home)).await;
        assert_eq!(registered.status, 201);
        let keys: Vec<_> = registered.json().as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["id", "key"]);

        let change = json!({"name": "New", "limits": {"import_watts": 5000}});
        let changed = world.ask("PATCH", "/microgrids/fontana", Some(change)).await.json();
        assert_eq!(
            (&changed["name"], &changed["limits"]["import_watts"]),
            (&json!("New"), &json!(5000.0))
        );
        assert_eq!(changed["time_zone"], "America/Los_Angeles");
        let unlimited = json!({"limits": {}});
        let changed = world.ask("PATCH", "/microgrids/fontana", Some(unlimited)).await.json();
        assert_eq!(changed["limits"]["import_watts"], Value::Null);

        assert_eq!(world.ask("DELETE", "/microgrids/fontana", None).await.problem(), "in-use");
        assert_eq!(world.ask("DELETE", "/hems/home-1", None).await.status, 204);
        assert_eq!(world.ask("GET", "/hems/home-1", None).await.status, 404);
        assert_eq!(world.ask("DELETE", "/microgrids/fontana", None).await.status, 204);
        assert_eq!(
            world.ask("GET", "/microgrids", None).await.json(),
            json!({"items": [], "next": null})
        );
    });
}

#[test]
fn a_value_that_cannot_be_is_named() {
    with_api(|world| async move {
        for (body, field) in [
            (json!({"id": "m", "name": "M", "time_zone": "Mars/Olympus"}), "time_zone"),
            (json!({"id": "m", "name": "  "}), "name"),
            (
                json!({"id": "m", "name": "M", "limits": {"import_watts": -1}}),
                "limits.import_watts",
            ),
        ] {
            let answer = world.ask("POST", "/microgrids", Some(body)).await;
            assert_eq!(answer.problem(), "invalid-value", "{}", answer.body);
            assert!(
                answer.json()["detail"].as_str().unwrap().starts_with(field),
                "{}",
                answer.body
            );
        }
    });
}

async fn all_pages(world: &World, path: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut after = String::new();
    loop {
        let page = world.ask("GET", &format!("{path}limit=2{after}"), None).await;
        ids.extend(page.ids());
        match page.json()["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return ids,
        }
    }
}

#[test]
fn page_by_page_a_list_shows_each_item_once() {
    with_api(|world| async move {
        world.populate("m", &["a", "b", "c", "d", "e"]).await;
        world.populate("n", &["f"]).await;
        assert_eq!(all_pages(&world, "/hems?").await, ["a", "b", "c", "d", "e", "f"]);
        assert_eq!(all_pages(&world, "/hems?microgrid=m&").await, ["a", "b", "c", "d", "e"]);
        assert_eq!(all_pages(&world, "/microgrids/m/hems?").await, ["a", "b", "c", "d", "e"]);
        assert_eq!(all_pages(&world, "/microgrids?").await, ["m", "n"]);
        let first = world.ask("GET", "/hems?limit=1", None).await.json();
        let foreign = format!("/microgrids?after={}", first["next"].as_str().unwrap());
        assert_eq!(world.ask("GET", &foreign, None).await.problem(), "bad-cursor");
    });
}

#[test]
fn a_post_that_is_sent_again_is_done_once() {
    with_api(|world| async move {
        let post = |key: &'static str, path: &'static str, body: Value| {
            let request = as_caller(&world.admin, "POST", path, Some(body));
            world.send(request.insert_header(("Idempotency-Key", key)))
        };
        let microgrid = json!({"id": "m", "name": "M"});
        let first = post("k1", "/microgrids", microgrid.clone()).await;
        let again = post("k1", "/microgrids", microgrid).await;
        assert_eq!((first.status, again.status), (201, 201));
        assert_eq!(first.body, again.body);
        assert_eq!(first.header("location"), again.header("location"));
        assert_eq!(again.header("idempotency-replayed"), "true");
        let other = post("k1", "/microgrids", json!({"id": "n", "name": "N"})).await;
        assert_eq!((other.status, other.problem().as_str()), (422, "key-reused"));

        let home = json!({"id": "h", "microgrid": "m"});
        assert_eq!(post("k2", "/hems", home.clone()).await.status, 201);
        let shown = post("k2", "/hems", home).await;
        assert_eq!((shown.status, shown.problem().as_str()), (409, "secret-shown"));
        assert_eq!(shown.json()["id"], "h");

        // A failure is not kept: when its cause is gone the same key works.
        let early = json!({"id": "i", "microgrid": "later"});
        assert_eq!(post("k3", "/hems", early.clone()).await.status, 404);
        world.populate("later", &[]).await;
        assert_eq!(post("k3", "/hems", early).await.status, 201);
        let bad = post("two words", "/microgrids", json!({"id": "x", "name": "X"})).await;
        assert_eq!(bad.problem(), "bad-header");
    });
}

#[test]
fn an_enrolment_token_is_shown_once_and_can_be_revoked() {
    with_api(|world| async move {
        world.populate("m", &[]).await;
        let path = "/microgrids/m/enrolment-tokens";
        let made = world.ask("POST", path, None).await;
        assert_eq!((made.status, &made.json()["uses"]), (201, &json!(1)));
        let secret = made.json()["token"].as_str().unwrap().to_owned();
        let list = world.ask("GET", path, None).await;
        assert_eq!(list.ids().len(), 1);
        assert!(!list.body.contains(&secret));
        let own = made.header("location").strip_prefix("/api/v1").unwrap();
        assert_eq!(world.ask("DELETE", own, None).await.status, 204);
        assert_eq!(world.ask("DELETE", own, None).await.problem(), "not-found");
        world.ask("POST", path, Some(json!({"uses": 5}))).await;
        assert_eq!(world.ask("DELETE", path, None).await.status, 204);
        assert!(world.ask("GET", path, None).await.ids().is_empty());
        assert_eq!(world.ask("DELETE", &format!("{path}/x"), None).await.problem(), "not-found");
    });
}

#[test]
fn a_key_can_be_rotated_and_revoked() {
    with_api(|world| async move {
        world.populate("m", &["h"]).await;
        let first = world.ask("POST", "/hems/h/key", None).await;
        let second = world.ask("POST", "/hems/h/key", None).await;
        assert_eq!((first.status, second.status), (201, 201));
        assert_ne!(first.json()["key"], second.json()["key"]);
        assert_eq!(world.ask("DELETE", "/hems/h/key", None).await.status, 204);
        assert_eq!(world.ask("GET", "/hems/h", None).await.json()["key"], "revoked");
    });
}

#[test]
fn a_job_is_deployed_changed_stopped_and_deleted() {
    with_api(|world| async move {
        world.populate("m", &[]).await;
        let apps = world.ask("GET", "/apps", None).await.json();
        assert_eq!(apps["items"][0]["name"], "energy-accounting");
        assert!(apps["items"][0]["configuration_schema"].is_object());

        let deploy = |body| world.ask("POST", "/microgrids/m/jobs", Some(body));
        let unknown = deploy(json!({"app": "fortune-telling"})).await;
        assert_eq!(unknown.problem(), "invalid-value");
        assert!(unknown.body.contains("energy-accounting"), "{}", unknown.body);
        let wrong = deploy(json!({"app": "limit-watch", "configuration": {"colour": 1}})).await;
        assert_eq!(wrong.problem(), "invalid-value");
        assert!(wrong.body.contains("colour"), "{}", wrong.body);
        let wrong = deploy(json!({"app": "energy-accounting", "priority": 1001})).await;
        assert_eq!(wrong.problem(), "invalid-value");

        let made = deploy(json!({"app": "energy-accounting", "priority": 7})).await;
        let job = made.header("location").strip_prefix("/api/v1").unwrap().to_owned();
        assert_eq!((made.status, &made.json()["state"]), (201, &json!("running")));
        let stopped = world.ask("PATCH", &job, Some(json!({"state": "stopped"}))).await.json();
        assert_eq!((&stopped["state"], &stopped["priority"]), (&json!("stopped"), &json!(7)));
        let failed = world.ask("PATCH", &job, Some(json!({"state": "failed"}))).await;
        assert_eq!(failed.problem(), "bad-body");
        assert_eq!(world.ask("GET", "/microgrids/m/jobs", None).await.ids().len(), 1);
        for list in ["log", "results"] {
            let answer = world.ask("GET", &format!("{job}/{list}"), None).await;
            assert_eq!(answer.json(), json!({"items": [], "next": null}));
        }
        assert_eq!(world.ask("DELETE", &job, None).await.status, 204);
        assert_eq!(world.ask("GET", &job, None).await.problem(), "not-found");
    });
}

#[test]
fn the_tree_shows_who_runs() {
    with_api(|world| async move {
        let tree = world.ask("GET", "/tree", None).await.json();
        let names: Vec<_> =
            tree["children"].as_array().unwrap().iter().map(|child| &child["name"]).collect();
        assert_eq!(names, ["cmo", "commands", "historian", "live-hub", "registrar", "status"]);
        let pruned = world.ask("GET", "/tree?children=1", None).await.json();
        assert_eq!(pruned["children"].as_array().unwrap().len(), 1);
        assert_eq!(pruned["more_children"], 5);
    });
}
