//! A JSON reader.
