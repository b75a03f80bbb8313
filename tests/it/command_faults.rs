//! The server and the homes killed, again and again, while commands run; then an audit that compares
//! the ledger with the homes' own record of what they carried out.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use memcloud_emulator::clock::system_clock;
use memcloud_emulator::keyring::read_keys;
use memcloud_emulator::{Dataset, Fleet, FleetConfig};
use memcloud_sdk::hem::trust;
use serde_json::{Value, json};

use crate::homes::now_ms;
use crate::rest::Caller;
use crate::support::TestCloud;

const HOMES: usize = 40;
/// The nodes of an emulated home that are switched here: heat pump, water heater, charger, plugs.
const NODES: [u8; 4] = [4, 5, 6, 7];
/// Commands a second, of so many callers together.
const RATE: u64 = 200;
const CALLERS: u64 = 20;
/// How often each of the two is killed; `MEMCLOUD_TEST_KILLS` runs the long version.
const KILLS: u64 = 3;
/// Tells a process of this program that it is the homes, and where they live.
const FLEET: &str = "MEMCLOUD_TEST_FLEET";
/// By then everything that was under way is decided.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);

// --------------------------------------------------------------------------------------- the homes

/// The homes, in a process of their own that can be killed: what they know is on disk.
struct Homes {
    folder: PathBuf,
    ca: PathBuf,
    address: SocketAddr,
    process: Option<Child>,
}

impl Homes {
    fn launch(&mut self) {
        assert!(self.process.is_none(), "they run already");
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "command_faults::the_homes", "--ignored"])
            .env(FLEET, &self.folder)
            .env("MEMCLOUD_TEST_CA", &self.ca)
            .env("MEMCLOUD_TEST_HEM", self.address.to_string())
            .stdout(Stdio::null())
            .spawn();
        self.process = Some(process.unwrap());
    }

    /// kill -9.
    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// The commands that they carried out, each as often as it is on record.
    fn carried_out(&self) -> Vec<String> {
        let mut ids = Vec::new();
        for file in std::fs::read_dir(record(&self.folder)).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            // A kill may have torn the last line off; what was answered is whole.
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            ids.extend(lines.map(|line| line["command"].as_str().unwrap().to_owned()));
        }
        ids
    }
}

impl Drop for Homes {
    fn drop(&mut self) {
        self.kill();
    }
}

fn keys(folder: &Path) -> PathBuf {
    folder.join("keys.txt")
}

fn record(folder: &Path) -> PathBuf {
    folder.join("record")
}

/// Not a test: what a process of this program does that is to be the homes, until it is killed.
#[actix_rt::test]
#[ignore = "the homes of the test below, in a process of their own"]
async fn the_homes() {
    let Ok(folder) = std::env::var(FLEET).map(PathBuf::from) else { return };
    let (ca, address) = (std::env::var("MEMCLOUD_TEST_CA"), std::env::var("MEMCLOUD_TEST_HEM"));
    let tls = trust(Path::new(&ca.unwrap()), None).unwrap();
    let config = FleetConfig {
        homes: HOMES,
        keys: read_keys(&keys(&folder)).unwrap(),
        state: Some(folder.join("state")),
        record: Some(record(&folder)),
        interval: Duration::from_millis(250),
        connects_per_second: 1_000,
        ..FleetConfig::new(&address.unwrap(), tls, Dataset::fontana().unwrap())
    };
    let _fleet = Fleet::start(config, system_clock()).await.unwrap();
    std::future::pending::<()>().await;
}

// ------------------------------------------------------------------------------------- the callers

/// What the callers know of what they asked for.
#[derive(Default)]
struct Asked {
    /// Answered with 202: on disk.
    taken: BTreeSet<String>,
    /// Answered otherwise, by status.
    refused: BTreeMap<u16, u64>,
    /// Not answered at all: taken or not, nobody knows.
    unanswered: u64,
    is_over: bool,
}

