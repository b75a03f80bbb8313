//! Commands as REST shows them, with a stand-in for the ledger.

use std::time::Duration;

use futures_util::future::join;
use memcloud_domain::{
    Asker, Claim, ClaimFate, CommandAction, CommandId, CommandState, NodeId, NodeWhy, Role,
    Setting, Timestamp,
};
use serde_json::{Value, json};

use super::world::{NOW, World, as_caller, with_api};

fn board() -> Value {
    json!([
        {"node": 0, "name": "Grid", "kind": "grid", "controls": []},
        {"node": 2, "name": "Battery", "kind": "storage", "min_watts": -5000.0,
         "max_watts": 5000.0, "controls": ["switch", "set-power"]},
        {"node": 3, "name": "Essentials", "kind": "load", "critical": true},
        {"node": 5, "name": "Water heater", "kind": "load", "rated_watts": 4500.0}
    ])
}

fn off() -> Value {
    json!({"node": 5, "action": "switch", "on": false, "reason": "the feeder is full"})
}

async fn a_home(world: &World) {
    world.populate("m", &["h"]).await;
    world.declare("h", board()).await;
}

#[test]
fn a_command_is_taken_with_its_reason_and_can_be_followed() {
    with_api(|world| async move {
        a_home(&world).await;
        let operator = world.token(Role::Operator, Some("m")).await;
        let body = json!({
            "node": 2, "action": "set-power", "watts": -1500, "lease_seconds": 600,
            "expires_seconds": 30, "priority": 7, "reason": "evening peak"
        });
        let taken = world.ask_as(&operator, "POST", "/hems/h/commands", Some(body)).await;
        assert_eq!((taken.status, taken.header("location")), (202, "/api/v1/commands/c0001"));
        let command = taken.json();
        assert_eq!(command["state"], "accepted");
        assert_eq!(
            command["history"],
            json!([{"state": "accepted", "at": "2026-11-23T12:00:00Z"}])
        );
        assert_eq!(
            (&command["hem"], &command["node"], &command["watts"]),
            (&json!("h"), &json!(2), &json!(-1500.0))
        );
        assert_eq!((&command["lease_seconds"], &command["priority"]), (&json!(600.0), &json!(7)));
        assert_eq!(
            (&command["reason"], &command["asker"]["kind"]),
            (&json!("evening peak"), &json!("token"))
        );
        assert_eq!(command["expires"], "2026-11-23T12:00:30Z");
        assert_eq!(world.ask("GET", "/commands/c0001", None).await.json(), command);
        world.move_command("c0001", CommandState::Sent);
        let sent = world.ask("GET", "/commands/c0001", None).await.json();
        assert_eq!(
            (&sent["state"], sent["history"].as_array().unwrap().len()),
            (&json!("sent"), 2)
        );
        let known = world.known.lock().unwrap();
        let record = known.commands.values().next().unwrap();
        assert!(matches!(&record.asker, Asker::Token { name, .. } if name.starts_with("token")));
    });
}

#[test]
fn what_a_home_cannot_do_never_becomes_a_command() {
    with_api(|world| async move {
        a_home(&world).await;
        world.populate("n", &["silent"]).await;
        let post = async |path: &str, body: Value| world.ask("POST", path, Some(body)).await;
        let unknown =
            post("/hems/h/commands", json!({"node": 9, "action": "switch", "on": true})).await;
        assert_eq!((unknown.status, unknown.problem().as_str()), (422, "invalid-value"));
        assert!(unknown.body.contains("h has no node 9; it has 0, 2, 3, 5"), "{}", unknown.body);
        let too_much = json!({"node": 2, "action": "set-power", "watts": 9000});
        let too_much = post("/hems/h/commands", too_much).await;
        assert!(too_much.body.contains("from -5000 to 5000 W"), "{}", too_much.body);
        let silent = post("/hems/silent/commands", off()).await;
        assert!(silent.body.contains("connects for the first time"), "{}", silent.body);
        assert_eq!(post("/hems/nobody/commands", off()).await.problem(), "not-found");
        assert_eq!(
            post("/hems/h/commands", json!({"action": "explode"})).await.problem(),
            "bad-body"
        );
        let bad_wait = post("/hems/h/commands?wait=2h", off()).await;
        assert_eq!(bad_wait.problem(), "bad-query");

        world.known.lock().unwrap().full = Some("h".parse().unwrap());
        let full = post("/hems/h/commands", off()).await;
        assert_eq!((full.status, full.problem().as_str()), (429, "too-many-commands"));
        assert!(!full.header("retry-after").is_empty());
        world.known.lock().unwrap().is_away = true;
        assert_eq!(post("/hems/h/commands", off()).await.problem(), "unavailable");
        assert!(world.known.lock().unwrap().commands.is_empty());
    });
}

