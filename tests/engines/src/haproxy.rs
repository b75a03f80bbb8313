//! A HAProxy of one's own in front of servers on the loopback.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use crate::guarded::{Guarded, program, spare_port};

const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// What stands behind it: where HEMs connect, and where HTTP is answered.
#[derive(Debug, Clone, Copy)]
pub struct Behind {
    /// The port for HEMs.
    pub hem: u16,
    /// The port for HTTP.
    pub http: u16,
}

/// A running HAProxy, with a port for HEMs and one for HTTP; stopped when dropped.
#[derive(Debug)]
pub struct HaProxy {
    hem: u16,
    http: u16,
    _server: Guarded,
}

impl HaProxy {
    /// Whether its program is on this machine.
    #[must_use]
    pub fn is_here() -> bool {
        program("haproxy").is_some()
    }

    /// Starts one in front of these servers, and waits until it listens. It asks each server's
    /// `/health/live` whether it is there, four times a second, and says for whom it speaks to the port
    /// for HEMs (PROXY protocol, version 2).
    ///
    /// # Errors
    /// When it is not installed, or does not come up; with what it printed.
    pub fn start(folder: &Path, servers: &[Behind]) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        let (hem, http) = (spare_port()?, spare_port()?);
        let file = folder.join("haproxy.cfg");
        fs::write(&file, configuration(hem, http, servers))?;
        let haproxy = program("haproxy").context("HAProxy is not installed")?;
        let line = [haproxy.into_os_string(), "-db".into(), "-f".into(), file.into_os_string()];
        let mut server = Guarded::start("haproxy", folder, &line, &[])?;
        server
            .wait_until(STARTS_WITHIN, || TcpStream::connect((Ipv4Addr::LOCALHOST, hem)).is_ok())?;
        Ok(Self { hem, http, _server: server })
    }

    /// Where HEMs connect.
    #[must_use]
    pub fn hem_port(&self) -> u16 {
        self.hem
    }

    /// Where HTTP is answered.
    #[must_use]
    pub fn http_port(&self) -> u16 {
        self.http
    }
}

/// The shape of `deploy/haproxy.cfg`, quicker to notice.
fn configuration(hem: u16, http: u16, servers: &[Behind]) -> String {
    let each = |port: fn(&Behind) -> u16, says: &str| -> String {
        let line = |(number, server): (usize, &Behind)| {
            format!(
                "    server memcloud{number} 127.0.0.1:{} {says} check port {}\n",
                port(server),
                server.http
            )
        };
        servers.iter().enumerate().map(line).collect()
    };
    let hems = each(|server| server.hem, "send-proxy-v2");
    let webs = each(|server| server.http, "");
    format!(
        "global
    maxconn 2000
defaults
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
    option redispatch
    retries 2
    default-server inter 250ms fall 1 rise 1 on-marked-down shutdown-sessions
listen hems
    bind 127.0.0.1:{hem}
    mode tcp
    balance leastconn
    option httpchk GET /health/live
{hems}listen rest
    bind 127.0.0.1:{http}
    mode http
    balance roundrobin
    option httpchk GET /health/live
{webs}"
    )
}
