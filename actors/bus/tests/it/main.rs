//! Both adapters of `Exchange`: within the process, and on a real RabbitMQ.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod cuttable;
mod in_process;
mod rabbitmq;
mod rabbitmq_faults;
