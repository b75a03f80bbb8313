//! A HEM comes, is heard, and goes.

use std::time::Duration;

use memcloud_domain::HemId;
use memcloud_domain::messages::CutHem;
use memcloud_hem::ListConnectedHems;
use memcloud_wire::{CloudFrame, ErrorCode};
use tokio::net::TcpStream;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use crate::house::{Hem, House, PATIENCE};

#[actix_rt::test]
async fn a_hem_is_welcomed_and_what_it_sends_is_acknowledged_over_both_versions_of_tls() {
    let house = House::start(|_| {});
    for (hem, version) in [("home-12", &TLS12), ("home-13", &TLS13)] {
        let mut client = Hem::connect(house.address(), house.client_of(&[version])).await.unwrap();
        client.hello(hem).await;
        assert!(matches!(client.hear().await, Some(CloudFrame::Welcome(_))));
        client.say_readings(1..=300).await;
        client.hear_ack(300).await;
        assert_eq!(house.stored(hem), (1..=300).collect::<Vec<_>>());
        client.say(r#"{"type":"ping"}"#).await;
        assert_eq!(client.hear().await, Some(CloudFrame::Pong));
    }
    assert!(house.books().hand_overs < 100, "readings are handed over as they were read");
    assert_eq!(house.books().connected.len(), 2);
}

#[actix_rt::test]
async fn a_hem_that_comes_back_is_welcomed_with_its_mark_and_its_end_is_told() {
    let house = House::start(|_| {});
    let (mut client, seq) = house.welcome("home-1").await;
    assert_eq!(seq, 0);
    client.say_readings([1, 2, 3]).await;
    client.hear_ack(3).await;
    drop(client);
    house.until("offline", |house| house.books().disconnected.len() == 1).await;
    assert_eq!(house.books().disconnected[0].reason, "closed");
    house.until("closed", |house| house.books().closed_sessions == 1).await;
    let (_client, seq) = house.welcome("home-1").await;
    assert_eq!(seq, 3);
}

#[actix_rt::test]
async fn a_second_connection_wins_and_the_first_is_told() {
    let house = House::start(|_| {});
    let (mut first, _) = house.welcome("home-1").await;
    first.say_readings([1, 2]).await;
    first.hear_ack(2).await;
    let (mut second, seq) = house.welcome("home-1").await;
    assert_eq!(seq, 2);
    assert_eq!(first.hear_last_error().await.code, ErrorCode::Replaced);
    second.say_readings([3]).await;
    second.hear_ack(3).await;
    assert_eq!(house.stored("home-1"), [1, 2, 3]);
    assert_eq!(house.books().disconnected[0].reason, "replaced");
    house.until("one is left", |house| house.metrics().online.get() == 1).await;
    let list = ListConnectedHems { after: None, limit: 10 };
    let listed = house.unit.connected_hems().ask(list, PATIENCE).await.unwrap();
    assert_eq!(listed, [HemId::new("home-1").unwrap()]);
}

#[actix_rt::test]
async fn a_wrong_key_is_unauthorised_and_the_error_arrives_before_the_end() {
    let house = House::start(|_| {});
    let mut client = house.connect().await;
    client.say(r#"{"type":"hello","protocol":1,"hem":"home-1","key":"bad"}"#).await;
    // Bytes that nobody will read must not cost the HEM its error.
    client.say(&"x".repeat(100_000)).await;
    assert_eq!(client.hear_last_error().await.code, ErrorCode::Unauthorised);
    assert!(house.books().connected.is_empty());
}

#[actix_rt::test]
async fn a_certificate_with_the_hems_id_is_proof_enough() {
    let house = House::start(|_| {});
    let hello = r#"{"type":"hello","protocol":1,"hem":"home-7"}"#;
    let config = house.client_with_certificate("home-7");
    let mut client = Hem::connect(house.address(), config).await.unwrap();
    client.say(hello).await;
    assert!(matches!(client.hear().await, Some(CloudFrame::Welcome(_))));

    let config = house.client_with_certificate("home-8");
    let mut other = Hem::connect(house.address(), config).await.unwrap();
    other.say(hello).await;
    assert_eq!(other.hear_last_error().await.code, ErrorCode::Unauthorised);
}

#[actix_rt::test]
async fn a_hem_whose_key_is_revoked_is_cut_off() {
    let house = House::start(|_| {});
    let (mut client, _) = house.welcome("home-1").await;
    let cut = CutHem { hem: HemId::new("home-1").unwrap() };
    house.unit.cut_hem().ask(cut, PATIENCE).await.unwrap();
    assert_eq!(client.hear_last_error().await.code, ErrorCode::Unauthorised);
    house.until("offline", |house| house.metrics().online.get() == 0).await;
}

#[actix_rt::test]
async fn a_silent_hem_goes_offline_and_one_that_pings_stays() {
    let house = House::start(|config| config.heartbeat = Duration::from_millis(500));
    let (mut silent, _) = house.welcome("silent").await;
    let (mut awake, _) = house.welcome("awake").await;
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        awake.say(r#"{"type":"ping"}"#).await;
        assert_eq!(awake.hear().await, Some(CloudFrame::Pong));
    }
    assert_eq!(silent.hear().await, None);
    let books = house.books();
    let told: Vec<_> =
        books.disconnected.iter().map(|fact| (fact.hem.as_str(), fact.reason.as_str())).collect();
    assert_eq!(told, [("silent", "silent")]);
}

#[actix_rt::test]
async fn at_a_shutdown_every_hem_is_told_when_to_come_back() {
    let house = House::start(|_| {});
    let mut clients = Vec::new();
    for index in 0..20 {
        clients.push(house.welcome(&format!("home-{index}")).await.0);
    }
    let mut greeting = house.connect().await;
    let knocking = TcpStream::connect(house.address()).await.unwrap();
    house.until("all are in", |house| house.metrics().connections.get() == 22).await;
    let began = house.scope.clock().instant();
    let hear_all = async {
        let mut times = std::collections::BTreeSet::new();
        for client in &mut clients {
            let error = client.hear_last_error().await;
            assert_eq!(error.code, ErrorCode::ShuttingDown);
            times.insert(error.retry_after_ms.unwrap());
        }
        assert_eq!(greeting.hear_last_error().await.code, ErrorCode::ShuttingDown);
        times
    };
    let (left, times) = tokio::join!(house.unit.close(PATIENCE), hear_all);
    assert_eq!(left, 0);
    assert!(began.elapsed() < Duration::from_millis(2_500), "{:?}", began.elapsed());
    assert_eq!(times.len(), 20, "each at a moment of its own");
    assert!(*times.last().unwrap() > 5_000 && *times.last().unwrap() < 11_000);
    assert!(TcpStream::connect(house.address()).await.is_err(), "the port is given back");
    assert_eq!(house.books().disconnected.len(), 20);
    drop(knocking);
    assert!(house.scope.shutdown(PATIENCE).await.is_empty());
}

#[actix_rt::test]
async fn a_hem_that_never_reads_the_goodbye_holds_the_shutdown_up_only_for_a_moment() {
    let house = House::start(|_| {});
    let (_client, _) = house.welcome("home-1").await;
    let began = house.scope.clock().instant();
    assert_eq!(house.unit.close(PATIENCE).await, 0);
    assert!(began.elapsed() < Duration::from_millis(2_500), "{:?}", began.elapsed());
}