/// Switches one node after the other, on and off, at its share of the rate.
async fn keep_commanding(
    number: u64,
    http: Rc<RefCell<SocketAddr>>,
    token: String,
    asked: Rc<RefCell<Asked>>,
) {
    let pause = Duration::from_millis(1_000 * CALLERS / RATE);
    actix_rt::time::sleep(pause * u32::try_from(number).unwrap() / u32::try_from(CALLERS).unwrap())
        .await;
    let mut ticks = actix_rt::time::interval(pause);
    let client = awc::Client::builder().timeout(Duration::from_secs(10)).finish();
    let places = HOMES as u64 * NODES.len() as u64;
    let mut turn = number;
    while !asked.borrow().is_over {
        ticks.tick().await;
        let place = turn % places;
        let home = place % HOMES as u64;
        let node = NODES[usize::try_from(place / HOMES as u64).unwrap()];
        let is_on = (turn / places).is_multiple_of(2);
        let mut body =
            json!({"node": node, "action": "switch", "on": !is_on, "reason": "an audit"});
        if turn.is_multiple_of(3) {
            body["lease_seconds"] = json!(2);
        }
        turn += CALLERS;
        let url = format!("http://{}/api/v1/hems/home-{home}/commands", http.borrow());
        let answer = client.post(url).bearer_auth(&token).send_json(&body).await;
        let Ok(mut answer) = answer else {
            asked.borrow_mut().unanswered += 1;
            continue;
        };
        let (status, body) = (answer.status().as_u16(), answer.body().await);
        let mut asked = asked.borrow_mut();
        match (status, body) {
            (202, Ok(body)) => {
                let command: Value = serde_json::from_slice(&body).unwrap();
                asked.taken.insert(command["id"].as_str().unwrap().to_owned());
            }
            (202, Err(_)) => asked.unanswered += 1,
            (status, _) => *asked.refused.entry(status).or_default() += 1,
        }
    }
}

// ---------------------------------------------------------------------------------------- the audit

/// The whole ledger, by id.
async fn ledger(cloud: &TestCloud) -> BTreeMap<String, Value> {
    let operator = Caller::admin(cloud);
    let mut commands = BTreeMap::new();
    let mut path = "/api/v1/commands?limit=1000".to_owned();
    loop {
        let page = operator.get(&path).await.json();
        for command in page["items"].as_array().unwrap() {
            commands.insert(command["id"].as_str().unwrap().to_owned(), command.clone());
        }
        let Some(next) = page["next"].as_str() else { return commands };
        path = format!("/api/v1/commands?limit=1000&after={next}");
    }
}

async fn count_in(cloud: &TestCloud, state: &str) -> usize {
    let path = format!("/api/v1/commands?state={state}&limit=1000");
    Caller::admin(cloud).get(&path).await.json()["items"].as_array().unwrap().len()
}

