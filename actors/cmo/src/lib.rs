//! The Chief Microgrid Operator: a supervisor per microgrid.
