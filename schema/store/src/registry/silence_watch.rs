//! Ends the wait for a server that has fallen silent. The client library waits for an answer without end:
//! if the server is stopped, or its machine is gone, no packet ever tells. Whoever speaks to it is
//! watched, and after a while its socket is shut down: then the library comes back with an error.
//!
//! The socket is found among the process's own by the port from which the server says it is spoken to.
//! Through a proxy, or where the system does not list them, that finds none: then the proxy's time-outs,
//! or the system's, are the only ones.

use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use nix::sys::socket::{
    Shutdown, SockaddrLike, SockaddrStorage, getpeername, getsockname, shutdown,
};

use super::pool::lock;

const TICK: Duration = Duration::from_millis(500);

/// Watches those who speak to a server.
#[derive(Debug)]
pub(super) struct SilenceWatch {
    patience_ticks: u32,
    speaking: Mutex<Speaking>,
}

#[derive(Debug, Default)]
struct Speaking {
    next: u64,
    sockets: BTreeMap<u64, Watched>,
}

#[derive(Debug)]
struct Watched {
    socket: Socket,
    ticks: u32,
    was_cut: Arc<AtomicBool>,
}

/// An open socket of this process, as long as its connection is not dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Socket(RawFd);

/// Somebody waits for the server; until it is dropped, which is before the connection is.
#[derive(Debug)]
pub(super) struct Conversation {
    watch: Arc<SilenceWatch>,
    number: u64,
    was_cut: Arc<AtomicBool>,
}

impl Socket {
    /// The TCP socket that has these ports on our side and on the other.
    pub(super) fn between(own: u16, other: u16) -> Option<Self> {
        let entries = std::fs::read_dir("/proc/self/fd").ok()?;
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok())
            .find(|socket| ports_of(*socket) == Some((own, other)))
            .map(Self)
    }
}

/// The ports on our side and on the other of what is a connected TCP socket.
fn ports_of(socket: RawFd) -> Option<(u16, u16)> {
    let port = |address: SockaddrStorage| match address.family()? {
        nix::sys::socket::AddressFamily::Inet => Some(address.as_sockaddr_in()?.port()),
        nix::sys::socket::AddressFamily::Inet6 => Some(address.as_sockaddr_in6()?.port()),
        _ => None,
    };
    Some((port(getsockname(socket).ok()?)?, port(getpeername(socket).ok()?)?))
}

impl SilenceWatch {
    /// Watches on a thread of its own, until it is dropped.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub(super) fn start(patience: Duration) -> std::io::Result<Arc<Self>> {
        let ticks = patience.as_millis().div_ceil(TICK.as_millis());
        let watch = Arc::new(Self {
            patience_ticks: u32::try_from(ticks).unwrap_or(u32::MAX),
            speaking: Mutex::default(),
        });
        let weak = Arc::downgrade(&watch);
        std::thread::Builder::new()
            .name("mysql-silence".to_owned())
            .spawn(move || watch_on(&weak))?;
        Ok(watch)
    }

    /// From now on a socket is waited for no longer than the patience lasts.
    pub(super) fn listen(self: &Arc<Self>, socket: Socket) -> Conversation {
        let was_cut = Arc::new(AtomicBool::new(false));
        let mut speaking = lock(&self.speaking);
        let number = speaking.next;
        speaking.next += 1;
        let watched = Watched { socket, ticks: 0, was_cut: Arc::clone(&was_cut) };
        speaking.sockets.insert(number, watched);
        Conversation { watch: Arc::clone(self), number, was_cut }
    }

    fn tick(&self) {
        // While this is locked no conversation ends, so no socket becomes another's.
        for watched in lock(&self.speaking).sockets.values_mut() {
            watched.ticks += 1;
            if watched.ticks == self.patience_ticks {
                watched.was_cut.store(true, Ordering::Relaxed);
                // Where it is closed already there is nobody to be freed.
                let _ = shutdown(watched.socket.0, Shutdown::Both);
            }
        }
    }
}

fn watch_on(watch: &Weak<SilenceWatch>) {
    loop {
        std::thread::sleep(TICK);
        let Some(watch) = watch.upgrade() else { return };
        watch.tick();
    }
}

impl Conversation {
    /// Whether the patience was over.
    pub(super) fn was_cut(&self) -> bool {
        self.was_cut.load(Ordering::Relaxed)
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        lock(&self.watch.speaking).sockets.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn whoever_waits_for_a_silent_peer_is_freed_and_others_are_left_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut waiting, idle) = (connect(), connect());
        let (_silent, mut other_end) = (listener.accept().unwrap(), listener.accept().unwrap().0);
        let port = |stream: &TcpStream| stream.local_addr().unwrap().port();
        let other = listener.local_addr().unwrap().port();
        let socket = Socket::between(port(&waiting), other).unwrap();
        assert_eq!(Socket::between(port(&waiting), port(&waiting)), None);

        let watch = SilenceWatch::start(TICK).unwrap();
        drop(watch.listen(Socket::between(port(&idle), other).unwrap()));
        let conversation = watch.listen(socket);
        assert_eq!(waiting.read(&mut [0]).unwrap(), 0, "it was shut down");
        assert!(conversation.was_cut());
        drop(idle);
        assert_eq!(other_end.read(&mut [0]).unwrap(), 0);
    }
}
