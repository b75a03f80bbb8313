//! Energy apps outside the cloud: the one in Python, and the page that leads to it, run as a newcomer
//! would, against homes that really switch.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use memcloud_domain::Timestamp;
use memcloud_emulator::{Dataset, Fleet, FleetConfig};
use memcloud_sdk::hem::trust;
use serde_json::{Value, json};

use crate::homes::now_ms;
use crate::rest::Caller;
use crate::support::{PATIENCE, TestCloud};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A cloud with two of the real homes, each of which carries out what it is told.
async fn two_homes() -> (TestCloud, Fleet) {
    let cloud = TestCloud::start();
    cloud.call_for_line(&["microgrid", "add", "fontana"]);
    let enrol = cloud.call_for_line(&["microgrid", "enrol", "fontana", "--uses", "2"]);
    let tls = trust(&cloud.ca(), None).unwrap();
    let config = FleetConfig {
        homes: 2,
        enrol: Some(memcloud_domain::Secret::new(enrol)),
        ..FleetConfig::new(&cloud.hem.to_string(), tls, Dataset::fontana().unwrap())
    };
    let fleet = Fleet::start(config, Arc::new(|| Timestamp(now_ms()))).await.unwrap();
    let admin = Caller::admin(&cloud);
    wait_for("both homes are active", async || {
        let hems = admin.get("/api/v1/microgrids/fontana/hems").await.json();
        let is_active = |hem: &&Value| hem["active"] == true;
        (hems["items"].as_array().unwrap().iter().filter(is_active).count() == 2).then_some(())
    })
    .await;
    (cloud, fleet)
}

/// Asks until there is an answer.
async fn wait_for<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            actix_rt::time::sleep(Duration::from_millis(100)).await;
        }
    };
    actix_rt::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain: {what}"))
}

struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[actix_rt::test]
async fn the_energy_app_in_python_steers_homes_and_why_tells() {
    let (cloud, fleet) = two_homes().await;
    let admin = Caller::admin(&cloud);
    let made = admin.post("/api/v1/microgrids/fontana/jobs", json!({"app": "external"})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let job = made.json()["id"].as_str().unwrap().to_owned();
    let token = admin.post(&format!("/api/v1/jobs/{job}/token"), json!({})).await;
    assert_eq!(token.status, 201, "{}", token.text);
    let token = token.json()["token"].as_str().unwrap().to_owned();
    let said = cloud.folder().join("energy_budget.log");
    let program = Command::new("python3")
        .arg(format!("{ROOT}/examples/energy-budget/energy_budget.py"))
        // All is used up from the first moment: the least important load has to wait.
        .args(["--budget-wh", "0", "--home", "home-1"])
        .env("CLOUD_URL", cloud.url(""))
        .env("JOB_TOKEN", token)
        .stdout(std::fs::File::create(&said).unwrap())
        .stderr(std::fs::File::create(cloud.folder().join("energy_budget.err")).unwrap())
        .spawn()
        .unwrap();
    let _program = Program(program);
    let effective = wait_for("the water heater is off, and that is seen", async || {
        let list = "/api/v1/commands?hem=home-1&state=effective";
        let commands = admin.get(list).await.json();
        commands["items"].as_array().unwrap().iter().find(|item| item["node"] == 5).cloned()
    })
    .await;
    assert_eq!((&effective["action"], &effective["on"]), (&json!("switch"), &json!(false)));
    assert_eq!(effective["asker"]["job"], job);
    let last = effective["history"].as_array().unwrap().last().unwrap();
    assert!(!last["evidence"]["seen"].as_array().unwrap().is_empty(), "{last}");
    let why = admin.get("/api/v1/hems/home-1/why").await.json();
    let node = why["items"].as_array().unwrap().iter().find(|node| node["node"] == 5).unwrap();
    assert_eq!(node["claims"][0]["by"]["job"], job, "{node}");
    assert!(node["claims"][0]["reason"].as_str().unwrap().contains("waits until midnight"));
    // Critical loads stay, and so does the home that is not its own.
    let commands = admin.get("/api/v1/commands?limit=1000").await.json();
    for command in commands["items"].as_array().unwrap() {
        assert_eq!(command["hem"], "home-1", "{command}");
        assert_ne!(command["node"], 3, "{command}");
    }
    wait_for("the program heard of it over the live feed", async || {
        let said = std::fs::read_to_string(&said).unwrap();
        said.contains("home-1 node 5: effective").then_some(())
    })
    .await;
    fleet.stop(Duration::from_secs(2)).await;
}

/// The blocks of a page that are to be run.
fn shell_blocks(page: &str) -> Vec<String> {
    page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[actix_rt::test]
async fn the_ten_minute_page_works_as_it_is_written() {
    let (cloud, fleet) = two_homes().await;
    let page = std::fs::read_to_string(Path::new(ROOT).join("docs/first-energy-app.md")).unwrap();
    let blocks = shell_blocks(&page);
    assert_eq!(blocks[0], "cargo run --release -- demo\n");
    // The same blocks against this cloud instead of the demo, with budgets that are used up at once, and
    // programs without end stopped as by Ctrl-C.
    let script = blocks[1..].join("\n");
    let data = cloud.folder().join("data");
    let mut script = script
        .replace("target/release/memcloud", env!("CARGO_BIN_EXE_memcloud"))
        .replace("data/demo", data.to_str().unwrap())
        .replace("--budget-wh 5000", "--budget-wh 0 || true")
        .replace("\"import_watts\"] > 5000", "\"import_watts\"] > -1")
        .replace("python3 examples/", &format!("timeout -s INT 20 python3 {ROOT}/examples/"))
        .replace("python3 my_app.py", "timeout -s INT 12 python3 my_app.py || true");
    script.insert_str(0, "set -eu\nexport MEMCLOUD_KEYS__DIR=$PWD/keys\n");
    let output = actix_rt::task::spawn_blocking({
        let folder = cloud.folder().to_owned();
        move || {
            Command::new("bash")
                .args(["-c", &script])
                .current_dir(folder)
                .stdin(Stdio::null())
                .output()
                .unwrap()
        }
    })
    .await
    .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    let shown = format!("--- out ---\n{out}\n--- err ---\n{err}");
    for expected in [
        // Step 3: the command by hand, with its evidence.
        "\"state\": \"effective\"",
        "\"evidence\"",
        // Step 4: the wish by hand.
        "\"taken\": 1",
        "\"my first wish\"",
        // Step 5 and 6: the programs.
        "waits until midnight",
        "over; what it wished for ends within 120 s",
        "- 2 wishes",
    ] {
        assert!(out.contains(expected), "{expected} is not in\n{shown}");
    }
    fleet.stop(Duration::from_secs(2)).await;
}
