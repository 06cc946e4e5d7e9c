//! Encodings that every decoder reads alike: no prefix that means nothing, none that means different things to
//! different processors.

use crate::report::{Checked, Rule, ensure};

/// Looks at the prefixes of one instruction's bytes.
pub(crate) fn check(bytes: &[u8]) -> Checked {
    let mut rest = bytes;
    let (mut operand_size, mut repeat) = (false, None);
    while let [first, after @ ..] = rest {
        match first {
            0x66 if !operand_size => operand_size = true,
            0xf2 | 0xf3 if repeat.is_none() => repeat = Some(*first),
            0x66 | 0xf2 | 0xf3 => return refuse("a prefix occurs twice"),
            0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 => return refuse("segment prefixes are not allowed"),
            0x67 => return refuse("32-bit addressing is not allowed"),
            0xf0 => return refuse("locked instructions are not allowed"),
            _ => break,
        }
        rest = after;
    }
    let plain = rest.len() == bytes.len();
    match rest {
        // Their prefixes are part of them.
        [0x62 | 0xc4 | 0xc5, ..] if !plain => return refuse("a prefix before a vector encoding"),
        [0x62, first, second, third, ..] => return check_evex([*first, *second, *third]),
        // Intel's manual: what of a scalar instruction of the longer form becomes differs between processors.
        [0xc5, last, ..] | [0xc4, _, last, ..] => {
            return ensure(last & 0x04 == 0, Rule::Instruction, "a vector encoding for more than sixteen bytes");
        }
        _ => {}
    }
    let rex = matches!(rest, [0x40..=0x4f, ..]);
    let wide = matches!(rest, [0x48..=0x4f, ..]);
    let opcode = if rex { &rest[1..] } else { rest };
    match opcode {
        // The processor obeys it, and forgets REX.
        [0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3, ..] => {
            refuse("a prefix after the last one")
        }
        [0x62 | 0xc4 | 0xc5, ..] => refuse("a prefix before a vector encoding"),
        [0x0f, second, ..] if repeat.is_some_and(|prefix| is_idle(prefix, *second)) => {
            refuse("a repeat prefix that means nothing")
        }
        [0x0f, ..] if operand_size && repeat.is_some() => refuse("two prefixes of which one means nothing"),
        [0x0f, 0x80..=0x8f, ..] if operand_size => refuse("processors disagree about branches with this prefix"),
        [0x0f, ..] => Ok(()),
        [0x63, ..] if operand_size => refuse("processors disagree about the width of what this reads"),
        _ if operand_size && wide => refuse("two prefixes for two operand sizes"),
        [0x70..=0x7f | 0xc2 | 0xc3 | 0xe0..=0xeb | 0xff, ..] if operand_size => {
            refuse("processors disagree about branches with this prefix")
        }
        _ if repeat.is_some() => refuse("a repeat prefix that means nothing"),
        _ => Ok(()),
    }
}

/// The three bytes of an AVX-512 prefix. Only the plain form passes: sixteen bytes, all lanes, no rounding of its own,
/// no broadcast, registers that the older encodings have too.
fn check_evex([first, second, third]: [u8; 3]) -> Checked {
    // Newer processors give meanings to these two bits.
    let reserved = first & 0x08 == 0 && second & 0x04 != 0;
    ensure(reserved, Rule::Instruction, "a vector encoding with reserved bits")?;
    ensure(third == 0x08 && first & 0x10 != 0, Rule::Instruction, "this form of a vector encoding is not on the list")
}

/// Whether a repeat prefix means nothing before this opcode of two bytes: those of general registers.
fn is_idle(prefix: u8, second: u8) -> bool {
    match second {
        0xb8 | 0xbc | 0xbd => prefix == 0xf2,
        0x0b | 0x18..=0x1f | 0x40..=0x4f | 0x80..=0xb7 | 0xba | 0xbb | 0xbe..=0xc1 | 0xc8..=0xcf => true,
        _ => false,
    }
}

fn refuse(problem: &str) -> Checked {
    ensure(false, Rule::Instruction, problem)
}

#[cfg(test)]
mod tests {
    use iced_x86::{Decoder, DecoderOptions, Mnemonic, Register};

    use super::*;

