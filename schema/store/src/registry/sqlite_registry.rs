//! `web.db`.
