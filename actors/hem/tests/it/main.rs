//! The IoT unit over real TLS sockets.

mod house;

use std::time::Duration;

use house::{Die, Hem, House, PATIENCE, write};
use memcloud_domain::HemId;
use memcloud_domain::messages::CutHem;
use memcloud_hem::ListConnectedHems;
use memcloud_wire::{CloudFrame, ErrorCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::rustls::version::{TLS12, TLS13};

const MOMENT: Duration = Duration::from_millis(150);

/// The cloud closes this connection without a word.
async fn is_closed(stream: &mut TcpStream) {
    let mut bytes = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    assert!(closed.is_ok(), "the connection stays open");
}

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
    let house = House::start(|config| config.heartbeat = Duration::from_millis(150));
    let (mut silent, _) = house.welcome("silent").await;
    let (mut awake, _) = house.welcome("awake").await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(50)).await;
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
    assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
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
    assert!(began.elapsed() < Duration::from_millis(1_600), "{:?}", began.elapsed());
}

#[actix_rt::test]
async fn new_certificates_are_used_for_new_connections_and_bad_ones_are_not() {
    let interval = Duration::from_millis(30);
    let house = House::start(|config| config.tls_reload_interval = interval);
    let (mut early, _) = house.welcome("early").await;
    let before = early.server_certificate();

    // The file is bad at first, then a certificate comes without its key, then both are there.
    write(house.dir.path(), "cert.pem", "not a certificate");
    house.until("refused", |house| house.metrics().tls_reload_failures.get() == 1).await;
    assert_eq!(house.connect().await.server_certificate(), before);
    let after = house.authority.install(house.dir.path(), "second");
    house.until("reloaded", |house| house.metrics().tls_reloads.get() >= 1).await;
    let late = house.connect().await.server_certificate();
    assert_ne!(late, before);
    assert_eq!(late, Some(after));

    early.say(r#"{"type":"ping"}"#).await;
    assert_eq!(early.hear().await, Some(CloudFrame::Pong));
}

#[actix_rt::test]
async fn too_many_connections_of_one_address_are_turned_away_until_one_leaves() {
    let house = House::start(|config| config.max_connections_per_address = 2);
    let (first, _) = house.welcome("home-1").await;
    let (_second, _) = house.welcome("home-2").await;
    is_closed(&mut TcpStream::connect(house.address()).await.unwrap()).await;
    assert_eq!(house.metrics().turned_away_address.get(), 1);
    drop(first);
    house.until("a place is free", |house| house.metrics().connections.get() == 1).await;
    house.welcome("home-3").await;
}

#[actix_rt::test]
async fn a_connection_that_says_nothing_takes_no_handshake_slot() {
    let house = House::start(|config| {
        config.max_handshakes = 1;
        config.handshake_timeout = Duration::from_millis(400);
    });
    let mut quiet = Vec::new();
    for _ in 0..10 {
        quiet.push(TcpStream::connect(house.address()).await.unwrap());
    }
    house.welcome("home-1").await;
    for mut stream in quiet {
        is_closed(&mut stream).await;
    }
    assert_eq!(house.metrics().handshakes_timed_out.get(), 10);
}

#[actix_rt::test]
async fn while_every_handshake_slot_is_taken_others_wait_and_are_let_in_later() {
    let house = House::start(|config| {
        config.max_handshakes = 1;
        config.handshake_timeout = Duration::from_millis(400);
    });
    // The first bytes of a ClientHello, and no more.
    let mut stuck = TcpStream::connect(house.address()).await.unwrap();
    stuck.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    house.until("the slot is taken", |house| house.metrics().handshaking.get() == 1).await;
    house.welcome("home-1").await;
    assert_eq!(house.metrics().handshakes_timed_out.get(), 1);
    assert!(house.metrics().accept_waits.get() >= 1);
    is_closed(&mut stuck).await;
}

#[actix_rt::test]
async fn plain_text_on_the_tls_port_is_counted_and_closed() {
    let house = House::start(|_| {});
    let mut plain = TcpStream::connect(house.address()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    is_closed(&mut plain).await;
    house.until("counted", |house| house.metrics().handshakes_failed.get() == 1).await;
    house.until("gone", |house| house.metrics().connections.get() == 0).await;
    assert_eq!(house.metrics().handshaking.get(), 0);
}

#[actix_rt::test]
async fn a_hello_that_trickles_in_is_cut_off_in_time() {
    let house = House::start(|config| config.hello_timeout = Duration::from_millis(300));
    let mut slow = house.connect().await;
    for byte in r#"{"type":"he"#.bytes() {
        let _ = slow.stream.get_mut().write_all(&[byte]).await;
        let _ = slow.stream.get_mut().flush().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(slow.hear_last_error().await.code, ErrorCode::Unauthorised);
    assert_eq!(house.metrics().closed_no_hello.get(), 1);
}

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
