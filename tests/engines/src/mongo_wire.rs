//! The little of MongoDB's protocol that makes a replica set: a command, and whether a field of its
//! answer is true. The driver would do it too, but it takes minutes to build, and `xtask` must not.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// A value of a BSON document.
pub(crate) enum Value {
    Int32(i32),
    Text(String),
    Document(Vec<(&'static str, Value)>),
    /// Its names are "0", "1", ….
    Array(Vec<(&'static str, Value)>),
}

/// What a server answered: one BSON document, as it came.
pub(crate) struct Answer(Vec<u8>);

impl Answer {
    /// Whether a boolean of this name is in it, and true.
    pub(crate) fn is_true(&self, name: &str) -> bool {
        let mut sought = vec![0x08];
        sought.extend(name.as_bytes());
        sought.extend([0, 1]);
        self.0.windows(sought.len()).any(|window| window == sought)
    }
}

/// Asks a command of the server on a port of the loopback.
pub(crate) fn ask(port: u16, command: &[(&'static str, Value)]) -> io::Result<Answer> {
    const LARGEST: usize = 1 << 20;
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(&message(command)?)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(LARGEST);
    if !(16..LARGEST).contains(&length) {
        return Err(io::Error::other("no answer of MongoDB has this length"));
    }
    let mut answer = vec![0; length - 4];
    stream.read_exact(&mut answer)?;
    Ok(Answer(answer))
}

/// An OP_MSG with one section: the command.
fn message(command: &[(&'static str, Value)]) -> io::Result<Vec<u8>> {
    const OP_MSG: i32 = 2013;
    let body = document(command)?;
    let length = i32::try_from(16 + 4 + 1 + body.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    for number in [length, 1, 0, OP_MSG, 0] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.push(0);
    bytes.extend(body);
    Ok(bytes)
}

fn document(fields: &[(&'static str, Value)]) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let (kind, bytes) = match value {
            Value::Text(text) => {
                let length = i32::try_from(text.len() + 1).map_err(io::Error::other)?;
                (0x02, [&length.to_le_bytes()[..], text.as_bytes(), &[0]].concat())
            }
            Value::Document(inner) => (0x03, document(inner)?),
            Value::Array(inner) => (0x04, document(inner)?),
            Value::Int32(number) => (0x10, number.to_le_bytes().to_vec()),
        };
        body.push(kind);
        body.extend(name.as_bytes());
        body.push(0);
        body.extend(bytes);
    }
    let length = i32::try_from(4 + body.len() + 1).map_err(io::Error::other)?;
    Ok([&length.to_le_bytes()[..], &body, &[0]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_written_as_the_specification_of_bson_shows_it() {
        // The example of bsonspec.org.
        let bytes = document(&[("hello", Value::Text("world".into()))]).unwrap();
        assert_eq!(bytes, b"\x16\x00\x00\x00\x02hello\x00\x06\x00\x00\x00world\x00\x00");
    }
}
