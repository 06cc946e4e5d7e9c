//! Functions made to be expensive: whatever could take more than linear time is charged for, so each is proved or
//! refused after work in proportion to its size. What is asserted are counts, never times.

use selvedge_verifier::Refusal;

use crate::listing::Code;
use crate::subject::Subject;

/// Machine code of the module's first function: (i32) -> (i32), its parameter in `esi`.
#[derive(Default)]
struct Giant {
    code: Vec<u8>,
    traps: Vec<(u32, String)>,
    deep: Option<usize>,
}

const TOO_LONG: &str = "takes too long";
const TOO_LARGE: &str = "takes too much memory";

impl Giant {
    fn at(&self) -> usize {
        self.code.len()
    }

    fn emit(&mut self, bytes: &[u8]) {
        self.code.extend(bytes);
    }

    fn number(&mut self, bytes: &[u8], number: usize) {
        self.emit(bytes);
        self.emit(&(number as u32).to_le_bytes());
    }

    /// An instruction that ends in a distance, to be known later; where that is.
    fn forward(&mut self, bytes: &[u8]) -> usize {
        self.number(bytes, 0);
        self.at() - 4
    }

    /// Such a distance leads here.
    fn land(&mut self, from: usize) {
        let distance = (self.at() - from - 4) as u32;
        self.code[from..from + 4].copy_from_slice(&distance.to_le_bytes());
    }

    /// A conditional jump to an earlier place.
    fn je_back(&mut self, to: usize) {
        let distance = to as i64 - (self.at() as i64 + 6);
        self.emit(&[0x0f, 0x84]);
        self.emit(&(distance as i32).to_le_bytes());
    }

    /// `test esi, esi`
    fn test(&mut self) {
        self.emit(&[0x85, 0xf6]);
    }

    /// Compares the stack with its limit, and takes a frame of so many slots.
    fn frame(&mut self, slots: usize) {
        self.emit(&[0x48, 0x8b, 0x47, 0xf8]); // mov rax, [rdi + stack_limit]
        self.number(&[0x48, 0x05], slots * 8); // add rax, BYTES
        self.emit(&[0x48, 0x39, 0xc4]); // cmp rsp, rax
        self.deep = Some(self.forward(&[0x0f, 0x82])); // jb .deep
        self.number(&[0x48, 0x81, 0xec], slots * 8); // sub rsp, BYTES
        self.emit(&[0x31, 0xc0]); // xor eax, eax
    }

    /// `mov [rsp + 8*slot], rax`
    fn write(&mut self, slot: usize) {
        self.number(&[0x48, 0x89, 0x84, 0x24], slot * 8);
    }

    /// Gives the frame back and returns the parameter.
    fn leave(&mut self, slots: usize) {
        self.number(&[0x48, 0x81, 0xc4], slots * 8); // add rsp, BYTES
        self.ret();
        if let Some(deep) = self.deep.take() {
            self.land(deep);
            self.traps.push((self.at() as u32, "stack".into()));
            self.emit(&[0x0f, 0x0b]); // ud2
        }
    }

    /// Goes where one of so many entries leads; where the distance to the table is to be.
    fn jump_by_table(&mut self, entries: usize) -> usize {
        self.emit(&[0x89, 0xf0]); // mov eax, esi
        self.number(&[0xb9], entries - 1); // mov ecx, LAST
        self.number(&[0x3d], entries - 1); // cmp eax, LAST
        self.emit(&[0x0f, 0x42, 0xc8]); // cmovb ecx, eax
        let lea = self.forward(&[0x48, 0x8d, 0x05]); // lea rax, [.table]
        self.emit(&[0x48, 0x63, 0x14, 0x88]); // movsxd rdx, [rax + 4*rcx]
        self.emit(&[0x48, 0x01, 0xc2]); // add rdx, rax
        self.emit(&[0xff, 0xe2]); // jmp rdx
        lea
    }

    /// `mov eax, esi; ret`
    fn ret(&mut self) {
        self.emit(&[0x89, 0xf0, 0xc3]);
    }

    fn subject(self) -> Subject {
        Subject::of_code(Code { bytes: self.code, traps: self.traps }).expect("the artifact is written")
    }

    fn refusal(self) -> Option<Refusal> {
        self.subject().refusals().pop()
    }

    fn must_be_proved(self) {
        if let Some(refusal) = self.refusal() {
            panic!("{}", refusal.detail);
        }
    }

    fn must_be_refused(self, reason: &str) {
        let refusal = self.refusal().expect("it is refused");
        assert!(refusal.detail.contains(reason), "{refusal}");
    }
}