#[actix_rt::test]
async fn no_command_is_carried_out_twice_claimed_falsely_or_forgotten_over_kills_of_both_sides() {
    let kills = std::env::var("MEMCLOUD_TEST_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = probe.local_addr().unwrap().port();
    drop(probe);
    let mut cloud = TestCloud::builder()
        .set("hem.bind", format!("127.0.0.1:{port}"))
        .set("commands.effect_window", "5s")
        .start();
    cloud.call_for_line(&["microgrid", "add", "valley"]);
    let folder = tempfile::tempdir().unwrap();
    let register = |home: usize| {
        let id = format!("home-{home}");
        let key = cloud.call_for_line(&["hem", "register", &id, "--microgrid", "valley"]);
        format!("{id} {key}\n")
    };
    std::fs::write(keys(folder.path()), (0..HOMES).map(register).collect::<String>()).unwrap();
    let mut homes = Homes {
        folder: folder.path().to_owned(),
        ca: cloud.ca(),
        address: cloud.hem,
        process: None,
    };
    homes.launch();
    all_online(&cloud).await;

    let asked = Rc::new(RefCell::new(Asked::default()));
    let http = Rc::new(RefCell::new(cloud.http));
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            let (http, asked) = (Rc::clone(&http), Rc::clone(&asked));
            // Each has a token of its own: how much one may write is limited.
            let name = format!("caller-{number}");
            let token = cloud.call_for_line(&["token", "add", "--role", "operator", &name]);
            actix_rt::spawn(keep_commanding(number, http, token, asked))
        })
        .collect();
    let begun = now_ms();
    for kill in 0..kills {
        // A different moment each time, so that kills fall between any two steps of a command.
        actix_rt::time::sleep(Duration::from_millis(700 + kill * 37 % 300)).await;
        cloud.kill();
        cloud.launch();
        *http.borrow_mut() = cloud.http;
        actix_rt::time::sleep(Duration::from_millis(700 + kill * 53 % 300)).await;
        homes.kill();
        homes.launch();
        all_online(&cloud).await;
    }
    actix_rt::time::sleep(Duration::from_secs(1)).await;
    asked.borrow_mut().is_over = true;
    for caller in callers {
        caller.await.unwrap();
    }
    let seconds = (now_ms() - begun) / 1_000;
    all_online(&cloud).await;
    let deadline = now_ms() + i64::try_from(SETTLED_WITHIN.as_millis()).unwrap();
    while count_in(&cloud, "accepted").await + count_in(&cloud, "sent").await > 0 {
        assert!(now_ms() < deadline, "commands are neither over nor unconfirmed");
        actix_rt::time::sleep(Duration::from_millis(200)).await;
    }
    // What readings tell of the last ones.
    actix_rt::time::sleep(Duration::from_secs(8)).await;

    let commands = ledger(&cloud).await;
    let carried_out = homes.carried_out();
    let asked = asked.borrow();
    audit(&commands, &carried_out, &asked);
    let mut states = BTreeMap::<&str, u64>::new();
    for command in commands.values() {
        *states.entry(command["state"].as_str().unwrap()).or_default() += 1;
    }
    let acted: BTreeSet<&str> = carried_out.iter().map(String::as_str).collect();
    let is_doubtful = |command: &&Value| command["state"] == "unconfirmed";
    let doubtful = commands.values().filter(is_doubtful);
    let acted_in_doubt =
        doubtful.filter(|command| acted.contains(command["id"].as_str().unwrap())).count();
    println!(
        "{kills} kills of the server and {kills} of {HOMES} homes in {seconds} s: {} commands taken, {} not \
         answered, refused {:?}",
        asked.taken.len(),
        asked.unanswered,
        asked.refused,
    );
    println!("{} in the ledger, {} carried out; {states:?}", commands.len(), carried_out.len());
    println!("{acted_in_doubt} of the unconfirmed were carried out");
    println!("0 carried out twice, 0 said to be and never carried out, 0 forgotten");
}

async fn all_online(cloud: &TestCloud) {
    for _ in 0..600 {
        // While it starts, it may say that it is not ready.
        let hems = Caller::admin(cloud).get("/api/v1/hems?limit=1000").await.json();
        let are_online = |hems: &Vec<Value>| hems.iter().all(|hem| hem["online"] == true);
        if hems["items"].as_array().is_some_and(are_online) {
            return;
        }
        actix_rt::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not all homes come online");
}

/// Fails where a claim is not so.
fn audit(commands: &BTreeMap<String, Value>, carried_out: &[String], asked: &Asked) {
    let acted: BTreeSet<&str> = carried_out.iter().map(String::as_str).collect();
    let mut faults = Vec::new();
    if acted.len() != carried_out.len() {
        faults.push(format!("{} were carried out twice", carried_out.len() - acted.len()));
    }
    for id in &asked.taken {
        if !commands.contains_key(id) {
            faults.push(format!("{id} was taken, and is not in the ledger"));
        }
    }
    for id in &acted {
        match commands.get(*id) {
            None => faults.push(format!("{id} was carried out, and is not in the ledger")),
            // These say for certain that it was never carried out.
            Some(command)
                if matches!(
                    command["state"].as_str().unwrap(),
                    "accepted" | "cancelled" | "expired" | "refused" | "superseded" | "failed"
                ) =>
            {
                faults.push(format!("it was carried out: {command}"));
            }
            Some(_) => {}
        }
    }
    for (id, command) in commands {
        let is_acted = acted.contains(id.as_str());
        let history = command["history"].as_array().unwrap();
        let has_said_so = history.iter().any(|step| step["state"] == "acknowledged");
        let last = history.last().unwrap();
        let is_shown = matches!(last["state"].as_str().unwrap(), "effective" | "ineffective");
        if has_said_so && !is_acted {
            faults.push(format!("it was never carried out: {command}"));
        } else if is_shown && last["evidence"]["seen"].as_array().is_none_or(Vec::is_empty) {
            faults.push(format!("nothing shows it: {command}"));
        }
        if is_shown && !has_said_so {
            faults.push(format!("its home never said that it acted: {command}"));
        }
    }
    assert!(
        faults.is_empty(),
        "{} faults, such as {:#?}",
        faults.len(),
        &faults[..faults.len().min(5)]
    );
}
