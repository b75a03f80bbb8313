//! A caller that costs little: one kept connection over which it commands, waits for the answer, and
//! looks that it is the one that was hoped for.

use std::net::SocketAddr;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// What is asked of a HEM. The acknowledgement is its end: there is no effect to be seen.
const BODY: &str = r#"{"action":"report-every","seconds":60,"reason":"it is measured"}"#;

/// A kept connection.
pub(crate) struct Caller {
    stream: BufReader<TcpStream>,
    head: String,
    line: String,
    body: Vec<u8>,
}

impl Caller {
    pub(crate) async fn connect(address: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let length = BODY.len();
        let head = format!(
            " HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: \
             application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        Ok(Self { stream: BufReader::new(stream), head, line: String::new(), body: Vec::new() })
    }

    /// Commands a HEM, and waits until its acknowledgement is on disk.
    pub(crate) async fn command(&mut self, hem: &str) -> anyhow::Result<()> {
        let request = format!("POST /api/v1/hems/{hem}/commands?wait=30s{}{BODY}", self.head);
        self.stream.get_mut().write_all(request.as_bytes()).await?;
        self.read_line().await?;
        let status = self.line.trim_end().to_owned();
        let mut length = None;
        loop {
            self.read_line().await?;
            let header = self.line.trim_end();
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
        self.stream.read_exact(&mut self.body).await?;
        let body = String::from_utf8_lossy(&self.body);
        anyhow::ensure!(
            status.contains(" 202 ") && body.contains(r#""state":"acknowledged""#),
            "{status}: {body}"
        );
        Ok(())
    }

    async fn read_line(&mut self) -> anyhow::Result<()> {
        self.line.clear();
        let read = self.stream.read_line(&mut self.line).await?;
        anyhow::ensure!(read > 0, "the connection ended");
        Ok(())
    }
}
