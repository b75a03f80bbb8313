//! Counters of the IoT unit for `/metrics`: shared, lock-free, and without a HEM's id anywhere.

use std::sync::atomic::{AtomicU64, Ordering};

use memcloud_domain::{CommandOutcome, RefusalCode};
use memcloud_wire::ErrorCode;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, amount: u64) {
        if amount != 0 {
            self.0.fetch_add(amount, Ordering::Relaxed);
        }
    }

    /// The count.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// So much more; answers the new value.
    pub fn add(&self, amount: u64) -> u64 {
        self.0.fetch_add(amount, Ordering::Relaxed).wrapping_add(amount)
    }

    /// So much less.
    pub fn subtract(&self, amount: u64) {
        self.0.fetch_sub(amount, Ordering::Relaxed);
    }

    /// The value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! hem_metrics {
    ($(#[$doc:meta])* $name:ident {
        $($(#[doc = $help:literal])+ $kind:ident $field:ident = $metric:literal $([$label:literal = $value:literal])?;)+
    }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $name {
            $($(#[doc = $help])+ pub $field: $kind,)+
        }

        impl $name {
            /// Every metric as it stands, those of one name together.
            #[must_use]
            pub fn samples(&self) -> Vec<Sample> {
                vec![$(Sample {
                    name: $metric,
                    help: concat!($($help),+).trim_ascii(),
                    kind: SampleKind::$kind,
                    label: hem_metrics!(@label $($label $value)?),
                    value: self.$field.get(),
                },)+]
            }
        }
    };
    (@label) => { None };
    (@label $label:literal $value:literal) => { Some(($label, $value)) };
}

/// How a sample is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One metric as it stands, ready to be exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Its name in Prometheus' style.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// How it is to be read.
    pub kind: SampleKind,
    /// Its one label, if it has one.
    pub label: Option<(&'static str, &'static str)>,
    /// Its value.
    pub value: u64,
}

hem_metrics! {
    /// What the IoT unit counts.
    HemMetrics {
        /// TCP connections open now.
        Gauge connections = "memcloud_hem_connections";
        /// HEMs with a welcomed connection now.
        Gauge online = "memcloud_hem_online";
        /// TLS handshakes going on now.
        Gauge handshaking = "memcloud_hem_handshaking";
        /// Bytes received and not yet durable.
        Gauge buffered_bytes = "memcloud_hem_buffered_bytes";
        /// TCP connections accepted.
        Counter accepted = "memcloud_hem_accepted_total";
        /// TCP connections closed at once, by reason.
        Counter turned_away_total = "memcloud_hem_turned_away_total" ["reason" = "connections"];
        /// TCP connections closed at once, by reason.
        Counter turned_away_address = "memcloud_hem_turned_away_total" ["reason" = "address"];
        /// TCP connections closed because they did not begin with the balancer's header.
        Counter proxy_refused = "memcloud_hem_proxy_refused_total";
        /// Times that accepting failed, for want of file handles for instance.
        Counter accept_errors = "memcloud_hem_accept_errors_total";
        /// Times that accepting waited for a handshake slot.
        Counter accept_waits = "memcloud_hem_accept_waits_total";
        /// TLS handshakes by outcome.
        Counter handshakes_done = "memcloud_hem_handshakes_total" ["outcome" = "done"];
        /// TLS handshakes by outcome.
        Counter handshakes_failed = "memcloud_hem_handshakes_total" ["outcome" = "failed"];
        /// TLS handshakes by outcome.
        Counter handshakes_timed_out = "memcloud_hem_handshakes_total" ["outcome" = "timed-out"];
        /// Times that new TLS files were taken into use.
        Counter tls_reloads = "memcloud_hem_tls_reloads_total" ["outcome" = "done"];
        /// Times that new TLS files were no good and the old ones stayed.
        Counter tls_reload_failures = "memcloud_hem_tls_reloads_total" ["outcome" = "failed"];
        /// Frames received, by type.
        Counter frames_hello = "memcloud_hem_frames_total" ["type" = "hello"];
        /// Frames received, by type.
        Counter frames_reading = "memcloud_hem_frames_total" ["type" = "reading"];
        /// Frames received, by type.
        Counter frames_batch = "memcloud_hem_frames_total" ["type" = "batch"];
        /// Frames received, by type.
        Counter frames_event = "memcloud_hem_frames_total" ["type" = "event"];
        /// Frames received, by type.
        Counter frames_latest = "memcloud_hem_frames_total" ["type" = "latest"];
        /// Frames received, by type.
        Counter frames_result = "memcloud_hem_frames_total" ["type" = "result"];
        /// Frames received, by type.
        Counter frames_ping = "memcloud_hem_frames_total" ["type" = "ping"];
        /// Frames received, by type.
        Counter frames_other = "memcloud_hem_frames_total" ["type" = "other"];
        /// Readings, events and refusals handed to the historian.
        Counter entries = "memcloud_hem_entries_total";
        /// Readings and events refused by name, by code.
        Counter refused_malformed = "memcloud_hem_refused_total" ["code" = "malformed"];
        /// Readings and events refused by name, by code.
        Counter refused_bad_time = "memcloud_hem_refused_total" ["code" = "bad-time"];
        /// Readings and events refused by name, by code.
        Counter refused_too_old = "memcloud_hem_refused_total" ["code" = "too-old"];
        /// Readings and events refused by name, by code.
        Counter refused_batch_too_long = "memcloud_hem_refused_total" ["code" = "batch-too-long"];
        /// Errors sent, by code.
        Counter error_bad_frame = "memcloud_hem_errors_total" ["code" = "bad-frame"];
        /// Errors sent, by code.
        Counter error_unknown_type = "memcloud_hem_errors_total" ["code" = "unknown-type"];
        /// Errors sent, by code.
        Counter error_stale_seq = "memcloud_hem_errors_total" ["code" = "stale-seq"];
        /// Errors sent, by code.
        Counter error_too_fast = "memcloud_hem_errors_total" ["code" = "too-fast"];
        /// Errors sent, by code.
        Counter error_unauthorised = "memcloud_hem_errors_total" ["code" = "unauthorised"];
        /// Errors sent, by code.
        Counter error_unsupported_protocol = "memcloud_hem_errors_total" ["code" = "unsupported-protocol"];
        /// Errors sent, by code.
        Counter error_frame_too_large = "memcloud_hem_errors_total" ["code" = "frame-too-large"];
        /// Errors sent, by code.
        Counter error_gap = "memcloud_hem_errors_total" ["code" = "gap"];
        /// Errors sent, by code.
        Counter error_busy = "memcloud_hem_errors_total" ["code" = "busy"];
        /// Errors sent, by code.
        Counter error_replaced = "memcloud_hem_errors_total" ["code" = "replaced"];
        /// Errors sent, by code.
        Counter error_shutting_down = "memcloud_hem_errors_total" ["code" = "shutting-down"];
        /// Readings and events that came under a number already taken.
        Counter stale = "memcloud_hem_stale_total";
        /// Numbers that were jumped over.
        Counter missing = "memcloud_hem_missing_total";
        /// Welcomes sent.
        Counter welcomes = "memcloud_hem_welcomes_total";
        /// Acknowledgements sent.
        Counter acks = "memcloud_hem_acks_total";
        /// Times that reading from a HEM paused, by what it waited for.
        Counter paused_by_credit = "memcloud_hem_paused_total" ["by" = "credit"];
        /// Times that reading from a HEM paused, by what it waited for.
        Counter paused_by_rate = "memcloud_hem_paused_total" ["by" = "rate"];
        /// Times that reading from a HEM paused, by what it waited for.
        Counter paused_by_buffer = "memcloud_hem_paused_total" ["by" = "buffer"];
        /// Times that reading from a HEM paused, by what it waited for.
        Counter paused_by_output = "memcloud_hem_paused_total" ["by" = "output"];
        /// Times that reading from a HEM paused, by what it waited for.
        Counter paused_by_historian = "memcloud_hem_paused_total" ["by" = "historian"];
        /// Times that reading from a HEM paused, by what it waited for.
        Counter paused_by_pace = "memcloud_hem_paused_total" ["by" = "pace"];
        /// Connections closed because nothing was heard.
        Counter closed_silent = "memcloud_hem_closed_total" ["reason" = "silent"];
        /// Connections closed because the HEM did not read.
        Counter closed_unread = "memcloud_hem_closed_total" ["reason" = "unread"];
        /// Connections closed because no hello came in time.
        Counter closed_no_hello = "memcloud_hem_closed_total" ["reason" = "no-hello"];
        /// Plain bytes received within TLS.
        Counter bytes_in = "memcloud_hem_bytes_total" ["direction" = "in"];
        /// Plain bytes sent within TLS.
        Counter bytes_out = "memcloud_hem_bytes_total" ["direction" = "out"];
        /// Commands sent; one that is sent again counts again.
        Counter commands_sent = "memcloud_hem_commands_sent_total";
        /// Commands that were for a HEM without a welcomed connection here.
        Counter commands_unsent = "memcloud_hem_commands_unsent_total";
        /// Answers to commands, by outcome.
        Counter results_done = "memcloud_hem_results_total" ["outcome" = "done"];
        /// Answers to commands, by outcome.
        Counter results_refused = "memcloud_hem_results_total" ["outcome" = "refused"];
        /// Answers to commands, by outcome.
        Counter results_failed = "memcloud_hem_results_total" ["outcome" = "failed"];
        /// Answers to commands, by outcome.
        Counter results_superseded = "memcloud_hem_results_total" ["outcome" = "superseded"];
        /// Answers to commands, by outcome.
        Counter results_interrupted = "memcloud_hem_results_total" ["outcome" = "interrupted"];
        /// Answers to commands that the command processor had no room for: it will ask again.
        Counter results_lost = "memcloud_hem_results_lost_total";
        /// Answers to commands that wait for room at the command processor.
        Gauge results_waiting = "memcloud_hem_results_waiting";
        /// Facts that a listener had no room for.
        Counter facts_lost = "memcloud_hem_facts_lost_total";
    }
}

impl HemMetrics {
    pub(crate) fn count_error(&self, code: ErrorCode) {
        let counter = match code {
            ErrorCode::BadFrame => &self.error_bad_frame,
            ErrorCode::UnknownType => &self.error_unknown_type,
            ErrorCode::StaleSeq => &self.error_stale_seq,
            ErrorCode::TooFast => &self.error_too_fast,
            ErrorCode::Unauthorised => &self.error_unauthorised,
            ErrorCode::UnsupportedProtocol => &self.error_unsupported_protocol,
            ErrorCode::FrameTooLarge => &self.error_frame_too_large,
            ErrorCode::Gap => &self.error_gap,
            ErrorCode::Busy => &self.error_busy,
            ErrorCode::Replaced => &self.error_replaced,
            ErrorCode::ShuttingDown => &self.error_shutting_down,
            _ => return,
        };
        counter.increment();
    }

    pub(crate) fn count_result(&self, outcome: CommandOutcome) {
        let counter = match outcome {
            CommandOutcome::Done => &self.results_done,
            CommandOutcome::Refused => &self.results_refused,
            CommandOutcome::Failed => &self.results_failed,
            CommandOutcome::Superseded => &self.results_superseded,
            CommandOutcome::Interrupted => &self.results_interrupted,
        };
        counter.increment();
    }

    pub(crate) fn count_refusal(&self, code: RefusalCode) {
        let counter = match code {
            RefusalCode::BadTime => &self.refused_bad_time,
            RefusalCode::TooOld => &self.refused_too_old,
            RefusalCode::BatchTooLong => &self.refused_batch_too_long,
            _ => &self.refused_malformed,
        };
        counter.increment();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_name_stand_together_and_no_series_appears_twice() {
        let samples = HemMetrics::default().samples();
        let mut seen: Vec<&str> = Vec::new();
        let mut series = std::collections::HashSet::new();
        for sample in &samples {
            if seen.last() != Some(&sample.name) {
                assert!(!seen.contains(&sample.name), "{} is scattered", sample.name);
                seen.push(sample.name);
            }
            assert!(series.insert((sample.name, sample.label)), "{sample:?} appears twice");
        }
    }

    #[test]
    fn a_sample_shows_what_was_counted() {
        let metrics = HemMetrics::default();
        metrics.error_gap.add(3);
        let gaps = metrics.samples().into_iter().find(|s| s.label == Some(("code", "gap")));
        assert_eq!(gaps.map(|sample| sample.value), Some(3));
    }
}
