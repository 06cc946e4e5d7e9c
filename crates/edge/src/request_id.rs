//! What clients and logs know a request by.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize, Serializer};

const BYTES_MAX: usize = 16;

/// What clients and logs know a request by: up to sixteen letters and digits. It is copied, not shared: it goes to many
/// places.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RequestId {
    len: u8,
    bytes: [u8; BYTES_MAX],
}

impl RequestId {
    /// One that is known when this is compiled.
    ///
    /// # Panics
    /// If it cannot be one.
    pub(crate) const fn known(text: &'static str) -> RequestId {
        match RequestId::of(text.as_bytes()) {
            Some(id) => id,
            None => panic!("an id has 1 to 16 letters and digits"),
        }
    }

    const fn of(text: &[u8]) -> Option<RequestId> {
        if text.is_empty() || text.len() > BYTES_MAX {
            return None;
        }
        let (mut bytes, mut at) = ([0; BYTES_MAX], 0);
        while at < text.len() {
            if !text[at].is_ascii_alphanumeric() {
                return None;
            }
            bytes[at] = text[at];
            at += 1;
        }
        Some(RequestId { len: text.len() as u8, bytes })
    }

    /// A number, in sixteen digits.
    fn of_number(number: u64) -> RequestId {
        let (mut bytes, mut rest) = ([0; BYTES_MAX], number);
        for byte in bytes.iter_mut().rev() {
            *byte = b"0123456789abcdef"[rest as usize & 15];
            rest >>= 4;
        }
        RequestId { len: BYTES_MAX as u8, bytes }
    }

    /// Its letters and digits.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len.into()).unwrap_or(&self.bytes)
    }

    /// The same as text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl TryFrom<String> for RequestId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<RequestId, &'static str> {
        RequestId::of(text.as_bytes()).ok_or("a request's id has 1 to 16 letters and digits")
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Ids that cannot be guessed from each other, and never come twice.
pub(crate) struct RequestIds {
    secret: u64,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> RequestIds {
        RequestIds { secret: RandomState::new().hash_one(0), next: AtomicU64::new(0) }
    }

    pub(crate) fn next(&self) -> RequestId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        // A bijection (splitmix64), so that no two are the same.
        let mut x = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(self.secret);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        RequestId::of_number(x ^ (x >> 31))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_words_and_never_the_same() {
        let ids = RequestIds::new();
        let some: std::collections::BTreeSet<String> = (0..1_000).map(|_| ids.next().to_string()).collect();
        assert_eq!(some.len(), 1_000);
        assert!(some.iter().all(|id| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit())), "{some:?}");
        for text in some {
            let kept = serde_json::to_string(&RequestId::try_from(text.clone()).unwrap()).unwrap();
            assert_eq!(kept, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<RequestId>(&kept).unwrap().as_str(), text);
        }
        assert_eq!(RequestId::of_number(0x0123_4567_89ab_cdef).as_str(), "0123456789abcdef");
        assert_eq!(RequestId::known("check").to_string(), "check");
        for wrong in ["", "0123456789abcdef0", "a b", "ä", "a\n", "\u{1b}"] {
            assert!(RequestId::try_from(wrong.to_string()).is_err(), "{wrong:?}");
        }
    }
}
