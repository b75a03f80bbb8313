//! An orderly end: nothing is lost, homes are told, and the process says that all went well.

use crate::homes::{TestHome, now_ms, until};
use crate::support::TestCloud;

#[actix_rt::test]
async fn at_sigterm_homes_are_told_and_what_they_handed_over_is_on_disk() {
    let mut cloud = TestCloud::start();
    cloud.call_for_line(&["microgrid", "add", "valley"]);
    let key = cloud.call_for_line(&["hem", "register", "home-1", "--microgrid", "valley"]);
    let home = TestHome::connect(&cloud, "home-1", &key);
    for number in 0..200 {
        home.sample(now_ms(), 100.0, 0.0, number as f64);
    }
    until("the home is connected", || home.hem.counters().acknowledged > 0).await;
    let status = actix_rt::task::spawn_blocking(move || {
        let status = cloud.terminate();
        (status, cloud)
    });
    let (status, cloud) = status.await.unwrap();
    assert!(status.success(), "{status}: {}", cloud.log());
    until("the home heard why", || !home.ended().is_empty()).await;
    assert_eq!(home.ended()[0], "shutting-down");
    assert!(!cloud.folder().join("data/addresses.json").exists());
    assert!(cloud.log().contains("stopped"));
}

#[test]
fn a_second_cloud_on_the_same_data_folder_is_refused_with_the_reason() {
    let cloud = TestCloud::start();
    let second = cloud.call(&["serve"]);
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("another memcloud runs on the data folder"), "{said}");
}
