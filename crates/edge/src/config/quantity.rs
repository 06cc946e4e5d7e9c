//! Numbers: of bytes and time with their units, and of things.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use crate::limits::{MEMORY_BYTES_MAX, SLOTS_MAX, STORAGE_BYTES_MAX};

/// Of instances at once.
pub(super) const SLOTS: RangeInclusive<u32> = 1..=SLOTS_MAX;

/// A number of bytes, written with its unit: `"64MiB"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ByteCount(pub u64);

/// A time, written with its unit: `"300ms"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TimeSpan(pub Duration);

/// A number and its unit.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (_, factor) = units.iter().find(|(unit, _)| *unit == text[end..].trim())?;
    text[..end].parse::<u64>().ok()?.checked_mul(*factor)
}

impl<'de> Deserialize<'de> for ByteCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ByteCount, D::Error> {
        bytes(deserializer, MEMORY_BYTES_MAX, "a size up to 4GiB like \"64MiB\" (B, KiB, MiB, GiB)")
    }
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D, max: u64, expected: &'static str) -> Result<ByteCount, D::Error> {
    const UNITS: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let text = deserializer.deserialize_str(Text(expected))?;
    let bytes = quantity(&text, UNITS).filter(|bytes| *bytes <= max);
    bytes.map(ByteCount).ok_or_else(|| de::Error::custom(format!("found {text:?}, expected {expected}")))
}

/// What may lie on a disk: more than memory has.
pub(crate) fn storage<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteCount, D::Error> {
    bytes(deserializer, STORAGE_BYTES_MAX, "a size up to 1048576GiB like \"10GiB\" (B, KiB, MiB, GiB)")
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TimeSpan, D::Error> {
        const UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
        const EXPECTED: &str = "a time from 1ms to 24h like \"300ms\" (ms, s, m, h)";
        let text = deserializer.deserialize_str(Text(EXPECTED))?;
        let ms = quantity(&text, UNITS).filter(|ms| (1..=24 * 3_600_000).contains(ms));
        let span = ms.map(|ms| TimeSpan(Duration::from_millis(ms)));
        span.ok_or_else(|| de::Error::custom(format!("found {text:?}, expected {EXPECTED}")))
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.iter().find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{} {name}", self.0 / unit),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// A whole number within these bounds.
pub(super) struct Count(pub(super) RangeInclusive<u32>);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.start(), self.0.end()) {
            (min, &u32::MAX) => write!(f, "a whole number from {min} up"),
            (min, max) => write!(f, "a whole number from {min} to {max}"),
        }
    }
}

impl de::Visitor<'_> for Count {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<u32, E> {
        let count = u32::try_from(number).ok().filter(|count| self.0.contains(count));
        count.ok_or_else(|| E::custom(format!("found {number}, expected {self}")))
    }
}

/// A number of what there may be none of.
pub(crate) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    deserializer.deserialize_u32(Count(0..=u32::MAX))
}

/// A number of what there must be one of.
pub(crate) fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    deserializer.deserialize_u32(Count(1..=u32::MAX))
}

/// A number of instances at once.
pub(super) fn slots<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    deserializer.deserialize_u32(Count(SLOTS))
}

/// A text; `expected` is said of what is none.
struct Text(&'static str);

impl de::Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_string())
    }
}
