//! Where what happens in a life comes from: a seed, or a fuzzer.

/// Where choices come from.
#[allow(dead_code, reason = "one is the tests', the other the fuzzer's")]
#[derive(Clone)]
pub(crate) enum Choices<'b> {
    /// Xorshift (Marsaglia 2003): replays from its seed.
    Seed(u64),
    /// Bytes; when there are no more, the first of all that can be chosen.
    Bytes(&'b [u8]),
}

impl Choices<'_> {
    /// One of so many.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        match self {
            Choices::Bytes(_) if end <= 1 << 8 => self.bytes(1) % end,
            _ => self.number() % end,
        }
    }

    /// Any number.
    pub(crate) fn number(&mut self) -> u64 {
        match self {
            Choices::Bytes(_) => self.bytes(8),
            Choices::Seed(state) => {
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                *state
            }
        }
    }

    /// Bytes that are left.
    #[allow(dead_code, reason = "the fuzzer's")]
    pub(crate) fn left(&self) -> usize {
        if let Choices::Bytes(bytes) = self { bytes.len() } else { 0 }
    }

    fn bytes(&mut self, count: usize) -> u64 {
        let Choices::Bytes(bytes) = self else { return 0 };
        let (first, rest) = bytes.split_at(count.min(bytes.len()));
        *bytes = rest;
        first.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}
