//! A way to the server that can be cut at any message.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Where the way is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Before this message reaches the server, counted from 1.
    Before(usize),
    /// After it reached the server, before the answer comes back.
    After(usize),
}

#[derive(Default)]
struct Way {
    cut: Option<Cut>,
    messages: usize,
    is_cut: bool,
    was_cut: bool,
    connections: Vec<TcpStream>,
}

/// Passes on what a client and a server say, message by message.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    way: Arc<Mutex<Way>>,
}

impl Proxy {
    pub(super) fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let way: Arc<Mutex<Way>> = Arc::default();
        let (held, server) = (Arc::clone(&way), server.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                connect(&held, client, &server);
            }
        });
        Self { address, way }
    }

    /// From now on messages are counted, and at one of them everything is cut.
    pub(super) fn cut_at(&self, cut: Cut) {
        let mut way = self.way.lock().unwrap();
        (way.cut, way.messages) = (Some(cut), 0);
    }

    /// Whether it ever came to that.
    pub(super) fn was_cut(&self) -> bool {
        self.way.lock().unwrap().was_cut
    }

    /// The way is open again.
    pub(super) fn heal(&self) {
        let mut way = self.way.lock().unwrap();
        (way.cut, way.is_cut) = (None, false);
    }
}

fn connect(way: &Arc<Mutex<Way>>, client: TcpStream, server: &str) {
    let mut held = way.lock().unwrap();
    let Ok(server) = TcpStream::connect(server) else { return };
    if held.is_cut {
        return;
    }
    let clone = |stream: &TcpStream| stream.try_clone().unwrap();
    held.connections.extend([clone(&client), clone(&server)]);
    let (answers, asker) = (clone(&server), clone(&client));
    let swallows = Arc::new(AtomicBool::new(false));
    let (other_way, swallows_too) = (Arc::clone(way), Arc::clone(&swallows));
    thread::spawn(move || pass_back(&other_way, answers, asker, &swallows_too));
    let way = Arc::clone(way);
    thread::spawn(move || pass_on(&way, client, server, &swallows));
}

fn pass_on(way: &Mutex<Way>, mut client: TcpStream, mut server: TcpStream, swallows: &AtomicBool) {
    while let Some(message) = next_message(&mut client) {
        let mut way = way.lock().unwrap();
        // The driver asks by itself how the server is.
        let is_ours = !contains(&message, b"hello\0") && !contains(&message, b"isMaster\0");
        way.messages += usize::from(is_ours);
        let reached = way.messages;
        match way.cut {
            Some(Cut::Before(at)) if is_ours && reached >= at => return cut(&mut way),
            // The server has done it for certain once it answers.
            Some(Cut::After(at)) if is_ours && reached >= at => {
                swallows.store(true, Ordering::SeqCst);
            }
            _ => {}
        }
        drop(way);
        if server.write_all(&message).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}

fn pass_back(
    way: &Mutex<Way>,
    mut server: TcpStream,
    mut client: TcpStream,
    swallows: &AtomicBool,
) {
    let mut bytes = [0; 16_384];
    while let Ok(count @ 1..) = server.read(&mut bytes) {
        if swallows.load(Ordering::SeqCst) {
            return cut(&mut way.lock().unwrap());
        }
        if client.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

fn cut(way: &mut Way) {
    (way.is_cut, way.was_cut) = (true, true);
    for connection in way.connections.drain(..) {
        let _ = connection.shutdown(Shutdown::Both);
    }
}

fn next_message(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    client.read_exact(&mut length).ok()?;
    let mut message = length.to_vec();
    message.resize(usize::try_from(u32::from_le_bytes(length)).unwrap(), 0);
    client.read_exact(&mut message[4..]).ok()?;
    Some(message)
}

fn contains(message: &[u8], word: &[u8]) -> bool {
    message.windows(word.len()).any(|window| window == word)
}
