//! Who is let in, and how: TLS, places, slots and time-outs.

use std::time::Duration;

use memcloud_wire::{CloudFrame, ErrorCode};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::house::{Hem, House, is_closed, write};

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
        config.handshake_timeout = Duration::from_secs(1);
    });
    let mut quiet = Vec::new();
    for _ in 0..10 {
        quiet.push(TcpStream::connect(house.address()).await.unwrap());
    }
    house.welcome("home-1").await;
    for mut stream in quiet {
        is_closed(&mut stream).await;
    }
    house.until("counted", |house| house.metrics().handshakes_timed_out.get() == 10).await;
}

#[actix_rt::test]
async fn while_every_handshake_slot_is_taken_others_wait_and_are_let_in_later() {
    let house = House::start(|config| {
        config.max_handshakes = 1;
        config.handshake_timeout = Duration::from_secs(1);
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

/// A HEM behind a balancer that speaks for this address (10.0.0.`last`).
async fn through_a_balancer(house: &House, last: u8) -> std::io::Result<Hem> {
    let mut tcp = TcpStream::connect(house.address()).await?;
    let header =
        [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\0\0", &[last, 127, 0, 0, 1, 200, 1, 0, 80][..]];
    tcp.write_all(&header.concat()).await?;
    Hem::shake_hands(tcp, house.client()).await
}

#[actix_rt::test]
async fn behind_a_balancer_a_hem_counts_by_its_own_address() {
    let house = House::start(|config| {
        config.proxy_protocol = true;
        config.max_connections_per_address = 1;
    });
    let mut first = through_a_balancer(&house, 1).await.unwrap();
    first.hello("home-1").await;
    assert!(matches!(first.hear().await, Some(CloudFrame::Welcome(_))));
    let second = through_a_balancer(&house, 2).await;
    assert!(second.is_ok(), "another home behind the same balancer");
    assert!(through_a_balancer(&house, 1).await.is_err(), "one home has one place");
    assert_eq!(house.metrics().turned_away_address.get(), 1);
    drop(first);
    house.until("its place is free", |house| house.metrics().connections.get() == 1).await;
    assert!(through_a_balancer(&house, 1).await.is_ok());
    assert_eq!(house.metrics().proxy_refused.get(), 0);
}

#[actix_rt::test]
async fn without_the_balancers_header_nobody_is_let_in_and_a_health_check_is_no_error() {
    let house = House::start(|config| config.proxy_protocol = true);
    assert!(Hem::connect(house.address(), house.client()).await.is_err());
    assert_eq!(house.metrics().proxy_refused.get(), 1);
    // The balancer speaks for itself, and says no more.
    let mut check = TcpStream::connect(house.address()).await.unwrap();
    check.write_all(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0").await.unwrap();
    drop(check);
    house.until("it is gone", |house| house.metrics().connections.get() == 0).await;
    assert_eq!(house.metrics().proxy_refused.get(), 1);
    assert_eq!(house.metrics().handshakes_failed.get(), 1, "that of the one without");
}
