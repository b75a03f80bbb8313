//! The client side: typed REST, the live feed, and a HEM with its queue on disk.
