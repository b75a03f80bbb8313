//! The queue's file: appended to, now and then rewritten without what is out of date. A line is a
//! checksum and a record. A line that a kill or a power cut tore, or that went bad, is passed over;
//! what follows is still read. One process at a time has it, by a lock.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use memcloud_domain::{HemId, Secret, Seq, Timestamp};
use memcloud_wire::{CommandResult, HemFrame};
use tokio::time::Instant;

use super::SyncPolicy;
use super::ledger::Ledger;
use super::queue::{Item, ItemKind, ItemTime};
use crate::SdkError;

/// A file smaller than this is not worth rewriting.
const WORTH_REWRITING: u64 = 1 << 20;

/// A line of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Record<'a> {
    /// An item was taken.
    Item(&'a Item),
    /// Everything up to a number is safe.
    Through(Seq),
    /// One item is gone.
    Drop(Seq),
    /// Everything from a number on was numbered anew, the first as `first`.
    Renumber { from: Seq, first: Seq },
    /// The next number to give.
    Next(Seq),
    /// The counter was welcomed.
    Welcomed,
    /// The device key that an enrolment brought.
    Key(&'a Secret),
    /// A command of an order is about to be carried out at a node and action.
    Order { place: &'a str, order: u64 },
    /// A command is about to be carried out.
    Begun { command: &'a str },
    /// How a command ended.
    Result(&'a CommandResult),
    /// A lease runs at a node and action.
    Lease { place: &'a str },
    /// It is over.
    LeaseOver { place: &'a str },
}

/// What a file held.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) items: VecDeque<Item>,
    pub(crate) next: Seq,
    pub(crate) welcomed: bool,
    pub(crate) key: Option<Secret>,
    pub(crate) ledger: Ledger,
    /// Lines that could not be read.
    pub(crate) unreadable: usize,
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    hem: HemId,
    sync: SyncPolicy,
    file: File,
    length: u64,
    needs_new_line: bool,
    line: Vec<u8>,
}

/// What a rewritten file holds beside the items.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(crate) next: Seq,
    pub(crate) welcomed: bool,
    pub(crate) key: Option<&'a Secret>,
    pub(crate) ledger: &'a Ledger,
}

impl Journal {
    /// Opens or makes the file of a HEM and reads it.
    pub(crate) fn open(
        path: &Path,
        hem: &HemId,
        sync: SyncPolicy,
        now: Instant,
    ) -> Result<(Self, Loaded), SdkError> {
        let failed = |source| SdkError::Journal { path: path.to_owned(), source };
        let file = open_file(path).map_err(failed)?;
        lock(&file).map_err(failed)?;
        let loaded = load(&file, hem, now).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut journal = Self {
            path: path.to_owned(),
            hem: hem.clone(),
            sync,
            file,
            length,
            needs_new_line: false,
            line: Vec::new(),
        };
        if length == 0 {
            journal.append_text(&header(hem))?;
            sync_folder(path).map_err(failed)?;
        }
        if loaded.unreadable > 0 {
            log::warn!(
                unreadable_lines = loaded.unreadable, items = loaded.items.len();
                "the queue's file {} had lines that could not be read, as after a power cut; the rest was kept",
                path.display()
            );
            let kept = Kept {
                next: loaded.next,
                welcomed: loaded.welcomed,
                key: loaded.key.as_ref(),
                ledger: &loaded.ledger,
            };
            journal.rewrite(kept, loaded.items.iter())?;
        }
        Ok((journal, loaded))
    }

    /// Appends a record, and forces it to the disk where the policy asks for that.
    pub(crate) fn append(&mut self, record: Record<'_>) -> Result<(), SdkError> {
        let text = record_text(record);
        self.append_text(&text)?;
        // A mark that is lost only means sending again.
        let must_last = !matches!(record, Record::Through(_));
        if must_last && self.sync == SyncPolicy::Each {
            self.file.sync_data().map_err(|source| self.failed(source))?;
        }
        Ok(())
    }

    fn append_text(&mut self, text: &str) -> Result<(), SdkError> {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        if self.needs_new_line {
            line.push(b'\n');
        }
        push_line(&mut line, text);
        let written = self.file.write_all(&line);
        let grown = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if line.capacity() <= 4_096 {
            self.line = line;
        }
        match written {
            Ok(()) => {
                self.length = self.length.saturating_add(grown);
                self.needs_new_line = false;
                Ok(())
            }
            Err(source) => {
                // Half a line may be there: take it away, or at least end it.
                self.needs_new_line = self.file.set_len(self.length).is_err();
                Err(self.failed(source))
            }
        }
    }

    fn failed(&self, source: io::Error) -> SdkError {
        SdkError::Journal { path: self.path.clone(), source }
    }

    pub(crate) fn may_be_stale(&self) -> bool {
        self.length > WORTH_REWRITING
    }

    /// Whether more than three quarters of the file are out of date.
    pub(crate) fn is_mostly_stale(&self, live_bytes: usize) -> bool {
        let live = u64::try_from(live_bytes).unwrap_or(u64::MAX);
        self.length > WORTH_REWRITING && self.length / 4 > live
    }

    /// Writes the file anew beside the old one and puts it in its place.
    pub(crate) fn rewrite<'a>(
        &mut self,
        kept: Kept<'_>,
        items: impl Iterator<Item = &'a Item>,
    ) -> Result<(), SdkError> {
        let new_path = self.path.with_extension("new");
        let file = self
            .write_anew(&new_path, kept, items)
            .map_err(|source| SdkError::Journal { path: new_path, source })?;
        self.length = file.metadata().map_err(|source| self.failed(source))?.len();
        self.file = file;
        self.needs_new_line = false;
        Ok(())
    }

    fn write_anew<'a>(
        &self,
        new_path: &Path,
        kept: Kept<'_>,
        items: impl Iterator<Item = &'a Item>,
    ) -> io::Result<File> {
        match std::fs::remove_file(new_path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = open_file(new_path)?;
        lock(&file)?;
        let mut out = io::BufWriter::new(&file);
        let mut line = Vec::new();
        let mut put = |text: &str| {
            line.clear();
            push_line(&mut line, text);
            out.write_all(&line)
        };
        put(&header(&self.hem))?;
        put(&record_text(Record::Next(kept.next)))?;
        if kept.welcomed {
            put(&record_text(Record::Welcomed))?;
        }
        if let Some(key) = kept.key {
            put(&record_text(Record::Key(key)))?;
        }
        kept.ledger.each_record(|record| put(&record_text(record)))?;
        for item in items {
            put(&record_text(Record::Item(item)))?;
        }
        out.flush()?;
        drop(out);
        file.sync_all()?;
        std::fs::rename(new_path, &self.path)?;
        sync_folder(&self.path)?;
        Ok(file)
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn lock(file: &File) -> io::Result<()> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => {
            io::Error::new(io::ErrorKind::ResourceBusy, "another process has it open")
        }
        TryLockError::Error(source) => source,
    })
}

/// Makes a new name in a folder last.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// FNV-1a with 64 bits: tells a torn line from a whole one; no defence against forgery.
fn checksum(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn push_line(line: &mut Vec<u8>, text: &str) {
    line.extend_from_slice(format!("{:016x} ", checksum(text.as_bytes())).as_bytes());
    line.extend_from_slice(text.as_bytes());
    line.push(b'\n');
}

fn header(hem: &HemId) -> String {
    format!("memcloud-hem-queue 1 {hem}")
}

fn record_text(record: Record<'_>) -> String {
    match record {
        Record::Item(item) => {
            let kind = match item.kind {
                ItemKind::Reading => 'r',
                ItemKind::Event => 'e',
            };
            let time = match item.time {
                ItemTime::At(ts) => format!("t{}", ts.as_millis()),
                ItemTime::Age { age_ms, .. } => format!("a{age_ms}"),
            };
            format!("item {} {kind} {time} {}", item.seq, item.body)
        }
        Record::Through(seq) => format!("through {seq}"),
        Record::Drop(seq) => format!("drop {seq}"),
        Record::Renumber { from, first } => format!("renumber {from} {first}"),
        Record::Next(seq) => format!("next {seq}"),
        Record::Welcomed => "welcomed".to_owned(),
        Record::Key(key) => format!("key {}", key.expose()),
        Record::Order { place, order } => format!("order {place} {order}"),
        Record::Begun { command } => format!("begun {}", serde_json::Value::from(command)),
        Record::Result(result) => {
            let mut frame = Vec::new();
            HemFrame::Result(result.clone()).encode(&mut frame);
            format!("result {}", String::from_utf8_lossy(&frame).trim_end())
        }
        Record::Lease { place } => format!("lease {place}"),
        Record::LeaseOver { place } => format!("lease-over {place}"),
    }
}

/// Reads a file.
fn load(file: &File, hem: &HemId, now: Instant) -> io::Result<Loaded> {
    let mut loaded = Loaded::default();
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let mut has_header = false;
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let whole = line.pop_if(|byte| *byte == b'\n').is_some();
        if line.is_empty() {
            continue;
        }
        let Some(text) = verified(&line).filter(|_| whole) else {
            loaded.unreadable += 1;
            continue;
        };
        if let Some(rest) = text.strip_prefix("memcloud-hem-queue ") {
            if rest != format!("1 {hem}") {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("it belongs to another HEM or version: {}", rest.replace('\n', " ")),
                ));
            }
            has_header = true;
        } else if loaded.apply(text, now).is_none() {
            loaded.unreadable += 1;
        }
    }
    // A file so small without a header was torn when it was made.
    if !has_header && file.metadata()?.len() > 256 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is not a queue of a HEM; move it away",
        ));
    }
    Ok(loaded)
}

