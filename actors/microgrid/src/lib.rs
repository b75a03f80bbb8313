//! A supervisor per microgrid: its bus and its worker jobs.
