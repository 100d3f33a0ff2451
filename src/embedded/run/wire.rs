//! Messages between imk, a keeper and a child: a length, and JSON.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// No message is longer: secrets and environments fit in.
const LONGEST: u64 = 64 << 20;

/// Sends one.
pub fn send(wire: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let bytes = serde_json::to_vec(message).map_err(io::Error::other)?;
    wire.write_all(&(bytes.len() as u64).to_le_bytes())?;
    wire.write_all(&bytes)?;
    wire.flush()
}

/// Receives one.
pub fn receive<T: DeserializeOwned>(wire: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 8];
    wire.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST {
        return Err(io::Error::other("a message is too long"));
    }
    let mut bytes = Vec::new();
    wire.take(length).read_to_end(&mut bytes)?;
    serde_json::from_slice(&bytes).map_err(io::Error::other)
}