#[test]
fn a_hundred_thousand_ways_to_one_place() {
    let mut giant = Giant::default();
    giant.test();
    let jumps: Vec<_> = (0..100_000).map(|_| giant.forward(&[0x0f, 0x84])).collect();
    jumps.into_iter().for_each(|jump| giant.land(jump));
    giant.ret();
    giant.must_be_proved();
}

#[test]
fn the_same_with_ten_thousand_slots_that_differ() {
    let mut giant = Giant::default();
    giant.frame(10_000);
    giant.test();
    let jump = |giant: &mut Giant, nth: usize| {
        giant.write(nth % 10_000);
        giant.forward(&[0x0f, 0x84])
    };
    let jumps: Vec<_> = (0..50_000).map(|nth| jump(&mut giant, nth)).collect();
    jumps.into_iter().for_each(|jump| giant.land(jump));
    giant.leave(10_000);
    giant.must_be_proved();
}

#[test]
fn a_loop_whose_ways_back_each_change_all_slots() {
    let mut giant = Giant::default();
    giant.frame(2_000);
    giant.test();
    let again = giant.at();
    for _ in 0..200 {
        (0..2_000).for_each(|slot| giant.write(slot));
        giant.je_back(again);
    }
    giant.leave(2_000);
    giant.must_be_proved();
}

#[test]
fn a_state_with_a_large_frame_for_each_of_many_places() {
    let mut giant = Giant::default();
    giant.frame(5_000);
    giant.write(0);
    giant.test();
    for _ in 0..100_000 {
        let next = giant.forward(&[0x0f, 0x84]);
        giant.land(next);
    }
    giant.leave(5_000);
    giant.must_be_refused(TOO_LARGE);
}

/// A large frame with a slot in use in each of its pieces, then many ways to one place.
fn ways_with_a_large_frame(rewrite: bool) -> Giant {
    let mut giant = Giant::default();
    giant.frame(16_000);
    (0..2_000).for_each(|nth| giant.write(8 * nth));
    giant.test();
    let mut jumps = vec![giant.forward(&[0x0f, 0x84])];
    if rewrite {
        (0..2_000).for_each(|nth| giant.write(8 * nth + 1));
    }
    giant.test();
    jumps.extend((0..2_000).map(|_| giant.forward(&[0x0f, 0x84])));
    jumps.into_iter().for_each(|jump| giant.land(jump));
    giant.leave(16_000);
    giant
}

#[test]
fn many_ways_that_share_a_large_frame() {
    ways_with_a_large_frame(false).must_be_proved();
}

#[test]
fn many_ways_whose_large_frames_differ() {
    ways_with_a_large_frame(true).must_be_refused(TOO_LONG);
}

#[test]
fn a_second_look_at_many_places_with_a_large_frame() {
    let mut giant = Giant::default();
    giant.frame(16_000);
    (0..2_000).for_each(|nth| giant.write(8 * nth));
    let again = giant.at();
    giant.emit(&[0x83, 0xee, 0x01]); // sub esi, 1
    giant.je_back(again);
    for _ in 0..1_000 {
        let next = giant.forward(&[0x0f, 0x84]);
        giant.land(next);
    }
    // Not restored: that is what the first look ends with.
    giant.emit(&[0x89, 0xf3]); // mov ebx, esi
    giant.leave(16_000);
    giant.must_be_refused(TOO_LONG);
}

#[test]
fn the_largest_function_and_one_that_is_larger() {
    // The first is looked at: it begins with no instruction.
    for (bytes, reason) in [(1 << 26, "no instruction"), ((1 << 26) + 1, "too large")] {
        Giant { code: vec![0x06; bytes], ..Giant::default() }.must_be_refused(reason);
    }
}

#[test]
fn a_frame_beyond_every_stack() {
    let mut giant = Giant::default();
    giant.frame(1 << 27);
    giant.write(0);
    giant.leave(1 << 27);
    giant.must_be_refused("frame is too large");
}

/// Many jumps by one table: `jumps` times `entries` ways to go.
fn tables(jumps: usize, entries: usize) -> Giant {
    let mut giant = Giant::default();
    giant.test();
    let mut skips = Vec::new();
    let mut leas = Vec::new();
    for _ in 0..jumps {
        let skip = giant.forward(&[0x0f, 0x84]); // je .skip
        leas.push(giant.jump_by_table(entries));
        giant.land(skip);
        skips.push(skip);
    }
    giant.ret();
    leas.into_iter().for_each(|lea| giant.land(lea));
    let table = giant.at();
    // Each entry leads back to `mov eax, esi; ret`.
    (0..entries).for_each(|_| giant.emit(&(-3_i32).to_le_bytes()));
    assert_eq!(table + 4 * entries, giant.at());
    giant
}

#[test]
fn one_jump_by_a_giant_table() {
    tables(1, 200_000).must_be_proved();
}

