//! The IoT unit over real TLS sockets.

#[cfg(test)]
mod doors;
#[cfg(test)]
mod flow;
#[cfg(test)]
mod house;
#[cfg(test)]
mod life;
#[cfg(test)]
mod orders;