    #[test]
    fn only_plain_encodings_pass() {
        let good: [&[u8]; 6] = [
            &[0x90],
            &[0x66, 0x0f, 0xef, 0xc0],
            &[0xf3, 0x48, 0x0f, 0xb8, 0xc0],
            &[0x66, 0x89, 0xc0],
            &[0xc5, 0xf9, 0xef, 0xc0],
            &[0x62, 0xf1, 0xfd, 0x08, 0x58, 0xc0],
        ];
        for good in good {
            assert!(check(good).is_ok(), "{good:x?}");
        }
        let bad: [&[u8]; 32] = [
            // A second decoder reads these otherwise, and of the first AMD's and Intel's processors.
            &[0x66, 0x41, 0x63, 0x4e, 0x29],
            &[0x66, 0x4d, 0x5d],
            &[0xf3, 0x0f, 0xcb],
            &[0xf2, 0x0f, 0xbc, 0xc1],
            &[0xf3, 0xf2, 0x0f, 0x10, 0xc0],
            &[0x66, 0x66, 0x90],
            &[0x64, 0x8b, 0x00],
            &[0xf0, 0x0f, 0xb1, 0x07],
            &[0x67, 0x8b, 0x00],
            &[0x66, 0xe8, 0, 0, 0, 0],
            &[0x66, 0x0f, 0x84, 0, 0, 0, 0],
            &[0xf3, 0xc3],
            // After REX, each prefix that there is.
            &[0x48, 0x66, 0x89, 0xc0],
            &[0x48, 0x67, 0x89, 0x00],
            &[0x48, 0x26, 0x89, 0x00],
            &[0x48, 0x2e, 0x89, 0x00],
            &[0x48, 0x36, 0x89, 0x00],
            &[0x48, 0x3e, 0x89, 0x00],
            &[0x48, 0x64, 0x89, 0x00],
            &[0x48, 0x65, 0x89, 0x00],
            &[0x48, 0xf0, 0x01, 0x00],
            &[0x48, 0x40, 0x89, 0x00],
            // A prefix before VEX, REX before VEX, a prefix before EVEX.
            &[0x66, 0xc5, 0xf9, 0xef, 0xc0],
            &[0x48, 0xc5, 0xf9, 0xef, 0xc0],
            &[0x66, 0x62, 0xf1, 0xfd, 0x08, 0x58, 0xc0],
            // EVEX: reserved bits, 32 and 64 bytes, a mask, zeroing, broadcast, the upper registers.
            &[0x62, 0xf9, 0xfd, 0x08, 0x58, 0xc0],
            &[0x62, 0xf1, 0xf9, 0x08, 0x58, 0xc0],
            &[0x62, 0xf1, 0xfd, 0x28, 0x58, 0xc0],
            &[0x62, 0xf1, 0xfd, 0x48, 0x58, 0xc0],
            &[0x62, 0xf1, 0xfd, 0x09, 0x58, 0xc0],
            &[0x62, 0xf1, 0xfd, 0x18, 0x58, 0x00],
            &[0x62, 0xe1, 0xfd, 0x08, 0x58, 0xc0],
        ];
        for bad in bad {
            assert!(check(bad).is_err(), "{bad:x?}");
        }
    }

    /// Every opcode behind up to three prefixes.
    #[test]
    fn what_passes_is_the_same_everywhere() {
        let prefixes = [0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x40, 0x48];
        let mut passed = 0;
        for nth in 0..14usize.pow(3) {
            let chosen = [nth % 14, nth / 14 % 14, nth / 196].map(|nth| prefixes.get(nth).copied());
            let front: Vec<u8> = chosen.into_iter().flatten().collect();
            for opcode in 0..512 {
                let opcode = if opcode < 256 { vec![opcode as u8] } else { vec![0x0f, (opcode - 256) as u8] };
                for operand in [0x05, 0x44, 0xc8] {
                    let code = [&front[..], &opcode, &[operand, 0x24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
                    passed += usize::from(is_the_same(&code));
                }
            }
        }
        assert!(passed > 2_000, "only {passed} pass");
    }

    /// Whether it passes, and then that Intel's and AMD's processors read the same, with plain addresses.
    fn is_the_same(code: &[u8]) -> bool {
        let decode = |options| Decoder::with_ip(64, code, 0, options).decode();
        let i = decode(DecoderOptions::NONE);
        if i.is_invalid() || check(&code[..i.len()]).is_err() {
            return false;
        }
        let plain = i.segment_prefix() == Register::None && !i.has_lock_prefix();
        let wide = [i.memory_base(), i.memory_index()].iter().all(|part| *part == Register::None || part.size() == 8);
        // None of these is on the list.
        let unlisted =
            matches!(i.mnemonic(), Mnemonic::Ud0 | Mnemonic::Xlatb | Mnemonic::Lss | Mnemonic::Lfs | Mnemonic::Lgs);
        assert!(unlisted || plain && wide && decode(DecoderOptions::AMD) == i, "{code:x?}: {i:?}");
        true
    }
}