#[test]
fn who_may_only_look_commands_nothing_and_a_stranger_sees_nothing() {
    with_api(|world| async move {
        a_home(&world).await;
        world.populate("other", &[]).await;
        assert_eq!(world.ask("POST", "/hems/h/commands", Some(off())).await.status, 202);
        let viewer = world.token(Role::Viewer, Some("m")).await;
        let stranger = world.token(Role::Admin, Some("other")).await;
        let ask = async |token: &str, method: &str, path: &str| {
            let body = (method == "POST").then(off);
            world.ask_as(token, method, path, body).await
        };
        assert_eq!(ask(&viewer, "POST", "/hems/h/commands").await.problem(), "forbidden");
        assert_eq!(ask(&viewer, "POST", "/microgrids/m/commands").await.problem(), "forbidden");
        assert_eq!(ask(&viewer, "DELETE", "/commands/c0001").await.problem(), "forbidden");
        assert_eq!(ask(&viewer, "GET", "/commands/c0001").await.status, 200);
        assert_eq!(ask(&viewer, "GET", "/commands").await.ids(), ["c0001"]);
        for (method, path) in [
            ("POST", "/hems/h/commands"),
            ("POST", "/microgrids/m/commands"),
            ("GET", "/commands/c0001"),
            ("DELETE", "/commands/c0001"),
            ("GET", "/commands?microgrid=m"),
            ("GET", "/hems/h/why"),
            ("GET", "/microgrids/m/why"),
        ] {
            assert_eq!(
                ask(&stranger, method, path).await.problem(),
                "not-found",
                "{method} {path}"
            );
        }
        assert!(ask(&stranger, "GET", "/commands?hem=h").await.ids().is_empty());
        let absent = ask(&stranger, "GET", "/commands/c0002").await;
        let foreign = ask(&stranger, "GET", "/commands/c0001").await;
        assert_eq!(absent.body.replace("c0002", "c0001"), foreign.body);
    });
}

#[test]
fn who_waits_is_answered_when_the_command_is_decided() {
    with_api(|world| async move {
        a_home(&world).await;
        let begun = world.clock.instant();
        let waiting = world.ask("POST", "/hems/h/commands?wait=30s", Some(off()));
        let happening = async {
            for state in [CommandState::Sent, CommandState::Acknowledged, CommandState::Effective] {
                world.clock.sleep(Duration::from_millis(300)).await;
                world.move_command("c0001", state);
            }
        };
        let (answer, ()) = join(waiting, happening).await;
        assert_eq!((answer.status, &answer.json()["state"]), (202, &json!("effective")));
        let took = world.clock.instant() - begun;
        assert!(took < Duration::from_millis(1_000), "{took:?}");

        // A hint that is lost costs a moment.
        let waiting = world.ask("POST", "/hems/h/commands?wait=30s", Some(off()));
        let silently = async {
            world.clock.sleep(Duration::from_millis(300)).await;
            let id = CommandId::new("c0002").unwrap();
            world.known.lock().unwrap().moved(&id, CommandState::Refused);
        };
        let begun = world.clock.instant();
        let (answer, ()) = join(waiting, silently).await;
        assert_eq!(answer.json()["state"], "refused");
        let took = world.clock.instant() - begun;
        assert!(took < Duration::from_secs(3), "{took:?}");
    });
}

#[test]
fn when_the_time_is_over_a_command_is_answered_as_it_is() {
    with_api(|world| async move {
        a_home(&world).await;
        let begun = world.clock.instant();
        let answer = world.ask("POST", "/hems/h/commands?wait=5s", Some(off())).await;
        assert_eq!((answer.status, &answer.json()["state"]), (202, &json!("accepted")));
        let took = world.clock.instant() - begun;
        assert!((Duration::from_secs(5)..Duration::from_millis(5_100)).contains(&took), "{took:?}");
        // `acknowledged` is the end of a restart, and not of a switch.
        world.move_command("c0001", CommandState::Acknowledged);
        let answer = world.ask("GET", "/commands/c0001?wait=1s", None).await;
        assert_eq!((answer.status, &answer.json()["state"]), (200, &json!("acknowledged")));
        assert!(world.clock.instant() - begun >= Duration::from_secs(6));
        world.ask("POST", "/hems/h/commands", Some(json!({"action": "restart"}))).await;
        world.move_command("c0002", CommandState::Acknowledged);
        let begun = world.clock.instant();
        let answer = world.ask("GET", "/commands/c0002?wait=60s", None).await;
        assert_eq!(answer.json()["state"], "acknowledged");
        assert_eq!(world.clock.instant() - begun, Duration::ZERO);
    });
}

