//! The header with which a balancer says whom it speaks for: the PROXY protocol, version 2, in its binary
//! form (W. Tarreau, <https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>, section 2.2). Pure: it
//! reads no socket.

use std::net::{IpAddr, SocketAddr};

/// What every header begins with.
pub(crate) const START: usize = 16;
/// No header is longer beyond that; with all that it can say of TLS a usual one has some hundred bytes.
const LONGEST: usize = 2_048;
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoHeader {
    #[error(
        "the connection does not begin with a PROXY protocol header of version 2; let the balancer send one (send-proxy-v2), or set hem.proxy_protocol = false"
    )]
    Signature,
    #[error("its PROXY protocol header has version {0}, which is not 2")]
    Version(u8),
    #[error("its PROXY protocol header has the unknown command {0}")]
    Command(u8),
    #[error("its PROXY protocol header has {0} bytes, more than the {LONGEST} there may be")]
    TooLong(usize),
    #[error("its PROXY protocol header is too short for the addresses it speaks of")]
    TooShort,
}

/// The beginning of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    /// Whether the balancer speaks for somebody, and not for itself.
    is_proxied: bool,
    family: u8,
    /// How many bytes follow.
    pub(crate) length: usize,
}

/// Reads the beginning of a header.
pub(crate) fn start(bytes: [u8; START]) -> Result<Start, NoHeader> {
    let [signature @ .., version_and_command, family, high, low] = bytes;
    if signature != SIGNATURE {
        return Err(NoHeader::Signature);
    }
    let version = version_and_command >> 4;
    if version != 2 {
        return Err(NoHeader::Version(version));
    }
    let is_proxied = match version_and_command & 0x0f {
        0 => false,
        1 => true,
        other => return Err(NoHeader::Command(other)),
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST {
        return Err(NoHeader::TooLong(length));
    }
    Ok(Start { is_proxied, family, length })
}

impl Start {
    /// Whom the balancer speaks for, of the bytes that follow; absent: itself, or it does not say. What
    /// else it says is passed over.
    pub(crate) fn client(self, rest: &[u8]) -> Result<Option<SocketAddr>, NoHeader> {
        // A stream over IPv4, or IPv6; whoever speaks by other means has no address to be counted by.
        match (self.is_proxied, self.family) {
            (true, 0x11) => address::<4>(rest).map(Some),
            (true, 0x21) => address::<16>(rest).map(Some),
            _ => Ok(None),
        }
    }
}

/// The source's address and port: both addresses stand before both ports.
fn address<const BYTES: usize>(rest: &[u8]) -> Result<SocketAddr, NoHeader>
where
    IpAddr: From<[u8; BYTES]>,
{
    let (source, rest) = rest.split_first_chunk::<BYTES>().ok_or(NoHeader::TooShort)?;
    let (_, rest) = rest.split_first_chunk::<BYTES>().ok_or(NoHeader::TooShort)?;
    let (port, rest) = rest.split_first_chunk::<2>().ok_or(NoHeader::TooShort)?;
    if rest.len() < 2 {
        return Err(NoHeader::TooShort);
    }
    Ok((IpAddr::from(*source), u16::from_be_bytes(*port)).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<SocketAddr>, NoHeader> {
        let (first, rest) = bytes.split_first_chunk::<START>().ok_or(NoHeader::TooShort)?;
        let start = start(*first)?;
        start.client(rest.get(..start.length).ok_or(NoHeader::TooShort)?)
    }

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[0x20 | command, family], &length, rest].concat()
    }

    fn of(source: SocketAddr, further: &[u8]) -> Vec<u8> {
        let port = source.port().to_be_bytes();
        let (family, ip) = match source.ip() {
            IpAddr::V4(ip) => (0x11, ip.octets().to_vec()),
            IpAddr::V6(ip) => (0x21, ip.octets().to_vec()),
        };
        header(1, family, &[&ip[..], &ip, &port, &[0, 80], further].concat())
    }

    #[test]
    fn a_header_as_haproxy_sends_it_says_whom_it_speaks_for() {
        let bytes =
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\x0a\x00\x00\x01\xc8\x15\x5a\x53";
        assert_eq!(read(bytes), Ok(Some("192.0.2.7:51221".parse().unwrap())));
    }

    #[test]
    fn a_balancer_that_speaks_for_itself_names_nobody() {
        assert_eq!(read(&header(0, 0, &[])), Ok(None));
        assert_eq!(read(&header(0, 0x11, &[1; 12])), Ok(None));
        assert_eq!(read(&header(1, 0x31, &[1; 216])), Ok(None), "a socket of the machine");
    }

    #[test]
    fn what_is_no_header_is_refused_with_what_to_do() {
        let tls = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 0, 0, 0, 0, 0];
        let error = read(&tls).unwrap_err();
        assert_eq!(error, NoHeader::Signature);
        assert!(error.to_string().contains("send-proxy-v2"), "{error}");
        assert_eq!(read(&header(2, 0x11, &[1; 12])), Err(NoHeader::Command(2)));
        assert_eq!(read(&header(1, 0x11, &[1; 11])), Err(NoHeader::TooShort));
        assert_eq!(read(&header(1, 0x21, &[1; 35])), Err(NoHeader::TooShort));
        assert_eq!(read(&header(1, 0x11, &vec![0; 3_000])), Err(NoHeader::TooLong(3_000)));
        let mut first_version = header(1, 0x11, &[1; 12]);
        first_version[12] = 0x11;
        assert_eq!(read(&first_version), Err(NoHeader::Version(1)));
    }

    proptest! {
        #[test]
        fn every_address_comes_through_whatever_follows_it(
            ip: [u8; 16], is_v4: bool, port: u16, further in prop::collection::vec(any::<u8>(), 0..64)
        ) {
            let [a, b, c, d, ..] = ip;
            let ip: IpAddr = if is_v4 { [a, b, c, d].into() } else { ip.into() };
            let source = SocketAddr::from((ip, port));
            prop_assert_eq!(read(&of(source, &further)), Ok(Some(source)));
        }

        #[test]
        fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..64), signed: bool) {
            let bytes = if signed { [&SIGNATURE[..], &bytes].concat() } else { bytes };
            let _ = read(&bytes);
        }
    }
}
