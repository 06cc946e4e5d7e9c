//! Encodings that every decoder reads alike: no prefix that means nothing, none that means different things to
//! different processors.

use crate::report::{Checked, Rule, ensure};

/// Looks at the prefixes of one instruction's bytes.
pub(crate) fn check(bytes: &[u8]) -> Checked {
    let mut rest = bytes;
    let (mut operand_size, mut repeat) = (false, false);
    while let [first, after @ ..] = rest {
        match first {
            0x66 if !operand_size => operand_size = true,
            0xf2 | 0xf3 if !repeat => repeat = true,
            0x66 | 0xf2 | 0xf3 => return refuse("a prefix occurs twice"),
            0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 => return refuse("segment prefixes are not allowed"),
            0x67 => return refuse("32-bit addressing is not allowed"),
            0xf0 => return refuse("locked instructions are not allowed"),
            _ => break,
        }
        rest = after;
    }
    let rex = matches!(rest, [0x40..=0x4f, ..]);
    let opcode = if rex { &rest[1..] } else { rest };
    match opcode {
        [0x40..=0x4f | 0x66 | 0xf2 | 0xf3, ..] => refuse("a prefix after the last one"),
        [0x62, ..] => refuse("AVX-512 encodings cannot be proved yet"),
        [0x0f, ..] => Ok(()),
        [0x70..=0x7f | 0xc2 | 0xc3 | 0xe0..=0xeb | 0xff, ..] if operand_size => {
            refuse("processors disagree about branches with this prefix")
        }
        _ if repeat => refuse("a repeat prefix that means nothing"),
        _ => Ok(()),
    }
}

fn refuse(problem: &str) -> Checked {
    ensure(false, Rule::Instruction, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_encodings_pass() {
        for good in [&[0x90][..], &[0x66, 0x0f, 0xef, 0xc0], &[0xf3, 0x48, 0x0f, 0xb8, 0xc0], &[0x66, 0x89, 0xc0]] {
            assert!(check(good).is_ok(), "{good:x?}");
        }
        let bad: [&[u8]; 8] = [
            &[0x66, 0x66, 0x90],
            &[0x64, 0x8b, 0x00],
            &[0xf0, 0x0f, 0xb1, 0x07],
            &[0x67, 0x8b, 0x00],
            &[0x66, 0xe8, 0, 0, 0, 0],
            &[0xf3, 0xc3],
            &[0x48, 0x66, 0x89, 0xc0],
            &[0x62, 0xf1, 0x7c, 0x08, 0x58, 0xc0],
        ];
        for bad in bad {
            assert!(check(bad).is_err(), "{bad:x?}");
        }
    }
}
