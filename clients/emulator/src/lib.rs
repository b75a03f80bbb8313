//! A fleet of HEMs with the physics of real homes.
