//! The registrar, asked as its siblings and REST ask it, on real files.

#[cfg(test)]
mod enrolment;
#[cfg(test)]
mod errands;
#[cfg(test)]
mod facts;
#[cfg(test)]
mod house;
#[cfg(test)]
mod load;
#[cfg(test)]
mod tokens;
