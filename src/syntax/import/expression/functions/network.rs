//! Functions of network addresses: `10.0.0.0/8` and parts of it.
//!
//! Follows go-cidr. Knows nothing of this machine's networks.

use std::net::IpAddr;

use super::args::{Answer, Args};
use crate::syntax::import::expression::value::Value;

/// A network: its first address as a number, the length of its prefix, and of all addresses.
#[derive(Clone, Copy)]
struct Network {
    first: u128,
    prefix: u32,
    bits: u32,
}

impl Network {
    fn read(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no network such as 10.0.0.0/8");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let plain = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix: u32 = prefix.parse().ok().filter(|_| plain).ok_or_else(wrong)?;
        let (address, bits) = match address.parse::<IpAddr>().map_err(|_| wrong())? {
            IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
            IpAddr::V6(address) => (u128::from(address), 128),
        };
        if prefix > bits {
            return Err(wrong());
        }
        let first = Self { first: address, prefix, bits }.masked();
        Ok(Self { first, prefix, bits })
    }

    fn masked(self) -> u128 {
        let free = self.bits - self.prefix;
        if free >= 128 { 0 } else { (self.first >> free) << free }
    }

    fn shown(self, address: u128) -> String {
        if self.bits == 32 {
            let four = u32::try_from(address & u128::from(u32::MAX)).unwrap_or_default();
            std::net::Ipv4Addr::from(four).to_string()
        } else {
            std::net::Ipv6Addr::from(address).to_string()
        }
    }

    /// The network of a longer prefix that has this number.
    fn part(self, more: u32, number: u128) -> Result<Self, String> {
        let prefix = self.prefix + more;
        if prefix > self.bits {
            return Err(format!("a prefix of {prefix} bits is longer than an address"));
        }
        if more < 128 && number >> more != 0 {
            return Err(format!("there is no part {number} of {more} bits"));
        }
        let free = self.bits - prefix;
        let first = self.first | if free >= 128 { 0 } else { number << free };
        Ok(Self { first, prefix, bits: self.bits })
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{}/{}", self.shown(self.first), self.prefix)
    }
}

pub(super) fn cidrhost(a: &Args<'_>) -> Answer {
    let (network, number) = (Network::read(&a.text(0)?)?, i128::from(a.whole(1)?));
    let free = network.bits - network.prefix;
    let count = 1_i128.checked_shl(free).filter(|count| *count > 0).unwrap_or(i128::MAX);
    // Below zero they are counted from the end.
    let at = if number < 0 { count.saturating_add(number) } else { number };
    let at = u128::try_from(at).ok().filter(|_| at < count);
    let at = at.ok_or_else(|| format!("the network has no address {number}"))?;
    Ok(network.shown(network.first | at).into())
}

pub(super) fn cidrnetmask(a: &Args<'_>) -> Answer {
    let network = Network::read(&a.text(0)?)?;
    Ok(network.shown(Network { first: u128::MAX >> (128 - network.bits), ..network }.masked()).into())
}

pub(super) fn cidrsubnet(a: &Args<'_>) -> Answer {
    let network = Network::read(&a.text(0)?)?;
    let more = bits(a.whole(1)?, 0)?;
    let number =
        u128::try_from(a.whole(2)?).map_err(|_| "a number of a part is not below zero".to_owned())?;
    Ok(network.part(more, number)?.to_string().into())
}

pub(super) fn cidrsubnets(a: &Args<'_>) -> Answer {
    let network = Network::read(&a.text(0)?)?;
    let mut next = Some(network.first);
    let mut parts = Vec::new();
    for at in 1..a.0.len() {
        let prefix = network.prefix + bits(a.whole(at)?, 1)?;
        if prefix > network.bits {
            return Err(format!("a prefix of {prefix} bits is longer than an address"));
        }
        let size = 1_u128.checked_shl(network.bits - prefix).unwrap_or_default();
        // The next address at which a network of that size can begin.
        let first = next
            .and_then(|next| next.checked_add(size.wrapping_sub(1)))
            .map(|next| next & !(size.wrapping_sub(1)));
        let part = first.map(|first| Network { first, prefix, bits: network.bits });
        let inside = |part: &Network| Network { prefix: network.prefix, ..*part }.masked() == network.first;
        let part = part.filter(inside).ok_or_else(|| format!("there is no room left for {prefix} bits"))?;
        parts.push(Value::from(part.to_string()));
        next = part.first.checked_add(size);
    }
    Ok(Value::texts(parts))
}

fn bits(number: i64, least: u32) -> Result<u32, String> {
    let bits = u32::try_from(number).ok().filter(|bits| (least..=32).contains(bits));
    bits.ok_or_else(|| format!("a prefix is made longer by {least} to 32 bits"))
}
