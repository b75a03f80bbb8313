//! Metric families under construction.

use std::collections::BTreeMap;

use prometheus::proto::{self, LabelPair, Metric, MetricFamily, MetricType};

/// What a histogram of an actor counted.
pub(super) struct Shape {
    /// Upper bounds, the last one without, and how many values lie at or below each.
    pub(super) cumulative: Vec<(Option<u64>, u64)>,
    /// How many values.
    pub(super) count: u64,
    /// Their sum.
    pub(super) sum: u64,
}

/// Families under construction, by name.
#[derive(Default)]
pub(super) struct Families(BTreeMap<&'static str, MetricFamily>);

impl Families {
    pub(super) fn counter(
        &mut self,
        name: &'static str,
        help: &str,
        label: Option<(&str, &str)>,
        value: u64,
    ) {
        self.add(name, help, MetricType::COUNTER, label, value);
    }

    pub(super) fn gauge(
        &mut self,
        name: &'static str,
        help: &str,
        label: Option<(&str, &str)>,
        value: u64,
    ) {
        self.add(name, help, MetricType::GAUGE, label, value);
    }

    #[expect(clippy::cast_precision_loss, reason = "Prometheus counts in doubles")]
    pub(super) fn add(
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
    pub(super) fn histogram(&mut self, name: &'static str, help: &str, shape: &Shape, unit: f64) {
        let buckets = shape.cumulative.iter().map(|&(bound, count)| {
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(bound.map_or(f64::INFINITY, |bound| bound as f64 * unit));
            bucket.set_cumulative_count(count);
            bucket
        });
        let mut shown = proto::Histogram::default();
        shown.set_bucket(buckets.collect());
        shown.set_sample_count(shape.count);
        shown.set_sample_sum(shape.sum as f64 * unit);
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

    pub(super) fn into_families(self) -> Vec<MetricFamily> {
        self.0.into_values().collect()
    }
}

fn pair((name, value): (&str, &str)) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}
