//! The names whose look-ups were answered with an address, as far as they are remembered.

use std::collections::HashMap;
use std::net::IpAddr;

/// Addresses whose names are remembered; a count.
const NAMES_MAX: usize = 100_000;
/// Bytes of those names.
const NAMES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The latest name of each address.
#[derive(Default)]
pub struct Names {
    by_address: HashMap<IpAddr, String>,
    bytes: usize,
}

impl Names {
    /// The name whose look-up was last answered with this address.
    pub fn of(&self, address: IpAddr) -> Option<&str> {
        let known = self.by_address.get(&address);
        known.or_else(|| self.by_address.get(&address.to_canonical())).map(String::as_str)
    }

    /// A look-up of `name` was answered with this address. Where there is no room for it the address has no name: the one
    /// before would be another's.
    pub fn learn(&mut self, address: IpAddr, name: &str) {
        let before = self.by_address.remove(&address);
        self.bytes -= before.as_ref().map_or(0, String::len);
        if self.by_address.len() < NAMES_MAX && self.bytes + name.len() <= NAMES_BYTES_MAX {
            self.bytes += name.len();
            self.by_address.insert(address, name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_whose_later_name_has_no_room_has_none() {
        let mut names = Names::default();
        let address = |n: u8| IpAddr::from([10, 0, 0, n]);
        names.learn(address(1), "one");
        names.learn(address(2), &"x".repeat(NAMES_BYTES_MAX - 3));
        assert_eq!(names.of(address(1)), Some("one"));
        names.learn(address(3), "three");
        assert_eq!(names.of(address(3)), None);
        names.learn(address(1), "another");
        assert_eq!(names.of(address(1)), None, "not the name that it had before");
        names.learn(address(2), "two");
        names.learn(address(1), "another");
        assert_eq!((names.of(address(1)), names.of(address(2))), (Some("another"), Some("two")));
        assert_eq!(names.of("::ffff:10.0.0.2".parse().unwrap()), Some("two"));
    }
}