#[test]
fn a_command_that_is_sent_again_is_made_once_and_shows_how_far_it_is() {
    with_api(|world| async move {
        a_home(&world).await;
        let post = async |query: &str| {
            let request =
                as_caller(&world.admin, "POST", &format!("/hems/h/commands{query}"), Some(off()));
            world.send(request.insert_header(("Idempotency-Key", "k1"))).await
        };
        let first = post("").await;
        world.move_command("c0001", CommandState::Effective);
        let again = post("").await;
        assert_eq!((again.status, again.header("idempotency-replayed")), (202, "true"));
        assert_eq!(first.body, again.body);
        let newest = post("?wait=5s").await;
        assert_eq!((newest.status, newest.header("idempotency-replayed")), (202, "true"));
        assert_eq!(
            (&newest.json()["id"], &newest.json()["state"]),
            (&json!("c0001"), &json!("effective"))
        );
        assert_eq!(world.known.lock().unwrap().commands.len(), 1);
    });
}

#[test]
fn a_command_is_taken_back_until_it_was_sent() {
    with_api(|world| async move {
        a_home(&world).await;
        for _ in 0..2 {
            world.ask("POST", "/hems/h/commands", Some(off())).await;
        }
        let cancelled = world.ask("DELETE", "/commands/c0001", None).await;
        assert_eq!((cancelled.status, &cancelled.json()["state"]), (200, &json!("cancelled")));
        world.move_command("c0002", CommandState::Sent);
        let late = world.ask("DELETE", "/commands/c0002", None).await;
        assert_eq!((late.status, late.problem().as_str()), (409, "too-late"));
        assert_eq!((&late.json()["state"], &late.json()["id"]), (&json!("sent"), &json!("c0002")));
        assert_eq!(world.ask("DELETE", "/commands/nothing", None).await.problem(), "not-found");
    });
}

#[test]
fn the_ledger_is_listed_page_by_page_the_newest_first() {
    with_api(|world| async move {
        a_home(&world).await;
        world.populate("n", &["i"]).await;
        world.declare("i", board()).await;
        for hem in ["h", "h", "i", "h", "i"] {
            let taken = world.ask("POST", &format!("/hems/{hem}/commands"), Some(off())).await;
            assert_eq!(taken.status, 202);
        }
        world.move_command("c0002", CommandState::Expired);
        let all = async |query: &str| {
            let mut ids = Vec::new();
            let mut after = String::new();
            loop {
                let page =
                    world.ask("GET", &format!("/commands?limit=2{query}{after}"), None).await;
                assert!(page.ids().len() <= 2);
                ids.extend(page.ids());
                match page.json()["next"].as_str() {
                    Some(next) => after = format!("&after={next}"),
                    None => return ids,
                }
            }
        };
        assert_eq!(all("").await, ["c0005", "c0004", "c0003", "c0002", "c0001"]);
        assert_eq!(all("&hem=h").await, ["c0004", "c0002", "c0001"]);
        assert_eq!(all("&microgrid=n").await, ["c0005", "c0003"]);
        assert_eq!(all("&state=expired").await, ["c0002"]);
        assert_eq!(world.ask("GET", "/commands?state=gone", None).await.problem(), "bad-query");
        assert_eq!(world.ask("GET", "/commands?after=x", None).await.problem(), "bad-cursor");
    });
}

