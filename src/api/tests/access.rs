//! Who may what, and how refusals look.

use actix_web::test::TestRequest;
use memcloud_domain::Role;
use serde_json::json;

use super::world::{as_caller, with_api};

#[test]
fn without_a_good_token_nothing_is_told() {
    with_api(|world| async move {
        for path in ["/microgrids", "/hems/h", "/jobs/j/log", "/tree", "/live", "/session"] {
            let nobody = TestRequest::get().uri(&format!("/api/v1{path}"));
            let answer = world.send(nobody).await;
            assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthenticated"));
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
            assert_eq!(world.ask_as("made-up", "GET", path, None).await.status, 401);
        }
    });
}

#[test]
fn a_token_for_one_microgrid_sees_nothing_of_the_others() {
    with_api(|world| async move {
        world.populate("own", &["own-1", "own-2"]).await;
        world.populate("other", &["other-1"]).await;
        let admin = world.token(Role::Admin, Some("own")).await;
        let get = async |path: &str| world.ask_as(&admin, "GET", path, None).await;
        assert_eq!(get("/microgrids").await.ids(), ["own"]);
        assert_eq!(get("/hems").await.ids(), ["own-1", "own-2"]);
        assert_eq!(get("/hems?microgrid=own").await.ids(), ["own-1", "own-2"]);
        for path in [
            "/microgrids/other",
            "/microgrids/other/hems",
            "/microgrids/other/enrolment-tokens",
            "/microgrids/other/history",
            "/hems?microgrid=other",
            "/jobs?microgrid=other",
            "/hems/other-1",
            "/hems/other-1/readings",
            "/live?microgrid=other",
            "/live?hem=other-1",
        ] {
            let foreign = get(path).await;
            assert_eq!((foreign.status, foreign.problem().as_str()), (404, "not-found"), "{path}");
            let absent = get(&path.replace("other", "nowhere")).await;
            assert_eq!(absent.body, foreign.body.replace("other", "nowhere"));
        }
        let foreign = json!({"id": "new", "microgrid": "other"});
        assert_eq!(world.ask_as(&admin, "POST", "/hems", Some(foreign)).await.status, 404);
        assert_eq!(world.ask_as(&admin, "DELETE", "/hems/other-1", None).await.status, 404);
        let own = json!({"id": "own-3", "microgrid": "own"});
        assert_eq!(world.ask_as(&admin, "POST", "/hems", Some(own)).await.status, 201);
        assert_eq!(get("/tree").await.problem(), "forbidden");
        let more = json!({"id": "more", "name": "More"});
        let answer = world.ask_as(&admin, "POST", "/microgrids", Some(more)).await;
        assert_eq!(answer.problem(), "forbidden");
    });
}

#[test]
fn each_role_may_what_is_written_and_no_more() {
    with_api(|world| async move {
        world.populate("m", &["h"]).await;
        let viewer = world.token(Role::Viewer, None).await;
        let operator = world.token(Role::Operator, Some("m")).await;
        let job = json!({"app": "energy-accounting"});
        let deploy = |token| world.ask_as(token, "POST", "/microgrids/m/jobs", Some(job.clone()));
        assert_eq!(deploy(&viewer).await.problem(), "forbidden");
        let deployed = deploy(&operator).await;
        assert_eq!(deployed.status, 201, "{}", deployed.body);
        let job = format!("/jobs/{}", deployed.json()["id"].as_str().unwrap());
        assert_eq!(world.ask_as(&viewer, "GET", &job, None).await.status, 200);
        assert_eq!(world.ask_as(&viewer, "DELETE", &job, None).await.status, 403);
        for (method, path) in [
            ("DELETE", "/microgrids/m"),
            ("GET", "/microgrids/m/enrolment-tokens"),
            ("POST", "/microgrids/m/enrolment-tokens"),
            ("DELETE", "/hems/h"),
            ("POST", "/hems/h/key"),
        ] {
            for token in [&viewer, &operator] {
                let answer = world.ask_as(token, method, path, None).await;
                assert_eq!(answer.problem(), "forbidden", "{method} {path}");
            }
        }
        let me = world.ask_as(&operator, "GET", "/session", None).await.json();
        assert_eq!((&me["role"], &me["microgrid"]), (&json!("operator"), &json!("m")));
    });
}

