//! A way to a broker that a test can cut: what goes through is passed on as it is.

use std::net::Ipv4Addr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Whether connections are taken, and how often they were cut.
#[derive(Clone, Copy, PartialEq)]
struct State {
    whole: bool,
    cuts: u64,
}

/// A way to a port of the loopback.
pub(crate) struct Cuttable {
    port: u16,
    state: watch::Sender<State>,
}

impl Cuttable {
    /// Opens one.
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, watched) = watch::channel(State { whole: true, cuts: 0 });
        tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let mut watched = watched.clone();
                let begun = *watched.borrow_and_update();
                if !begun.whole {
                    continue;
                }
                tokio::spawn(async move {
                    let mut far = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = watched.wait_for(|state| state.cuts != begun.cuts) => {}
                    }
                });
            }
        });
        Self { port, state }
    }

    /// Where it begins.
    pub(crate) fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}", self.port)
    }

    /// Cuts every connection, and takes no new ones.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| *state = State { whole: false, cuts: state.cuts + 1 });
    }

    /// Takes connections again.
    pub(crate) fn mend(&self) {
        self.state.send_modify(|state| state.whole = true);
    }
}