#[test]
fn a_command_for_many_is_never_all_or_nothing() {
    with_api(|world| async move {
        world.populate("m", &["a", "b", "c", "d"]).await;
        for hem in ["a", "b", "d"] {
            world.declare(hem, board()).await;
        }
        world.known.lock().unwrap().full = Some("b".parse().unwrap());
        let post =
            async |body: Value| world.ask("POST", "/microgrids/m/commands", Some(body)).await;
        let taken = post(json!({"kind": "storage", "action": "set-power", "watts": 1500})).await;
        assert_eq!(taken.status, 202);
        let taken = taken.json();
        assert_eq!((&taken["accepted"], &taken["refused"]), (&json!(2), &json!(2)));
        let outcomes: Vec<_> = taken["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| {
                (
                    item["hem"].as_str().unwrap(),
                    item["node"].as_u64(),
                    item["problem"]["code"].as_str(),
                )
            })
            .collect();
        assert_eq!(
            outcomes,
            [
                ("a", Some(2), None),
                ("b", Some(2), Some("too-many-commands")),
                ("c", None, Some("invalid-value")),
                ("d", Some(2), None),
            ]
        );
        let id = taken["items"][0]["command"].as_str().unwrap();
        assert_eq!(
            world.ask("GET", &format!("/commands/{id}"), None).await.json()["watts"],
            1500.0
        );

        // Critical nodes are passed over unless they are meant; names do not mind their case.
        let nodes = async |body: Value| {
            let taken = post(body).await.json();
            let items = taken["items"].as_array().unwrap();
            items.iter().filter_map(|item| item["node"].as_u64()).collect::<Vec<_>>()
        };
        let mut loads = json!({"hems": ["a"], "kind": "load", "action": "switch", "on": false});
        assert_eq!(nodes(loads.clone()).await, [5]);
        loads["critical"] = json!(true);
        assert_eq!(nodes(loads).await, [3, 5]);
        let named = json!({"hems": ["d", "a", "a"], "name": "WATER heater", "action": "switch", "on": true});
        assert_eq!(nodes(named).await, [5, 5]);

        let restart = post(json!({"hems": ["a", "nobody"], "action": "restart"})).await.json();
        assert_eq!(
            (&restart["accepted"], &restart["items"][1]["problem"]["code"]),
            (&json!(1), &json!("not-found"))
        );
        for (body, sentence) in [
            (json!({"action": "switch", "on": false}), "kind: say which nodes"),
            (json!({"kind": "load", "action": "restart"}), "kind: restart is for the HEM itself"),
            (json!({"hems": [], "action": "restart"}), "hems: name from 1 to 1000"),
            (json!({"kind": "load", "action": "switch"}), "on: switch needs it"),
        ] {
            let refused = post(body).await;
            assert_eq!(refused.problem(), "invalid-value");
            assert!(
                refused.json()["detail"].as_str().unwrap().starts_with(sentence),
                "{}",
                refused.body
            );
        }
    });
}

fn why(hem: &str, node: u8) -> NodeWhy {
    NodeWhy {
        hem: hem.parse().unwrap(),
        node: NodeId(node),
        sentence: "Off, because the home's people want it so.".to_owned(),
        since: Timestamp(NOW),
        settings: Vec::new(),
        claims: vec![Claim {
            asker: None,
            setting: Setting::Switch { on: false },
            priority: 0,
            until: Some(Timestamp(NOW + 7_200_000)),
            reason: "a button".to_owned(),
            fate: ClaimFate::Holds,
            because: "the home's people win".to_owned(),
        }],
    }
}

#[test]
fn why_is_answered_for_a_home_and_page_by_page_for_a_microgrid() {
    with_api(|world| async move {
        world.populate("m", &["h", "i"]).await;
        world.known.lock().unwrap().whys =
            vec![why("h", 2), why("h", 5), why("i", 2), why("i", 5), why("i", 7)];
        let home = world.ask("GET", "/hems/h/why", None).await.json();
        assert_eq!(home["items"].as_array().unwrap().len(), 2);
        let first = &home["items"][0];
        assert_eq!(
            (&first["settings"], &first["since"]),
            (&json!([]), &json!("2026-11-23T12:00:00Z"))
        );
        let claim = &first["claims"][0];
        assert_eq!(
            (&claim["by"], &claim["action"], &claim["on"], &claim["fate"]),
            (&Value::Null, &json!("switch"), &json!(false), &json!("holds"))
        );
        let mut seen = Vec::new();
        let mut after = String::new();
        loop {
            let page =
                world.ask("GET", &format!("/microgrids/m/why?limit=2{after}"), None).await.json();
            for item in page["items"].as_array().unwrap() {
                seen.push(format!("{}/{}", item["hem"].as_str().unwrap(), item["node"]));
            }
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        assert_eq!(seen, ["h/2", "h/5", "i/2", "i/5", "i/7"]);
        assert_eq!(
            world.ask("GET", "/microgrids/m/why?after=x", None).await.problem(),
            "bad-cursor"
        );
    });
}

#[test]
fn the_priority_of_set_priority_is_the_nodes() {
    with_api(|world| async move {
        a_home(&world).await;
        let body = json!({"node": 5, "action": "set-priority", "priority": 40});
        let command = world.ask("POST", "/hems/h/commands", Some(body)).await.json();
        assert_eq!(command["priority"], 40);
        let known = world.known.lock().unwrap();
        let record = known.commands.values().next().unwrap();
        assert_eq!(record.action, CommandAction::SetPriority { priority: 40 });
        assert_eq!(record.priority, 0);
    });
}
