//! Raw readings and events as CSV (RFC 4180). Readings are one line per node, so that the columns are
//! the same whatever a home has.

use std::fmt::{Display, Write as _};

use memcloud_rest::{RawEvent, RawReading};

/// The type as it is offered and asked for.
pub(crate) const MEDIA_TYPE: &str = "text/csv";
/// The type as it is answered.
pub(crate) const CONTENT_TYPE: &str = "text/csv; charset=utf-8; header=present";

/// Something that is written as lines of a table.
pub(crate) trait CsvLines {
    /// The first line.
    const HEADER: &'static str;
    /// Writes its lines.
    fn write_lines(&self, table: &mut String);
}

impl CsvLines for RawReading {
    const HEADER: &'static str =
        "seq,ts,received,node,watts,volts,amps,vars,hertz,wh_in,wh_out,soc,on\r\n";

    fn write_lines(&self, table: &mut String) {
        let ts = rfc3339(&self.ts);
        let received = rfc3339(&self.received);
        for node in &self.nodes {
            let _ = write!(table, "{},{ts},{received},{}", self.seq, node.node);
            number(table, node.watts.map(|value| value.0));
            number(table, node.volts.map(|value| value.0));
            number(table, node.amps.map(|value| value.0));
            number(table, node.vars.map(|value| value.0));
            number(table, node.hertz.map(|value| value.0));
            number(table, node.wh_in.map(|value| value.0));
            number(table, node.wh_out.map(|value| value.0));
            number(table, node.soc.map(|value| value.0));
            number(table, node.on);
            table.push_str("\r\n");
        }
    }
}

impl CsvLines for RawEvent {
    const HEADER: &'static str = "seq,ts,received,kind,node,on,watts,until,text\r\n";

    fn write_lines(&self, table: &mut String) {
        let _ = write!(table, "{},{},{}", self.seq, rfc3339(&self.ts), rfc3339(&self.received));
        text(table, &self.kind);
        number(table, self.node);
        number(table, self.on);
        number(table, self.watts.map(|value| value.0));
        number(table, self.until.as_ref().map(rfc3339));
        text(table, self.text.as_deref().unwrap_or_default());
        table.push_str("\r\n");
    }
}

fn rfc3339(moment: &chrono::DateTime<chrono::Utc>) -> String {
    moment.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// A further column of something that needs no quotes; empty where it is absent.
fn number(table: &mut String, value: Option<impl Display>) {
    table.push(',');
    if let Some(value) = value {
        let _ = write!(table, "{value}");
    }
}

/// A further column of text, quoted where it must be. What a spreadsheet would run as a formula is
/// preceded by an apostrophe, since a HEM may send any text.
fn text(table: &mut String, value: &str) {
    table.push(',');
    let runs = value.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let quoted = runs || value.contains([',', '"', '\n', '\r']);
    if !quoted {
        table.push_str(value);
        return;
    }
    table.push('"');
    if runs {
        table.push('\'');
    }
    for character in value.chars() {
        if character == '"' {
            table.push('"');
        }
        table.push(character);
    }
    table.push('"');
}

#[cfg(test)]
mod tests {
    use memcloud_domain::{HemEvent, NodeId, NodeReading, Reading, Seq, Timestamp, Watts};

    use super::*;

    #[test]
    fn a_reading_is_a_line_per_node_with_a_column_per_quantity() {
        let mut nodes = vec![NodeReading::empty(NodeId(0)), NodeReading::empty(NodeId(7))];
        nodes[0].watts = Some(Watts(-1234.5));
        nodes[1].on = Some(true);
        let reading = Reading { seq: Seq(9), ts: Timestamp(0), received: Timestamp(1_500), nodes };
        let mut table = String::new();
        RawReading::from(reading).write_lines(&mut table);
        assert_eq!(
            table,
            "9,1970-01-01T00:00:00.000Z,1970-01-01T00:00:01.500Z,0,-1234.5,,,,,,,,\r\n\
             9,1970-01-01T00:00:00.000Z,1970-01-01T00:00:01.500Z,7,,,,,,,,,true\r\n"
        );
        let columns = RawReading::HEADER.matches(',').count();
        assert!(table.lines().all(|line| line.matches(',').count() == columns));
    }

    #[test]
    fn a_text_can_break_neither_the_table_nor_a_spreadsheet() {
        let event = |kind: &str, said: &str| {
            let mut table = String::new();
            RawEvent::from(HemEvent {
                seq: Seq(1),
                ts: Timestamp(0),
                received: Timestamp(0),
                kind: kind.to_owned(),
                node: None,
                on: None,
                watts: None,
                until: None,
                text: Some(said.to_owned()),
            })
            .write_lines(&mut table);
            table
        };
        assert!(event("booted", "a,\"b\"\r\nc").ends_with(",booted,,,,,\"a,\"\"b\"\"\r\nc\"\r\n"));
        assert!(event("=1+1", "").contains(",\"'=1+1\","));
    }
}
