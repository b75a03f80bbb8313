//! The examples: they build, run, and need no more of MEMCloud than they say.

use std::process::Command;

fn cargo() -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
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
fn the_operator_is_embedded_without_http_or_sql() {
    let tree = tree_of("example-embedded-operator");
    for unwanted in ["actix-web", "actix-http", "diesel", "libsqlite3-sys", "rustls", "awc"] {
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
fn the_examples_run_and_say_what_they_promise() {
    for (package, promise) in
        [("example-supervised-actor", "after 3 Wh: Ok(3.0)"), ("example-embedded-operator", "peak")]
    {
        let output =
            cargo().args(["run", "--offline", "--quiet", "--package", package]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{package}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains(promise), "{package} said {said}");
    }
}
