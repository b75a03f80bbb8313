//! How many connections there may be, in all and from one address. A connection's place is given back
//! when its guard is dropped, whatever ended it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::HemMetrics;

/// The places there are.
#[derive(Debug)]
pub(crate) struct Admission {
    max: usize,
    max_per_address: usize,
    metrics: Arc<HemMetrics>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// No more keys than connections.
    by_address: HashMap<IpAddr, usize>,
}

/// A connection's place among all.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
}

/// A connection's place among those from its address.
#[derive(Debug)]
pub(crate) struct AddressPlace {
    admission: Arc<Admission>,
    address: IpAddr,
}

impl Admission {
    pub(crate) fn new(max: usize, max_per_address: usize, metrics: Arc<HemMetrics>) -> Self {
        Self { max, max_per_address, metrics, taken: Mutex::default() }
    }

    /// A place for a connection, if there is one; counts those turned away. Of whom it is may turn out
    /// later.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.max {
            self.metrics.turned_away_total.increment();
            return None;
        }
        taken.all += 1;
        drop(taken);
        self.metrics.connections.add(1);
        Some(Place { admission: Arc::clone(self) })
    }

    /// A place for a connection from this address, if there is one; counts those turned away.
    pub(crate) fn admit_from(self: &Arc<Self>, address: IpAddr) -> Option<AddressPlace> {
        let address = counted_as(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let from_there = taken.by_address.get(&address).copied().unwrap_or(0);
        if from_there >= self.max_per_address {
            self.metrics.turned_away_address.increment();
            return None;
        }
        taken.by_address.insert(address, from_there + 1);
        Some(AddressPlace { admission: Arc::clone(self), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.admission.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        drop(taken);
        self.admission.metrics.connections.subtract(1);
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut taken = self.admission.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = taken.by_address.entry(self.address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// An IPv6 host is given a whole /64, so that is what counts as one address.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(max: usize, max_per_address: usize) -> (Arc<Admission>, Arc<HemMetrics>) {
        let metrics = Arc::new(HemMetrics::default());
        (Arc::new(Admission::new(max, max_per_address, Arc::clone(&metrics))), metrics)
    }

    #[test]
    fn a_place_is_given_back_when_its_connection_ends() {
        let (admission, metrics) = admission(2, 2);
        let first = admission.admit().unwrap();
        let _second = admission.admit().unwrap();
        assert!(admission.admit().is_none());
        assert_eq!((metrics.connections.get(), metrics.turned_away_total.get()), (2, 1));
        drop(first);
        assert!(admission.admit().is_some());
    }

    #[test]
    fn one_address_cannot_take_every_place() {
        let (admission, metrics) = admission(10, 1);
        let first = admission.admit_from([10, 0, 0, 1].into()).unwrap();
        assert!(admission.admit_from([10, 0, 0, 1].into()).is_none());
        assert_eq!(metrics.turned_away_address.get(), 1);
        assert!(admission.admit_from([10, 0, 0, 2].into()).is_some());
        drop(first);
        assert!(admission.admit_from([10, 0, 0, 1].into()).is_some());
    }

    #[test]
    fn the_addresses_of_an_ipv6_host_count_as_one() {
        let (admission, _) = admission(10, 1);
        let _first = admission.admit_from("2001:db8:0:1::1".parse().unwrap()).unwrap();
        assert!(admission.admit_from("2001:db8:0:1:ffff::2".parse().unwrap()).is_none());
        assert!(admission.admit_from("2001:db8:0:2::1".parse().unwrap()).is_some());
    }

    #[test]
    fn nothing_is_kept_of_addresses_that_left() {
        let (admission, _) = admission(10, 10);
        for last in 0..100 {
            drop(admission.admit_from([10, 0, 0, last].into()));
        }
        assert!(admission.taken.lock().unwrap().by_address.is_empty());
    }
}
