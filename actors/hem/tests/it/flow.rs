//! When someone is slow, gone, or comes and goes.

use std::time::Duration;

use memcloud_hem::ListConnectedHems;
use memcloud_wire::ErrorCode;
use tokio::io::AsyncWriteExt;

use crate::house::{Die, House, PATIENCE};

const MOMENT: Duration = Duration::from_secs(2);

#[actix_rt::test]
async fn while_the_historian_has_no_room_hems_wait_and_nothing_is_lost_or_reordered() {
    let house = House::start(|config| config.max_in_flight = 5_000);
    let mut clients = Vec::new();
    for index in 0..4 {
        clients.push(house.welcome(&format!("home-{index}")).await.0);
    }
    house.books().is_stalled = true;
    // More single reads than its mailbox holds.
    for seq in 1..=60 {
        for client in &mut clients {
            client.say_readings([seq]).await;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    house.until("someone waits", |house| house.metrics().paused_by_historian.get() > 0).await;
    assert!(house.metrics().buffered_bytes.get() > 0);
    house.books().is_stalled = false;
    for (index, client) in clients.iter_mut().enumerate() {
        client.hear_ack(60).await;
        assert_eq!(house.stored(&format!("home-{index}")), (1..=60).collect::<Vec<_>>());
    }
    house.until("nothing is held", |house| house.metrics().buffered_bytes.get() == 0).await;
}

#[actix_rt::test]
async fn while_the_store_is_away_hems_stay_online_for_longer_than_their_acks_may_take() {
    let house = House::start(|config| config.ack_timeout = Duration::from_millis(300));
    let mut clients = Vec::new();
    for index in 0..30 {
        clients.push(house.welcome(&format!("home-{index}")).await.0);
    }
    house.books().is_stalled = true;
    for client in &mut clients {
        client.say_readings([1, 2]).await;
    }
    house.until("someone waits", |house| house.metrics().paused_by_historian.get() > 0).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(house.metrics().online.get(), 30);
    house.books().is_stalled = false;
    for client in &mut clients {
        client.hear_ack(2).await;
    }
}

#[actix_rt::test]
async fn when_the_historian_is_gone_hems_are_sent_off_as_busy() {
    let house = House::start(|_| {});
    let (mut client, _) = house.welcome("home-1").await;
    house.neighbours.send(Die).await.unwrap();
    let error = client.hear_last_error().await;
    assert_eq!(error.code, ErrorCode::Busy);
    assert!(error.retry_after_ms.is_some());
    let mut next = house.connect().await;
    next.hello("home-1").await;
    assert_eq!(next.hear_last_error().await.code, ErrorCode::Busy);
}

#[actix_rt::test]
async fn a_hem_that_stops_reading_stalls_nobody_and_is_closed() {
    let house = House::start_on(0, |config| {
        config.write_timeout = Duration::from_millis(300);
        config.max_rate = 1_000_000;
    });
    let (mut deaf, _) = house.welcome("deaf").await;
    let (mut other, _) = house.welcome("other").await;
    let pings = vec![r#"{"type":"ping"}"#; 2_000].join("\n");
    let flood = async {
        while tokio::time::timeout(MOMENT, deaf.stream.get_mut().write_all(pings.as_bytes()))
            .await
            .is_ok_and(|written| written.is_ok())
        {}
    };
    let chat = async {
        for seq in 1..=20 {
            other.say_readings([seq]).await;
            other.hear_ack(seq).await;
        }
    };
    let both = async { tokio::join!(flood, chat) };
    assert!(tokio::time::timeout(PATIENCE, both).await.is_ok());
    house.until("closed", |house| house.metrics().closed_unread.get() == 1).await;
    assert_eq!(house.metrics().online.get(), 1);
}

#[actix_rt::test]
async fn hems_that_come_and_go_leave_nothing_behind() {
    let house = House::start(|_| {});
    for round in 0..60 {
        let mut client = house.connect().await;
        match round % 4 {
            0 => {}
            1 => client.say(r#"{"type":"he"#).await,
            2 => client.hello("flapping").await,
            _ => {
                client.hello("flapping").await;
                client.hear().await;
                client.say_readings([round]).await;
            }
        }
    }
    let metrics = house.metrics();
    house.until("all are gone", |_| metrics.connections.get() == 0).await;
    let counts = (metrics.online.get(), metrics.buffered_bytes.get(), metrics.handshaking.get());
    assert_eq!(counts, (0, 0, 0));
    let list = ListConnectedHems { after: None, limit: 10 };
    assert!(house.unit.connected_hems().ask(list, PATIENCE).await.unwrap().is_empty());
    let stored = house.stored("flapping");
    assert!(stored.windows(2).all(|pair| pair[0] < pair[1]), "{stored:?}");
    let tree = house.scope.tree().snapshot(100).await;
    let listener = tree.children.iter().find(|child| child.name == "hem-listener").unwrap();
    assert!(listener.children.is_empty(), "no socket's actor outlives its connection");
}
