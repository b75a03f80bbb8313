//! The Python clients, which speak the protocol with the standard library alone.

use std::process::{Command, Stdio};

use crate::rest::Caller;
use crate::support::TestCloud;

#[actix_rt::test]
async fn python_clients_enrol_and_their_readings_are_stored() {
    let cloud = TestCloud::start();
    cloud.call_for_line(&["microgrid", "add", "valley"]);
    let token = cloud.call_for_line(&["microgrid", "enrol", "valley", "--uses", "3"]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/python/clients_tls.py");
    let mut clients = Command::new("python3")
        .arg(script)
        .arg("3")
        .args(["--host", "127.0.0.1", "--port", &cloud.hem.port().to_string(), "--enrol", &token])
        .arg("--cafile")
        .arg(cloud.ca())
        .arg("--state")
        .arg(cloud.folder().join("python"))
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(cloud.folder().join("python.err")).unwrap())
        .spawn()
        .unwrap();
    let admin = Caller::admin(&cloud);
    let mut tries = 0;
    loop {
        let hems = admin.get("/api/v1/microgrids/valley/hems").await.json();
        let active =
            hems["items"].as_array().unwrap().iter().filter(|hem| hem["active"] == true).count();
        if active == 3 {
            break;
        }
        tries += 1;
        let said = std::fs::read_to_string(cloud.folder().join("python.err")).unwrap();
        assert!(tries < 300, "{hems}\n{said}");
        actix_rt::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    clients.kill().unwrap();
    clients.wait().unwrap();
}
