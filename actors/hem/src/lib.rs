//! The IoT unit: an actor per HEM socket.
