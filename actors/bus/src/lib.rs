//! Exchanges and queues, topic and fanout.
