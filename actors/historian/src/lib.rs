//! The group commit between the sockets and the telemetry store.
