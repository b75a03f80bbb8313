//! A caller that costs little: one connection that is kept, the same request again and again, and of
//! the answer only what must be looked at.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::Context;

/// A kept connection, and what it asks for.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    request: String,
    body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr, path: &str, token: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        Ok(Self { stream: BufReader::new(stream), request, body: Vec::new() })
    }

    /// Asks once; how many bytes the answer's body has. Anything but 200 is an error.
    pub(crate) fn call(&mut self) -> anyhow::Result<usize> {
        self.stream.get_mut().write_all(self.request.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.trim_end().to_owned();
        let mut length = None;
        loop {
            line.clear();
            anyhow::ensure!(self.stream.read_line(&mut line)? > 0, "the connection ended");
            let header = line.trim_end();
            if header.is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = Some(value.trim().parse::<usize>()?);
            }
        }
        let length = length.context("an answer without a length")?;
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body)?;
        anyhow::ensure!(
            status.contains(" 200 "),
            "{status}: {}",
            String::from_utf8_lossy(&self.body)
        );
        Ok(length)
    }
}