/// The record of a line whose checksum holds.
fn verified(line: &[u8]) -> Option<&str> {
    let (sum, text) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    (u64::from_str_radix(sum, 16).ok()? == checksum(text.as_bytes())).then_some(text)
}

impl Loaded {
    fn apply(&mut self, text: &str, now: Instant) -> Option<()> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let number = |text: &str| text.parse().map(Seq).ok();
        match word {
            "item" => {
                let mut parts = rest.splitn(4, ' ');
                let seq = number(parts.next()?)?;
                let kind = match parts.next()? {
                    "r" => ItemKind::Reading,
                    "e" => ItemKind::Event,
                    _ => return None,
                };
                let time = parts.next()?;
                let time = if let Some(ts) = time.strip_prefix('t') {
                    ItemTime::At(Timestamp(ts.parse().ok()?))
                } else {
                    // How long the process was away, nobody knows: the age counts on from now.
                    ItemTime::Age { age_ms: time.strip_prefix('a')?.parse().ok()?, recorded: now }
                };
                let body = parts.next()?;
                // Numbers ascend, whatever happened to the file.
                if self.items.back().is_some_and(|last| last.seq >= seq) {
                    return None;
                }
                self.items.push_back(Item::new(seq, kind, time, body.into()));
                self.next = self.next.max(Seq(seq.0.saturating_add(1)));
            }
            "through" => {
                let through = number(rest)?;
                while self.items.front().is_some_and(|item| item.seq <= through) {
                    self.items.pop_front();
                }
                self.next = self.next.max(Seq(through.0.saturating_add(1)));
            }
            "drop" => {
                let seq = number(rest)?;
                self.items.retain(|item| item.seq != seq);
            }
            "renumber" => {
                let (from, first) = rest.split_once(' ')?;
                let (from, first) = (number(from)?, number(first)?);
                let mut next = first;
                for item in self.items.iter_mut().filter(|item| item.seq >= from) {
                    item.seq = next;
                    next = Seq(next.0.saturating_add(1));
                }
                self.next = next;
            }
            "next" => self.next = number(rest)?,
            "welcomed" => self.welcomed = true,
            "key" => self.key = Some(Secret::new(rest)),
            "order" => {
                let (place, order) = rest.split_once(' ')?;
                self.ledger.remember_order(place, order.parse().ok()?);
            }
            "begun" => {
                let command: String = serde_json::from_str(rest).ok()?;
                self.ledger.remember_begun(&command);
            }
            "result" => {
                let HemFrame::Result(result) = HemFrame::decode(rest.as_bytes(), 0).ok()? else {
                    return None;
                };
                self.ledger.remember_result(&result);
            }
            "lease" => self.ledger.leases.run(rest, None),
            "lease-over" => {
                self.ledger.leases.end(rest);
            }
            _ => return None,
        }
        Some(())
    }
}
