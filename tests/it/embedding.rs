//! The examples: they build, run, and need no more of MEMCloud than they say.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Once;

use crate::homes::{TestHome, now_ms, until};
use crate::support::TestCloud;

fn cargo() -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// An example's binary, built as part of the workspace and with the features of this test, so that nothing
/// is compiled a second way, and the program under test stays what it is.
fn example(name: &str) -> Command {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let features = if cfg!(feature = "mysql") { "memcloud/mysql" } else { "" };
        let built = cargo()
            .args([
                "build",
                "--offline",
                "--quiet",
                "--workspace",
                "--bins",
                "--features",
                features,
            ])
            .status();
        assert!(built.unwrap().success(), "the examples do not build");
    });
    let beside = Path::new(env!("CARGO_BIN_EXE_memcloud")).with_file_name(name);
    Command::new(beside)
}

fn tree_of(package: &str) -> String {
    let output = cargo()
        .args(["tree", "--offline", "--package", package, "--edges", "normal", "--prefix", "none"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_operator_is_embedded_without_http_sql_or_a_broker() {
    let tree = tree_of("example-embedded-operator");
    for unwanted in
        ["actix-web", "actix-http", "diesel", "libsqlite3-sys", "rustls", "awc", "lapin", "mongodb"]
    {
        assert!(
            !tree.lines().any(|line| line.starts_with(&format!("{unwanted} "))),
            "{unwanted} is in\n{tree}"
        );
    }
}

#[test]
fn the_supervision_kit_is_used_without_any_of_our_domain() {
    let tree = tree_of("example-supervised-actor");
    let ours: Vec<&str> = tree.lines().filter(|line| line.starts_with("memcloud-")).collect();
    assert!(ours.iter().all(|line| line.starts_with("memcloud-supervision ")), "{ours:?}");
}

#[test]
fn the_live_feed_is_followed_with_the_sdk_and_nothing_of_the_cloud() {
    let tree = tree_of("example-live-feed");
    for unwanted in ["memcloud-store", "memcloud-supervision", "diesel", "actix-web"] {
        assert!(
            !tree.lines().any(|line| line.starts_with(&format!("{unwanted} "))),
            "{unwanted} is in\n{tree}"
        );
    }
}

#[actix_rt::test]
async fn the_live_feed_example_shows_a_home_that_reports() {
    let mut example = example("example-live-feed");
    let cloud = TestCloud::start();
    cloud.call_for_line(&["microgrid", "add", "valley"]);
    let key = cloud.call_for_line(&["hem", "register", "home-1", "--microgrid", "valley"]);
    let home = TestHome::connect(&cloud, "home-1", &key);
    let mut watcher = example
        .args([cloud.url("").as_str(), cloud.token.as_str(), "3"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It ends by itself once it has seen three messages.
    until("the example has seen the home", || {
        home.sample(now_ms(), 700.0, 0.0, 1.0);
        watcher.try_wait().unwrap().is_some()
    })
    .await;
    let output = watcher.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("\"home-1\""), "{said}");
}

#[test]
fn the_examples_run_and_say_what_they_promise() {
    for (package, promise) in
        [("example-supervised-actor", "after 3 Wh: Ok(3.0)"), ("example-embedded-operator", "peak")]
    {
        let output = example(package).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{package}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains(promise), "{package} said {said}");
    }
}
