//! Ways to damage bytes, from a seed.

use crate::generate::Random;

/// One damaged copy; `other` is what splices are taken from.
pub(crate) fn damaged(random: &mut Random, good: &[u8], other: &[u8]) -> Vec<u8> {
    match random.below(6) {
        0 => good[..random.below(good.len() as u64) as usize].to_vec(),
        1 => splice(random, good, other),
        2 => delete(random, good),
        3 => overwrite(random, good),
        _ => flip(random, good),
    }
}

/// One bit changed, or a few.
pub(crate) fn flip(random: &mut Random, good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..1 + random.below(2) * random.below(4) {
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << random.below(8);
    }
    bytes
}

/// A stretch replaced by a stretch of another.
fn splice(random: &mut Random, good: &[u8], other: &[u8]) -> Vec<u8> {
    let stretch = |random: &mut Random, bytes: &[u8]| {
        let from = random.below(bytes.len() as u64) as usize;
        from..(from + 1 + random.below(64) as usize).min(bytes.len())
    };
    let (cut, paste) = (stretch(random, good), stretch(random, other));
    let mut bytes = good.to_vec();
    bytes.splice(cut, other[paste].iter().copied());
    bytes
}

/// A stretch left out.
fn delete(random: &mut Random, good: &[u8]) -> Vec<u8> {
    let from = random.below(good.len() as u64) as usize;
    let mut bytes = good.to_vec();
    bytes.drain(from..(from + 1 + random.below(16) as usize).min(good.len()));
    bytes
}

/// A few bytes set to what numbers often break at.
fn overwrite(random: &mut Random, good: &[u8]) -> Vec<u8> {
    const BYTES: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];
    let from = random.below(good.len() as u64) as usize;
    let to = (from + 1 + random.below(8) as usize).min(good.len());
    let mut bytes = good.to_vec();
    bytes[from..to].fill(BYTES[random.below(6) as usize]);
    bytes
}
