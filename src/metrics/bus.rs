//! What went through the bus, and what its broker did with it.

use memcloud_bus::{BrokerFigures, CloudBus};

use super::families::Families;

pub(super) fn collect(bus: &CloudBus, families: &mut Families) {
    for (exchange, figures) in [
        ("readings", bus.readings.figures()),
        ("events", bus.events.figures()),
        ("notes", bus.notes.figures()),
    ] {
        let label = Some(("exchange", exchange));
        families.counter(
            "memcloud_bus_published_total",
            "Messages published on the bus.",
            label,
            figures.published,
        );
        families.counter(
            "memcloud_bus_dropped_total",
            "Copies that queues lost, here or at a broker; their readers read the store.",
            label,
            figures.dropped,
        );
        families.gauge("memcloud_bus_queues", "Queues bound now.", label, figures.queues as u64);
        if let Some(broker) = figures.broker {
            collect_broker(&broker, label, families);
        }
    }
}

fn collect_broker(broker: &BrokerFigures, label: Option<(&str, &str)>, families: &mut Families) {
    families.gauge(
        "memcloud_bus_connected",
        "1 while there is a connection to the broker; /health/ready says why there is none.",
        label,
        u64::from(broker.connected),
    );
    families.gauge(
        "memcloud_bus_unconfirmed",
        "Messages that were sent to the broker, which has not answered for them.",
        label,
        broker.unconfirmed,
    );
    let counters = [
        (
            "memcloud_bus_connections_total",
            "Connections made to the broker; more than one are reconnects.",
            broker.connections,
        ),
        ("memcloud_bus_confirmed_total", "Messages that the broker took.", broker.confirmed),
        (
            "memcloud_bus_unsent_total",
            "Messages dropped on the way to the broker: it was away, or slower than they came.",
            broker.unsent,
        ),
        (
            "memcloud_bus_repeated_total",
            "Deliveries left out, since they had been here before.",
            broker.repeated,
        ),
        (
            "memcloud_bus_dead_lettered_total",
            "Deliveries that could not be understood, and went to memcloud.dead-letters.",
            broker.dead_lettered,
        ),
    ];
    for (name, help, value) in counters {
        families.counter(name, help, label, value);
    }
}
