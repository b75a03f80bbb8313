//! The command line: what scripts rely on, and what a person reads when the call was wrong.

use std::process::Stdio;

use crate::support::{TestCloud, eventually, memcloud};

#[test]
fn every_command_explains_itself() {
    for command in ["demo", "serve", "keys", "token", "microgrid", "hem", "openapi"] {
        let output = memcloud().args([command, "--help"]).output().unwrap();
        assert!(output.status.success());
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.contains("Usage: memcloud"), "{help}");
    }
    assert_eq!(memcloud().arg("fly").output().unwrap().status.code(), Some(2));
    assert_eq!(memcloud().output().unwrap().status.code(), Some(2));
}

#[test]
fn a_wrong_setting_stops_the_start_and_names_itself() {
    let folder = tempfile::tempdir().unwrap();
    let output = memcloud()
        .current_dir(folder.path())
        .env("MEMCLOUD_HEM__BIND", "somewhere")
        .arg("serve")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("`hem.bind`") && said.lines().count() == 1, "{said}");
}

#[test]
fn what_a_script_needs_stands_alone_on_standard_output_beside_a_running_server() {
    let cloud = TestCloud::start();
    assert_eq!(cloud.call_for_line(&["microgrid", "add", "valley"]), "valley");
    let key = cloud.call_for_line(&["hem", "register", "home-1", "--microgrid", "valley"]);
    assert!(key.len() >= 43, "256 bits: {}", key.len());
    let again = cloud.call(&["hem", "register", "home-1", "--microgrid", "valley"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(again.stdout.is_empty());
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(said.contains("there is already a") && said.contains("\"home-1\""), "{said}");
    let nowhere = cloud.call(&["hem", "register", "home-2", "--microgrid", "nowhere"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert_eq!(cloud.call(&["token", "add", "x"]).status.code(), Some(2), "a role must be said");
}

#[test]
fn keys_are_never_overwritten() {
    let cloud = TestCloud::start();
    let before = std::fs::read(cloud.ca()).unwrap();
    let output = cloud.call(&["keys"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(std::fs::read(cloud.ca()).unwrap(), before);
    let signed = cloud.call_for_line(&["keys", "--sign", "home-9", "--out", "signed"]);
    assert!(cloud.folder().join(&signed).exists(), "{signed}");
}

#[test]
fn the_demo_runs_homes_in_plain_lines_ends_quickly_and_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for run in 0..2 {
        let said = folder.path().join(format!("said-{run}"));
        let mut demo = memcloud()
            .current_dir(folder.path())
            .env("MEMCLOUD_HTTP__BIND", "127.0.0.1:0")
            .env("MEMCLOUD_HEM__BIND", "127.0.0.1:0")
            .args(["demo", "--api-port", "0"])
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&said).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("the demo's homes are online", || {
            std::fs::read_to_string(&said).unwrap().contains("5/5 homes online").then_some(())
        });
        let id = nix::unistd::Pid::from_raw(i32::try_from(demo.id()).unwrap());
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).unwrap();
        let status = eventually("the demo ends", || demo.try_wait().unwrap());
        assert!(status.success(), "run {run}: {status}");
        let said = std::fs::read_to_string(&said).unwrap();
        assert!(said.contains("token"), "{said}");
        assert_eq!(
            said.contains("filling in the past: 0 of 50,400"),
            run == 0,
            "run {run}: {said}"
        );
    }
}
