//! What the actors count, as Prometheus collects it. The counters are the actors' own atomics; here
//! they only get names. Labels are bounded: never the id of a HEM, a microgrid or a job.

mod bus;
mod cluster;
mod commands;
mod dispatch;
mod families;
mod historian;

use std::sync::Arc;

use memcloud_bus::CloudBus;
use memcloud_cluster::ClusterMetrics;
use memcloud_commands::CommandMetrics;
use memcloud_hem::{HemMetrics, SampleKind};
use memcloud_historian::HistorianMetrics;
use memcloud_microgrid::DispatchCounts;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};

use self::families::Families;

/// Collects what the cloud's actors count.
#[derive(Clone)]
pub struct CloudCollector {
    hem: Arc<HemMetrics>,
    historian: Arc<HistorianMetrics>,
    commands: Arc<CommandMetrics>,
    dispatch: Arc<DispatchCounts>,
    cluster: Option<Arc<ClusterMetrics>>,
    bus: CloudBus,
}

impl CloudCollector {
    /// A collector of these counters.
    #[must_use]
    pub fn new(
        hem: Arc<HemMetrics>,
        historian: Arc<HistorianMetrics>,
        commands: Arc<CommandMetrics>,
        dispatch: Arc<DispatchCounts>,
        cluster: Option<Arc<ClusterMetrics>>,
        bus: CloudBus,
    ) -> Self {
        Self { hem, historian, commands, dispatch, cluster, bus }
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
        historian::collect(&self.historian, &mut families);
        commands::collect(&self.commands, &mut families);
        dispatch::collect(&self.dispatch, &mut families);
        if let Some(cluster) = &self.cluster {
            cluster::collect(cluster, &mut families);
        }
        bus::collect(&self.bus, &mut families);
        families.into_families()
    }
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
        let commands = Arc::new(CommandMetrics::default());
        commands.turned_down.increment();
        let registry = Registry::new();
        registry
            .register(Box::new(CloudCollector::new(
                hem,
                historian,
                commands,
                Arc::default(),
                Some(Arc::default()),
                CloudBus::in_process(),
            )))
            .unwrap();
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        for line in [
            "memcloud_hem_accepted_total 7",
            "memcloud_historian_entries_total{outcome=\"stored\"} 5",
            "memcloud_historian_commit_entries_bucket{le=\"10\"} 1",
            "memcloud_historian_commit_entries_count 1",
            "memcloud_commands_turned_down_total 1",
            "memcloud_commands_total{state=\"expired\"} 0",
            "memcloud_dispatch_refused_total{why=\"envelope\"} 0",
            "memcloud_cluster_microgrids 0",
            "memcloud_bus_queues{exchange=\"events\"} 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
