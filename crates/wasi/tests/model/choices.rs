//! Where the choices of a sequence come from: a seed, or a fuzzer.

/// Where choices come from.
#[allow(dead_code, reason = "one is the test's, the other the fuzzer's")]
pub(crate) enum Choices<'b> {
    /// Bytes, until there are no more.
    Bytes(&'b [u8]),
    /// A seed, for so many choices.
    Seed(u64, u32),
}

impl Choices<'_> {
    /// One of so many, 256 at most for a fuzzer; `None` at the end.
    pub(super) fn below(&mut self, count: u32) -> Option<u32> {
        let number = match self {
            Choices::Bytes(bytes) => {
                let (first, rest) = bytes.split_first()?;
                *bytes = rest;
                u32::from(*first)
            }
            Choices::Seed(_, 0) => return None,
            Choices::Seed(state, left) => {
                *left -= 1;
                // SplitMix64 (Steele, Lea, Flood 2014).
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                ((z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 40) as u32
            }
        };
        Some(number % count)
    }

    pub(super) fn one_of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        Some(all[self.below(all.len() as u32)? as usize])
    }

    /// Yes, once in so many times.
    pub(super) fn one_in(&mut self, times: u32) -> Option<bool> {
        Some(self.below(times)? == 0)
    }

    /// A path of names that meet often. The last is a plain name if `named`.
    pub(super) fn path(&mut self, named: bool) -> Option<String> {
        const WAYS: &[&str] = &["a", "b", "c", "..", "."];
        let mut path = String::new();
        for _ in 0..self.one_of(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 3])? {
            path += self.one_of(WAYS)?;
            path += "/";
        }
        path +=
            if named { self.one_of(&["a", "b", "c", "d"])? } else { self.one_of(&["a", "b", "c", "d", ".", ".."])? };
        Some(path)
    }
}
