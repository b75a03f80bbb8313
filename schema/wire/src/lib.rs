//! The HEM socket protocol, sans-io.
