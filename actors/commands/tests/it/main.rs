//! The ledger of commands as REST, dispatch, sockets and the historian meet it: over a real store in a
//! file, in simulated time.

#[cfg(test)]
mod effects;
#[cfg(test)]
mod house;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod random_orders;
#[cfg(test)]
mod sending;
#[cfg(test)]
mod states;
#[cfg(test)]
mod tenures;
