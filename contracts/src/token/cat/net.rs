//! `catnip`: the client's networks, as RFC 9164 writes them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ciborium::Value;
use ipnet::IpNet;

use super::claims::items;
use crate::reason::Reason;

/// Reads the list. Numbers of autonomous systems are left out: which one a client is in is not known here, so they
/// match nobody.
pub(super) fn networks(value: Value) -> Result<Vec<IpNet>, Reason> {
    let mut networks = Vec::new();
    for item in items(value)? {
        match item {
            Value::Integer(number) => {
                u32::try_from(number).map_err(|_| Reason::Malformed)?;
            }
            Value::Tag(tag @ (IPV4 | IPV6), inner) => {
                networks.push(network(tag, *inner).ok_or(Reason::Malformed)?);
            }
            _ => return Err(Reason::Malformed),
        }
    }
    Ok(networks)
}

/// An address, or a prefix: its length in bits and its bytes, of which zeros at the end may be left out (RFC 9164
/// §3.1.2). No bit beyond the prefix may be set.
fn network(tag: u64, value: Value) -> Option<IpNet> {
    let whole = if tag == IPV4 { 4 } else { 16 };
    let (length, bytes) = match value {
        Value::Bytes(bytes) if bytes.len() == whole => (whole * 8, bytes),
        Value::Array(pair) => {
            let pair: [Value; 2] = pair.try_into().ok()?;
            let [Value::Integer(length), Value::Bytes(bytes)] = pair else {
                return None;
            };
            (usize::try_from(length).ok()?, bytes)
        }
        _ => return None,
    };
    let mut padded = [0; 16];
    padded
        .get_mut(..whole)?
        .get_mut(..bytes.len())?
        .copy_from_slice(&bytes);
    let address = if tag == IPV4 {
        let [a, b, c, d, ..] = padded;
        IpAddr::from(Ipv4Addr::new(a, b, c, d))
    } else {
        IpAddr::from(Ipv6Addr::from(padded))
    };
    let network = IpNet::new(address, u8::try_from(length).ok()?).ok()?;
    (network.trunc() == network).then_some(network)
}

/// Tags of RFC 9164 §5.
const IPV4: u64 = 52;
const IPV6: u64 = 54;

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: Vec<Value>) -> Result<Vec<IpNet>, Reason> {
        networks(Value::Array(items))
    }

    fn prefix(tag: u64, length: u64, bytes: &[u8]) -> Value {
        let pair = vec![Value::from(length), Value::from(bytes.to_vec())];
        Value::Tag(tag, Box::new(Value::Array(pair)))
    }

    fn address(tag: u64, bytes: &[u8]) -> Value {
        Value::Tag(tag, Box::new(Value::from(bytes.to_vec())))
    }

    #[test]
    fn addresses_and_prefixes_of_both_families_are_read() {
        let read = list(vec![
            address(IPV4, &[192, 0, 2, 1]),
            prefix(IPV4, 24, &[198, 51, 100]),
            prefix(IPV4, 0, &[]),
            prefix(IPV6, 32, &[0x20, 1, 0xd, 0xb8]),
            Value::from(64500),
        ]);
        let text: Vec<String> = read.unwrap().iter().map(ToString::to_string).collect();
        let expected = [
            "192.0.2.1/32",
            "198.51.100.0/24",
            "0.0.0.0/0",
            "2001:db8::/32",
        ];
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in [
            Value::from("192.0.2.1"),
            Value::from(-1),
            Value::from(1_u64 << 32),
            address(IPV4, &[192, 0, 2]),
            address(IPV6, &[192, 0, 2, 1]),
            address(53, &[192, 0, 2, 1]),
            prefix(IPV4, 33, &[192]),
            prefix(IPV4, 8, &[192, 1]),
            prefix(IPV4, 24, &[192, 0, 2, 0, 0]),
            prefix(IPV6, 300, &[]),
        ] {
            assert_eq!(list(vec![bad.clone()]), Err(Reason::Malformed), "{bad:?}");
        }
        assert_eq!(list(vec![]), Err(Reason::Malformed));
    }
}
