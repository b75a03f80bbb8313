//! Keeps microgrids, HEMs, keys, tokens and jobs.