#[test]
fn what_http_itself_gets_wrong_is_a_problem_too() {
    with_api(|world| async move {
        let unknown = world.ask("GET", "/nothing/here", None).await;
        assert_eq!((unknown.status, unknown.problem().as_str()), (404, "no-such-path"));
        let root = world.send(TestRequest::get().uri("/")).await;
        assert_eq!(root.problem(), "no-such-path");
        let method = world.ask("PUT", "/hems/h", None).await;
        assert_eq!((method.status, method.problem().as_str()), (405, "method-not-allowed"));
        assert_eq!(method.header("allow"), "GET, PATCH, DELETE");
        let page = world.send(TestRequest::post().uri("/api/openapi.json")).await;
        assert_eq!((page.problem().as_str(), page.header("allow")), ("method-not-allowed", "GET"));
        assert_eq!(world.ask("GET", "/hems/BAD", None).await.problem(), "bad-path");
        assert_eq!(world.ask("GET", "/hems?limit=0", None).await.problem(), "bad-query");
        assert_eq!(world.ask("GET", "/hems?after=x", None).await.problem(), "bad-cursor");
        assert_eq!(world.ask("GET", "/jobs?colour=red", None).await.problem(), "bad-query");

        let post = || as_caller(&world.admin, "POST", "/hems", None);
        let plain = post().insert_header(("Content-Type", "text/plain")).set_payload("x");
        assert_eq!(world.send(plain).await.problem(), "unsupported-media-type");
        let json = || post().insert_header(("Content-Type", "application/json"));
        assert_eq!(world.send(json().set_payload("{")).await.problem(), "bad-body");
        let huge = world.send(json().set_payload(vec![b' '; 300_000])).await;
        assert_eq!((huge.status, huge.problem().as_str()), (413, "body-too-large"));

        world.populate("m", &["h"]).await;
        let picture = as_caller(&world.admin, "GET", "/hems/h/readings", None)
            .insert_header(("Accept", "image/png"));
        assert_eq!(world.send(picture).await.problem(), "not-acceptable");
    });
}

#[test]
fn a_store_that_is_away_is_said_and_when_to_ask_again() {
    with_api(|world| async move {
        world.populate("m", &["h"]).await;
        let ready = || world.send(TestRequest::get().uri("/health/ready"));
        assert_eq!(ready().await.status, 200);
        world.known.lock().unwrap().is_away = true;
        let answer = world.ask("GET", "/hems/h/readings", None).await;
        assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"));
        assert!(!answer.header("retry-after").is_empty());
        assert!(answer.body.contains("the disk is full"));
        world.is_well.store(false, std::sync::atomic::Ordering::Relaxed);
        let answer = ready().await;
        assert_eq!((answer.status, &answer.json()["status"]), (503, &json!("unavailable")));
        assert_eq!(answer.json()["away"][0]["what"], "web store");
        assert_eq!(world.send(TestRequest::get().uri("/health/live")).await.status, 200);
    });
}

#[test]
fn metrics_name_routes_and_never_a_hem() {
    with_api(|world| async move {
        world.populate("m", &["a-very-special-home"]).await;
        world.ask("GET", "/hems/a-very-special-home", None).await;
        world.ask("GET", "/a-very-special-path", None).await;
        let metrics = world.send(TestRequest::get().uri("/metrics")).await;
        assert_eq!(metrics.status, 200);
        let counted = "memcloud_http_requests_total{method=\"GET\",route=\"/api/v1/hems/{hem}\",status=\"2xx\"} 1";
        assert!(metrics.body.contains(counted), "{}", metrics.body);
        assert!(!metrics.body.contains("a-very-special"));
    });
}

#[test]
fn the_documentation_is_served() {
    with_api(|world| async move {
        let document = world.send(TestRequest::get().uri("/api/openapi.json")).await;
        assert_eq!(document.json()["openapi"], "3.1.0");
        let docs = world.send(TestRequest::get().uri("/api/docs")).await;
        assert_eq!((docs.status, docs.header("location")), (308, "/api/docs/"));
        let page = world.send(TestRequest::get().uri("/api/docs/")).await;
        assert!(page.body.contains("swagger"), "{}", page.body);
        let errors = world.send(TestRequest::get().uri("/api/errors")).await;
        assert!(errors.body.contains("id=\"not-found\""));
    });
}
