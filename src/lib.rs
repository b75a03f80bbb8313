//! MEMCloud.
