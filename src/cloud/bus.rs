//! The bus that `bus.url` names.

use anyhow::Context;
use memcloud_bus::CloudBus;
use memcloud_bus::rabbitmq::{RabbitMq, RabbitMqSettings};

use crate::config::Configuration;

/// The cloud's exchanges and, unless they are within the process, the broker that they are on. Whether
/// a broker is there is not asked: a cloud starts, and stores, without it.
pub(super) fn bus_for(
    configuration: &Configuration,
) -> anyhow::Result<(CloudBus, Option<RabbitMq>)> {
    if configuration.bus_is_local() {
        return Ok((CloudBus::in_process(), None));
    }
    let broker = RabbitMq::start(&configuration.bus.url, RabbitMqSettings::default())
        .context("the bus cannot be used (bus.url)")?;
    Ok((CloudBus::on_rabbitmq(&broker), Some(broker)))
}
