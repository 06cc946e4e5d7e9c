//! Random bytes that look like instructions: encodings that no assembler makes.

use crate::random::Random;

/// Prefixes, an opcode and its operands, most often registers or the frame, and what may be a constant.
pub(crate) fn instruction(random: &mut Random) -> Vec<u8> {
    let mut bytes = encoding(random);
    let operand = random.next() as u8;
    match random.below(3) {
        0 => bytes.extend([0x44 | operand & 0x38, 0x24, 8 * random.below(12) as u8]),
        _ => bytes.push(0xc0 | operand),
    }
    bytes.extend(random.next().to_le_bytes());
    bytes
}

fn encoding(random: &mut Random) -> Vec<u8> {
    let [a, b, c, ..] = random.next().to_le_bytes();
    match random.below(5) {
        0 | 1 => plain(random),
        2 => vec![0xc5, a, b],
        3 => vec![0xc4, a & 0xe0 | (1 + random.below(5) as u8), b, c],
        _ => vec![0x62, a & 0xf0 | (1 + random.below(3) as u8), b | 4, 0x08, c],
    }
}

fn plain(random: &mut Random) -> Vec<u8> {
    let prefixes = random.below(3);
    let mut bytes: Vec<u8> = (0..prefixes).map(|_| [0x66, 0xf2, 0xf3][random.below(3) as usize]).collect();
    if random.below(2) == 0 {
        bytes.push(0x40 | random.below(16) as u8);
    }
    bytes.extend([&[][..], &[0x0f], &[0x0f, 0x38], &[0x0f, 0x3a]][random.below(4) as usize]);
    bytes.push(random.next() as u8);
    bytes
}
