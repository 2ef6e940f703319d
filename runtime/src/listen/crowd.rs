//! How many connections come from where, so that nobody takes all of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The connections of a listener, by the networks that they come from.
pub(super) struct Crowd {
    each: usize,
    from: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection among them, until it is dropped.
pub(super) struct Place {
    crowd: Arc<Crowd>,
    network: IpAddr,
}

impl Crowd {
    /// So many from each network.
    pub(super) fn new(each: usize) -> Arc<Self> {
        let from = Mutex::default();
        Arc::new(Self { each, from })
    }

    /// Takes a connection in; `None`: there are enough from there.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let network = network(address);
        let mut from = self.from();
        let count = from.entry(network).or_default();
        // One that is full stays among them, so nothing is left behind.
        if *count >= self.each {
            return None;
        }
        *count += 1;
        let crowd = Arc::clone(self);
        Some(Place { crowd, network })
    }

    fn from(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.from.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut from = self.crowd.from();
        if let Some(count) = from.get_mut(&self.network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                from.remove(&self.network);
            }
        }
    }
}

/// The part of an address that one household or one machine cannot leave: of an IPv6 address the first 64 bits.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(bits.into())
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_its_share_and_others_theirs() {
        let crowd = Crowd::new(2);
        let admit = |address: &str| crowd.admit(address.parse().unwrap());
        let one = admit("2001:db8::1");
        let two = admit("2001:db8::2:1");
        assert!(one.is_some() && two.is_some());
        assert!(admit("2001:db8::3").is_none(), "it is one network");
        let v4 = [admit("192.0.2.1"), admit("::ffff:192.0.2.1")];
        assert!(v4.iter().all(Option::is_some));
        assert!(admit("192.0.2.1").is_none());
        assert!(admit("192.0.2.2").is_some());
        drop(one);
        assert!(admit("2001:db8::3").is_some());
        drop((two, v4));
        assert!(crowd.from().is_empty(), "nothing is left of who has gone");
    }
}
