//! Random bytes: the kernel's, or from a seed.

use rustix::rand::{GetRandomFlags, getrandom};
use selvedge_runtime::{GuestPtr, touch_mut};

use crate::Wasi;
use crate::errno::{Answer, Errno};
use crate::limits::{RANDOM_BYTES_MAX, RANDOM_CHUNK_BYTES};

/// Where random bytes come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Randomness {
    /// The kernel: fit for keys.
    #[default]
    System,
    /// For runs that must not differ: always the same bytes. Fit for nothing secret.
    Seed(u64),
}

impl Randomness {
    fn fill(&mut self, bytes: &mut [u8]) -> Answer {
        match self {
            Randomness::System => bytes.chunks_mut(RANDOM_CHUNK_BYTES).try_for_each(fill_from_kernel),
            Randomness::Seed(state) => {
                for chunk in bytes.chunks_mut(8) {
                    chunk.copy_from_slice(&split_mix(state).to_le_bytes()[..chunk.len()]);
                }
                Ok(())
            }
        }
    }
}

fn fill_from_kernel(mut chunk: &mut [u8]) -> Answer {
    touch_mut(chunk);
    while !chunk.is_empty() {
        match getrandom(&mut *chunk, GetRandomFlags::empty()) {
            Ok(done) => chunk = &mut chunk[done..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Errno::from(error)),
        }
    }
    Ok(())
}

/// SplitMix64 (Steele, Lea, Flood 2014).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Wasi {
    pub(crate) fn random_get(&mut self, mem: &mut [u8], buffer: GuestPtr<u8>, len: u32) -> Answer {
        let buffer = buffer.slice(len).bytes_mut(mem)?;
        // Nothing can interrupt it: more would keep the processor from who asks for it back.
        if len > RANDOM_BYTES_MAX { Err(Errno::Inval) } else { self.random.fill(buffer) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_the_kernel_does_not() {
        let draw = |mut source: Randomness| {
            let mut bytes = [0; 21];
            source.fill(&mut bytes).unwrap();
            bytes
        };
        assert_eq!(draw(Randomness::Seed(7)), draw(Randomness::Seed(7)));
        assert_ne!(draw(Randomness::Seed(7)), draw(Randomness::Seed(8)));
        assert_ne!(draw(Randomness::System), draw(Randomness::System));
        // The generator's published first output for seed 0.
        assert_eq!(split_mix(&mut 0), 0xe220_a839_7b1d_cdaf);
    }
}
