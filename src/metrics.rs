//! What the actors count, as Prometheus collects it. The counters are the actors' own atomics; here
//! they only get names. Labels are bounded: never the id of a HEM, a microgrid or a job.

use std::collections::BTreeMap;
use std::sync::Arc;

use memcloud_bus::CloudBus;
use memcloud_hem::{HemMetrics, SampleKind};
use memcloud_historian::{Histogram, HistorianMetrics};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, LabelPair, Metric, MetricFamily, MetricType};

/// Collects what the cloud's actors count.
#[derive(Clone)]
pub struct CloudCollector {
    hem: Arc<HemMetrics>,
    historian: Arc<HistorianMetrics>,
    bus: CloudBus,
}

impl CloudCollector {
    /// A collector of these counters.
    #[must_use]
    pub fn new(hem: Arc<HemMetrics>, historian: Arc<HistorianMetrics>, bus: CloudBus) -> Self {
        Self { hem, historian, bus }
    }
}

impl Collector for CloudCollector {
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = Families::default();
        for sample in self.hem.samples() {
            let kind = match sample.kind {
                SampleKind::Counter => MetricType::COUNTER,
                SampleKind::Gauge => MetricType::GAUGE,
            };
            families.add(sample.name, sample.help, kind, sample.label, sample.value);
        }
        collect_historian(&self.historian, &mut families);
        let readings = self.bus.readings.figures();
        let events = self.bus.events.figures();
        for (exchange, figures) in [("readings", readings), ("events", events)] {
            let label = Some(("exchange", exchange));
            families.counter(
                "memcloud_bus_published_total",
                "Messages published on the bus.",
                label,
                figures.published,
            );
            families.counter(
                "memcloud_bus_dropped_total",
                "Copies that full queues lost; their readers read the store.",
                label,
                figures.dropped,
            );
            families.gauge(
                "memcloud_bus_queues",
                "Queues bound now.",
                label,
                figures.queues as u64,
            );
        }
        families.into_families()
    }
}

fn collect_historian(metrics: &HistorianMetrics, families: &mut Families) {
    let entries = "Numbered entries by what became of them: received = stored + refused + replayed + dropped + waiting.";
    for (outcome, count) in [
        ("received", &metrics.received),
        ("stored", &metrics.stored),
        ("refused", &metrics.refused),
        ("replayed", &metrics.replayed),
        ("dropped", &metrics.dropped),
    ] {
        families.counter(
            "memcloud_historian_entries_total",
            entries,
            Some(("outcome", outcome)),
            count.get(),
        );
    }
    families.gauge(
        "memcloud_historian_waiting",
        "Entries not yet on disk.",
        None,
        metrics.waiting.get(),
    );
    families.gauge("memcloud_historian_sessions", "Open sessions.", None, metrics.sessions.get());
    families.counter(
        "memcloud_historian_sessions_opened_total",
        "Sessions opened.",
        None,
        metrics.sessions_opened.get(),
    );
    for (outcome, count) in [("done", &metrics.commits), ("failed", &metrics.failed_commits)] {
        families.counter(
            "memcloud_historian_commits_total",
            "Commits by outcome; a failed one is tried again.",
            Some(("outcome", outcome)),
            count.get(),
        );
    }
    families.counter(
        "memcloud_historian_hints_dropped_total",
        "Committed batches that the bus had no space for.",
        None,
        metrics.dropped_hints.get(),
    );
    families.counter(
        "memcloud_historian_reads_refused_total",
        "Reads turned down because too many waited.",
        None,
        metrics.refused_reads.get(),
    );
    for (task, count) in [
        ("buckets-rolled-up", &metrics.rolled_up),
        ("readings-sealed", &metrics.sealed),
        ("rows-deleted", &metrics.deleted),
        ("steps-failed", &metrics.failed_upkeep),
    ] {
        families.counter(
            "memcloud_historian_upkeep_total",
            "What upkeep did.",
            Some(("what", task)),
            count.get(),
        );
    }
    families.histogram(
        "memcloud_historian_commit_entries",
        "Entries per commit.",
        &metrics.commit_sizes,
        1.0,
    );
    families.histogram(
        "memcloud_historian_commit_seconds",
        "How long commits took.",
        &metrics.commit_microseconds,
        1e-6,
    );
}

/// Families under construction, by name.
#[derive(Default)]
struct Families(BTreeMap<&'static str, MetricFamily>);

impl Families {
    fn counter(&mut self, name: &'static str, help: &str, label: Option<(&str, &str)>, value: u64) {
        self.add(name, help, MetricType::COUNTER, label, value);
    }

    fn gauge(&mut self, name: &'static str, help: &str, label: Option<(&str, &str)>, value: u64) {
        self.add(name, help, MetricType::GAUGE, label, value);
    }

    #[expect(clippy::cast_precision_loss, reason = "Prometheus counts in doubles")]
    fn add(
        &mut self,
        name: &'static str,
        help: &str,
        kind: MetricType,
        label: Option<(&str, &str)>,
        value: u64,
    ) {
        let mut metric = Metric::from_label(label.into_iter().map(pair).collect());
        if kind == MetricType::COUNTER {
            let mut counter = proto::Counter::default();
            counter.set_value(value as f64);
            metric.set_counter(counter);
        } else {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value as f64);
            metric.set_gauge(gauge);
        }
        self.push(name, help, kind, metric);
    }

    #[expect(clippy::cast_precision_loss, reason = "Prometheus counts in doubles")]
    fn histogram(&mut self, name: &'static str, help: &str, histogram: &Histogram, unit: f64) {
        let buckets = histogram.cumulative().into_iter().map(|(bound, count)| {
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(bound.map_or(f64::INFINITY, |bound| bound as f64 * unit));
            bucket.set_cumulative_count(count);
            bucket
        });
        let mut shown = proto::Histogram::default();
        shown.set_bucket(buckets.collect());
        shown.set_sample_count(histogram.count());
        shown.set_sample_sum(histogram.sum() as f64 * unit);
        let mut metric = Metric::from_label(Vec::new());
        metric.set_histogram(shown);
        self.push(name, help, MetricType::HISTOGRAM, metric);
    }

    fn push(&mut self, name: &'static str, help: &str, kind: MetricType, metric: Metric) {
        let family = self.0.entry(name).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            family.set_field_type(kind);
            family
        });
        family.mut_metric().push(metric);
    }

    fn into_families(self) -> Vec<MetricFamily> {
        self.0.into_values().collect()
    }
}

fn pair((name, value): (&str, &str)) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

#[cfg(test)]
mod tests {
    use prometheus::{Encoder, Registry, TextEncoder};

    use super::*;

    #[test]
    fn what_the_actors_count_is_shown_as_prometheus_text() {
        let hem = Arc::new(HemMetrics::default());
        let historian = Arc::new(HistorianMetrics::default());
        hem.accepted.add(7);
        historian.received.add(5);
        historian.stored.add(5);
        historian.commit_sizes.observe(5);
        let registry = Registry::new();
        registry
            .register(Box::new(CloudCollector::new(hem, historian, CloudBus::in_process())))
            .unwrap();
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        for line in [
            "memcloud_hem_accepted_total 7",
            "memcloud_historian_entries_total{outcome=\"stored\"} 5",
            "memcloud_historian_commit_entries_bucket{le=\"10\"} 1",
            "memcloud_historian_commit_entries_count 1",
            "memcloud_bus_queues{exchange=\"events\"} 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