#[test]
fn many_jumps_by_one_giant_table() {
    tables(500, 5_000).must_be_refused(TOO_LONG);
}

#[test]
fn places_in_straight_code_that_are_found_from_the_last_on() {
    const PLACES: usize = 30_000;
    let mut giant = Giant::default();
    let start = giant.at();
    (0..PLACES).for_each(|_| giant.emit(&[0x90]));
    let lea = giant.jump_by_table(PLACES);
    giant.land(lea);
    let table = giant.at();
    for nth in (0..PLACES).rev() {
        giant.number(&[], (start + nth).wrapping_sub(table));
    }
    giant.must_be_refused(TOO_LONG);
}

/// Looks at straight code, then a loop that goes back like this: at how many instructions in all?
fn straight_code_before_a_loop(back: impl Fn(&mut Giant, usize)) -> u64 {
    let mut giant = Giant::default();
    (0..10_000).for_each(|_| giant.emit(&[0x90]));
    let again = giant.at();
    giant.emit(&[0x83, 0xee, 0x01]); // sub esi, 1
    back(&mut giant, again);
    giant.ret();
    giant.subject().steps().expect("it is proved")
}

#[test]
fn what_a_loop_counts_is_followed_for_one_round() {
    let mut giant = Giant::default();
    giant.emit(&[0x31, 0xc0]); // xor eax, eax
    let again = giant.at();
    (0..10_000).for_each(|_| giant.emit(&[0x90]));
    giant.emit(&[0x83, 0xc0, 0x01]); // add eax, 1
    giant.emit(&[0x39, 0xf0]); // cmp eax, esi
    giant.je_back(again);
    giant.ret();
    let steps = giant.subject().steps().expect("it is proved");
    assert!((20_000..21_000).contains(&steps), "{steps}");
}

#[test]
fn what_leads_to_a_loop_is_looked_at_once() {
    let steps = straight_code_before_a_loop(Giant::je_back);
    assert!(steps < 11_000, "{steps}");
    let steps = straight_code_before_a_loop(|giant, again| {
        giant.emit(&[0x74, 2, 0xeb, 5]); // je .on; jmp .over
        let distance = again.wrapping_sub(giant.at() + 5);
        giant.number(&[0xe9], distance); // .on: jmp .again; .over:
    });
    assert!(steps < 11_000, "{steps}");
    // A short one is only found there.
    let steps = straight_code_before_a_loop(|giant, _| giant.emit(&[0x74, 0xfb]));
    assert!(steps > 20_000, "{steps}");
}

#[test]
fn jumps_that_nothing_leads_to_after_a_table() {
    let mut giant = tables(1, 1);
    // What follows might be entries of the table and jumps: it is neither, as only its end shows.
    for _ in 0..100_000 {
        let distance = -(giant.at() as i64) - 5;
        giant.emit(&[0xe9]);
        giant.emit(&(distance as i32).to_le_bytes());
    }
    giant.emit(&[0x06]);
    let end = giant.at();
    let patch = giant.code.iter().position(|byte| *byte == 0x0f).expect("the first branch");
    let distance = (end - (patch + 6)) as u32;
    giant.code[patch + 2..patch + 6].copy_from_slice(&distance.to_le_bytes());
    giant.ret();
    giant.must_be_refused(TOO_LONG);
}

#[test]
fn constants_read_over_and_over() {
    let mut giant = Giant::default();
    let leas: Vec<_> = (0..2_000)
        .map(|_| {
            giant.emit(&[0x89, 0xf0]); // mov eax, esi
            giant.number(&[0x25], 0xffff); // and eax, 0xffff
            let lea = giant.forward(&[0x48, 0x8d, 0x0d]); // lea rcx, [.constants]
            giant.emit(&[0x8b, 0x04, 0x08]); // mov eax, [rax + rcx]
            lea
        })
        .collect();
    giant.ret();
    leas.into_iter().for_each(|lea| giant.land(lea));
    giant.emit(&[0; 0x10010]);
    giant.must_be_refused(TOO_LONG);
}

#[test]
fn a_chain_of_ten_thousand_loops_and_a_nest_of_a_thousand() {
    let mut giant = Giant::default();
    giant.test();
    for _ in 0..10_000 {
        let start = giant.at();
        giant.emit(&[0x83, 0xee, 0x01]); // sub esi, 1
        giant.je_back(start);
    }
    let starts: Vec<_> = (0..1_000)
        .map(|_| {
            giant.emit(&[0x83, 0xee, 0x01]);
            giant.at()
        })
        .collect();
    starts.into_iter().rev().for_each(|start| giant.je_back(start));
    giant.ret();
    giant.must_be_proved();
}
