//! What users of the kit count on, one sentence a test.

#[cfg(test)]
mod actors;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod callers;
#[cfg(test)]
mod crashes;
mod examples;
#[cfg(test)]
mod giving_up;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod threads;
