//! The status monitor as its neighbours see it: in a world of its own, with simulated time.

#[cfg(test)]
mod monitor;
#[cfg(test)]
mod neighbours;
