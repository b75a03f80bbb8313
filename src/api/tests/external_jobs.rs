//! Jobs that run elsewhere: their tokens, wishes and limits.

use std::time::Duration;

use actix_web::test::TestRequest;
use memcloud_domain::{Role, Setting, Watts};
use serde_json::{Value, json};

use super::world::{World, as_caller, with_api};

/// The path of a new job.
async fn deploy(world: &World, microgrid: &str, app: &str) -> String {
    let body = json!({"app": app});
    let made = world.ask("POST", &format!("/microgrids/{microgrid}/jobs"), Some(body)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    made.header("location").strip_prefix("/api/v1").unwrap().to_owned()
}

async fn token_of(world: &World, job: &str) -> String {
    let made = world.ask("POST", &format!("{job}/token"), None).await;
    assert_eq!(made.status, 201, "{}", made.body);
    made.json()["token"].as_str().unwrap().to_owned()
}

fn off(node: u8) -> Value {
    json!({"hem": "h", "node": node, "action": "switch", "on": false, "lease_seconds": 120,
           "reason": "12.4 of today's 12 kWh are used"})
}

#[test]
fn a_jobs_token_looks_at_its_microgrid_and_wishes_for_its_job_and_nothing_else() {
    with_api(|world| async move {
        world.populate("m", &["h"]).await;
        world.populate("n", &["i"]).await;
        let job = deploy(&world, "m", "external").await;
        let other = deploy(&world, "m", "external").await;
        let token = token_of(&world, &job).await;
        let ask = async |method: &str, path: &str, body: Option<Value>| {
            world.ask_as(&token, method, path, body).await
        };
        let me = ask("GET", "/session", None).await.json();
        assert_eq!((&me["role"], &me["microgrid"]), (&json!("job"), &json!("m")));
        assert!(job.ends_with(me["job"].as_str().unwrap()));
        assert_eq!(ask("GET", "/hems", None).await.ids(), ["h"]);
        assert_eq!(ask("GET", "/hems/i", None).await.problem(), "not-found");
        let wishes = json!({"wishes": [off(5)]});
        assert_eq!(ask("POST", &format!("{job}/wishes"), Some(wishes.clone())).await.status, 200);
        let foreign = ask("POST", &format!("{other}/wishes"), Some(wishes.clone())).await;
        assert_eq!(foreign.problem(), "forbidden");
        for (method, path) in [
            ("POST", format!("{job}/token")),
            ("DELETE", format!("{job}/token")),
            ("DELETE", job.clone()),
            ("POST", "/hems/h/key".to_owned()),
        ] {
            assert_eq!(ask(method, &path, None).await.problem(), "forbidden", "{method} {path}");
        }
        let command = json!({"action": "restart"});
        assert_eq!(ask("POST", "/hems/h/commands", Some(command)).await.problem(), "forbidden");
        // Operators may try a job's wishes out; viewers may not.
        let operator = world.token(Role::Operator, Some("m")).await;
        let path = format!("{job}/wishes");
        assert_eq!(world.ask_as(&operator, "POST", &path, Some(wishes.clone())).await.status, 200);
        let viewer = world.token(Role::Viewer, Some("m")).await;
        assert_eq!(world.ask_as(&viewer, "POST", &path, Some(wishes)).await.problem(), "forbidden");
    });
}

#[test]
fn each_wish_is_taken_or_refused_by_itself() {
    with_api(|world| async move {
        world.populate("m", &["h"]).await;
        let job = deploy(&world, "m", "external").await;
        let path = format!("{job}/wishes");
        let body = json!({
            "wishes": [
                off(5),
                off(9),
                {"hem": "h", "node": 5, "action": "set-power", "lease_seconds": 60, "reason": ""},
                {"hem": "h", "node": 5, "action": "limit-power", "watts": 800, "lease_seconds": 60, "reason": "less"}
            ],
            "withdraw": [{"hem": "h", "node": 4}]
        });
        let answer = world.ask("POST", &path, Some(body)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let answer = answer.json();
        assert_eq!(
            (&answer["taken"], &answer["refused"], &answer["standing"]),
            (&json!(2), &json!(2), &json!(2))
        );
        let taken: Vec<_> =
            answer["items"].as_array().unwrap().iter().map(|item| &item["taken"]).collect();
        assert_eq!(taken, [true, false, false, true]);
        assert_eq!(answer["items"][1]["because"], "h has no node 9");
        assert_eq!(answer["items"][2]["because"], "watts: a power needs it");
        {
            let known = world.known.lock().unwrap();
            let submitted = &known.submitted[0];
            assert_eq!(submitted.wishes.len(), 3);
            assert_eq!(submitted.wishes[2].setting, Setting::Limit { watts: Watts(800.0) });
            assert_eq!(submitted.wishes[0].lease_ms, 120_000);
            assert_eq!(submitted.withdrawn.len(), 1);
        }
        // Nothing is a sign of life, and still reaches dispatch.
        let alive = world.ask("POST", &path, None).await;
        assert_eq!((alive.status, &alive.json()["items"]), (200, &json!([])));
        assert_eq!(world.known.lock().unwrap().submitted.len(), 2);
        let many = json!({"wishes": vec![off(5); 1_001]});
        assert_eq!(world.ask("POST", &path, Some(many)).await.problem(), "invalid-value");
        let wrong = json!({"wishes": [{"hem": "h", "node": 5, "action": "restart"}]});
        let wrong = world.ask("POST", &path, Some(wrong)).await;
        assert_eq!(wrong.problem(), "bad-body");
        assert!(wrong.body.contains("wishes[0].action"), "{}", wrong.body);
    });
}

#[test]
fn a_jobs_token_is_shown_once_replaced_by_the_next_and_gone_with_the_job() {
    with_api(|world| async move {
        world.populate("m", &["h"]).await;
        let job = deploy(&world, "m", "external").await;
        let request = || {
            as_caller(&world.admin, "POST", &format!("{job}/token"), None)
                .insert_header(("Idempotency-Key", "k1"))
        };
        let first = world.send(request()).await;
        assert_eq!(first.status, 201);
        assert_eq!(world.send(request()).await.problem(), "secret-shown");
        let first = first.json()["token"].as_str().unwrap().to_owned();
        let is_good =
            async |token: &str| world.ask_as(token, "GET", "/session", None).await.status == 200;
        assert!(is_good(&first).await);
        let second = token_of(&world, &job).await;
        assert!(!is_good(&first).await && is_good(&second).await);
        let path = format!("{job}/token");
        assert_eq!(world.ask("DELETE", &path, None).await.status, 204);
        assert!(!is_good(&second).await);
        assert_eq!(world.ask("DELETE", &path, None).await.problem(), "not-found");
        let third = token_of(&world, &job).await;
        assert_eq!(world.ask("DELETE", &job, None).await.status, 204);
        assert!(!is_good(&third).await);

        let own_wishes = deploy(&world, "m", "energy-accounting").await;
        let refused = world.ask("POST", &format!("{own_wishes}/token"), None).await;
        assert_eq!((refused.status, refused.problem().as_str()), (409, "not-external"));
    });
}

#[test]
fn a_program_that_hammers_is_refused_after_a_pause_and_its_neighbours_are_not() {
    with_api(|world| async move {
        world.populate("m", &["h"]).await;
        let job = deploy(&world, "m", "external").await;
        let token = token_of(&world, &job).await;
        let path = format!("{job}/wishes");
        for _ in 0..40 {
            assert_eq!(world.ask_as(&token, "POST", &path, None).await.status, 200);
        }
        let begun = world.clock.instant();
        let refused = world.ask_as(&token, "GET", "/hems", None).await;
        assert_eq!((refused.status, refused.problem().as_str()), (429, "too-many-requests"));
        assert_eq!(refused.header("retry-after"), "1");
        assert!(world.clock.instant() - begun >= Duration::from_millis(500));
        assert!(refused.body.contains("http.max_job_requests"), "{}", refused.body);
        assert_eq!(world.ask("POST", &path, None).await.status, 200);
        world.clock.sleep(Duration::from_secs(1)).await;
        assert_eq!(world.ask_as(&token, "POST", &path, None).await.status, 200);
        let metrics = world.send(TestRequest::get().uri("/metrics")).await.body;
        assert!(metrics.contains("memcloud_http_rate_limited_total 1"), "{metrics}");
    });
}
