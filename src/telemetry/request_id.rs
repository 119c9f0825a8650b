//! Names for requests, to find one in the logs of everybody who saw it.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

use crate::http::write::{DIGITS_MAX, put_digits};

/// What `x-request-id` says of a request: the client's own name for it, or one of ours. It is copied, never allocated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    bytes: [u8; ID_BYTES_MAX],
    /// Bytes in use.
    length: u8,
}

/// The longest name that is taken from a client: W3C trace parents have 55, two UUIDs with a separator 73.
pub const ID_BYTES_MAX: usize = 64;

impl RequestId {
    /// The name of a request that has none yet.
    pub const NONE: Self = Self { bytes: [0; ID_BYTES_MAX], length: 0 };

    /// A client's name for its request: 1 to 64 letters, digits and `._-:/+=@`. None for all others, which could
    /// forge a log line, or be no name but a payload.
    pub fn from_client(value: &[u8]) -> Option<Self> {
        let known = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-:/+=@".contains(byte);
        let usable = !value.is_empty() && value.iter().all(known);
        usable.then(|| Self::filled(value)).flatten()
    }

    /// As text; empty for [`RequestId::NONE`].
    pub fn as_str(&self) -> &str {
        // Only ASCII gets in.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The same as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    fn filled(value: &[u8]) -> Option<Self> {
        let mut id = Self { length: u8::try_from(value.len()).ok()?, ..Self::NONE };
        id.bytes.get_mut(..value.len())?.copy_from_slice(value);
        Some(id)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "RequestId({self})")
    }
}

/// One worker's source of names: `ss-3f9a1c0b5d7e2a44-0-000042`, that is process, worker, and the request in it.
#[derive(Debug)]
pub struct RequestIds {
    /// All of a name but its number.
    stem: String,
    given: Cell<u64>,
}

impl RequestIds {
    /// The source of worker number `worker` of this process.
    pub fn new(worker: usize) -> Self {
        static PROCESS: OnceLock<u64> = OnceLock::new();
        // The keys of std's hash maps come from the system's randomness; nothing is kept secret by this.
        let process = *PROCESS.get_or_init(|| RandomState::new().build_hasher().finish());
        Self::of_process(process, worker)
    }

    fn of_process(process: u64, worker: usize) -> Self {
        Self { stem: format!("ss-{process:016x}-{worker}-"), given: Cell::new(0) }
    }

    /// The name of a request: the value of its `x-request-id`, if it has a usable one, else a new one.
    pub fn name(&self, from_client: Option<&[u8]>) -> RequestId {
        from_client.and_then(RequestId::from_client).unwrap_or_else(|| self.fresh())
    }

    /// A name that no other request of this process has. At its longest it has 61 bytes.
    fn fresh(&self) -> RequestId {
        let number = self.given.get().wrapping_add(1);
        self.given.set(number);
        let mut digits = [b'0'; DIGITS_MAX];
        let free = put_digits::<10>(&mut digits, number);
        let digits = digits.get(free.min(DIGITS_MAX - DIGITS_MIN)..).unwrap_or_default();
        let mut id = RequestId::NONE;
        let mut free = id.bytes.as_mut_slice();
        for part in [self.stem.as_bytes(), digits] {
            if let Some((place, behind)) = std::mem::take(&mut free).split_at_mut_checked(part.len()) {
                place.copy_from_slice(part);
                free = behind;
            }
        }
        let length = ID_BYTES_MAX - free.len();
        id.length = length as u8; // at most 64
        id
    }
}

/// A name's number has zeros in front up to so many digits.
const DIGITS_MIN: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_may_call_its_request() {
        let longest = "x".repeat(ID_BYTES_MAX);
        let too_long = "x".repeat(ID_BYTES_MAX + 1);
        let huge = "x".repeat(256 + 5);
        for (value, usable) in [
            ("a", true),
            ("7b1c2d3e-0000-4000-8000-123456789abc", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
            ("Root=1:2/3+4@x_y.z", true),
            (&longest, true),
            (&too_long, false),
            (&huge, false),
            ("", false),
            ("two words", false),
            ("a\nlevel=error", false),
            ("\"quoted\"", false),
            ("a;b", false),
            ("é", false),
        ] {
            let id = RequestId::from_client(value.as_bytes());
            assert_eq!(id.as_ref().map(RequestId::as_str), usable.then_some(value), "{value:?}");
        }
        assert!(RequestId::from_client(b"\xff").is_none());
    }

    #[test]
    fn names_of_ours() {
        for (process, worker, given, want) in [
            (0x3f9a_1c0b_5d7e_2a44, 0, 41, "ss-3f9a1c0b5d7e2a44-0-000042"),
            (0, 12, 0, "ss-0000000000000000-12-000001"),
            (1, 255, 9_999_999, "ss-0000000000000001-255-10000000"),
            (u64::MAX, usize::MAX, u64::MAX - 1, "ss-ffffffffffffffff-18446744073709551615-18446744073709551615"),
        ] {
            let ids = RequestIds::of_process(process, worker);
            ids.given.set(given);
            let id = ids.name(None);
            assert_eq!(id.as_str(), want);
            assert_eq!(RequestId::from_client(id.as_bytes()), Some(id), "the next sidestream takes it as it is");
        }
    }

    #[test]
    fn names_differ_within_a_worker_and_between_workers() {
        let (first, second) = (RequestIds::new(0), RequestIds::new(1));
        let names = [first.name(None), first.name(None), second.name(None), first.name(Some(b"no name"))];
        for (place, name) in names.iter().enumerate() {
            assert!(!names[..place].contains(name), "{name}");
        }
        assert_eq!(first.name(Some(b"mine")).as_str(), "mine");
        assert_eq!(RequestId::NONE.as_str(), "");
    }
}
