//! What is known of the frame, eight bytes at a time: shared between states until one of them writes.

use std::rc::Rc;

use crate::budget::Budget;
use crate::report::Checked;
use crate::value::{Cell, Growth, Num, Value};

const CHUNK: usize = 8;
/// Bytes of a slot.
const SLOT: i64 = 8;

/// Bytes of a chunk and its two counts.
const CHUNK_BYTES: usize = size_of::<[Cell; CHUNK]>() + 2 * size_of::<usize>();

/// Slots from `top` downwards. What was never written, or lies below, is secret.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    top: i64,
    chunks: Vec<Option<Rc<[Cell; CHUNK]>>>,
    spent: Spent,
}

/// What operations on slots have cost since it was last asked.
#[derive(Clone, Copy, Default, Debug)]
struct Spent {
    /// Chunks made, copied or compared.
    chunks: u32,
    /// Those of them that were made or copied.
    copied: u32,
    /// References walked over.
    walked: u32,
}

impl Slots {
    /// Slots below `top`, a multiple of 8.
    pub(crate) fn new(top: i64) -> Slots {
        Slots { top, chunks: Vec::new(), spent: Spent::default() }
    }

    /// References to chunks, which a copy shares.
    pub(crate) fn references(&self) -> usize {
        self.chunks.len()
    }

    /// Pays for what was done since the last time.
    #[inline]
    pub(crate) fn charge(&mut self, budget: &mut Budget) -> Checked {
        if self.spent.chunks | self.spent.walked == 0 { Ok(()) } else { self.charge_spent(budget) }
    }

    fn charge_spent(&mut self, budget: &mut Budget) -> Checked {
        let Spent { chunks, copied, walked } = std::mem::take(&mut self.spent);
        budget.work(chunks as usize)?;
        budget.scan(walked as usize)?;
        budget.memory(copied as usize * CHUNK_BYTES)
    }

    fn index(&self, at: i64) -> (usize, usize) {
        let nth = ((self.top - SLOT - at) / SLOT) as usize;
        (nth / CHUNK, nth % CHUNK)
    }

    fn slot(&self, at: i64) -> Cell {
        let (chunk, nth) = self.index(at);
        match self.chunks.get(chunk) {
            Some(Some(cells)) => cells[nth],
            _ => Cell::SECRET,
        }
    }

    fn set_slot(&mut self, at: i64, cell: Cell) {
        let (chunk, nth) = self.index(at);
        if chunk >= self.chunks.len() {
            self.spent.walked += (chunk + 1 - self.chunks.len()) as u32;
            self.chunks.resize(chunk + 1, None);
        }
        let spent = &mut self.spent;
        let cells = self.chunks[chunk].get_or_insert_with(|| {
            spent.copy();
            Rc::new([Cell::SECRET; CHUNK])
        });
        if cells[nth] != cell {
            own(cells, spent)[nth] = cell;
        }
    }

    /// Reads up to eight bytes, which lie below the top.
    pub(crate) fn read(&self, at: i64, size: usize) -> Cell {
        match (at.rem_euclid(SLOT), size) {
            (0, 8) => self.slot(at),
            (0, _) => Cell::new(self.slot(at).value.truncate(size)),
            _ => Cell::new(Value::Num(Num::partly(self.readable(at, size) as u8).truncate(size))),
        }
    }

    /// How many of these bytes, from the first on, may be looked at.
    pub(crate) fn readable(&self, at: i64, size: usize) -> usize {
        let mut done = 0;
        while done < size {
            let here = at + done as i64;
            let start = here.div_euclid(SLOT) * SLOT;
            let skip = (here - start) as usize;
            let wanted = (8 - skip).min(size - done);
            let bytes = usize::from(self.slot(start).value.readable()).saturating_sub(skip).min(wanted);
            done += bytes;
            if bytes < wanted {
                break;
            }
        }
        done
    }

    /// Writes up to eight bytes.
    pub(crate) fn write(&mut self, at: i64, size: usize, cell: Cell) {
        if at.rem_euclid(SLOT) == 0 && size == 8 {
            return self.set_slot(at, cell);
        }
        self.fill(at, size, usize::from(cell.value.readable()).min(size));
    }

    /// Overwrites bytes with numbers, of which the first `readable` may be looked at.
    pub(crate) fn fill(&mut self, at: i64, size: usize, readable: usize) {
        let mut done = 0;
        while done < size {
            let here = at + done as i64;
            let start = here.div_euclid(SLOT) * SLOT;
            let skip = (here - start) as usize;
            let len = (8 - skip).min(size - done);
            let shown = readable.saturating_sub(done).min(len);
            let old = usize::from(self.slot(start).value.readable());
            let bytes = match (old < skip, shown == len) {
                (true, _) => old,
                (false, true) => old.max(skip + len),
                (false, false) => skip + shown,
            };
            self.set_slot(start, Cell::new(Value::Num(Num::partly(bytes as u8))));
            done += len;
        }
    }

    /// Forgets everything below: a callee may have been there, or the host.
    pub(crate) fn forget_below(&mut self, at: i64) {
        let keep = ((self.top - at).max(0) / SLOT) as usize;
        self.chunks.truncate(keep.div_ceil(CHUNK));
        for nth in keep..self.chunks.len() * CHUNK {
            if let Some(Some(cells)) = self.chunks.get_mut(nth / CHUNK)
                && cells[nth % CHUNK] != Cell::SECRET
            {
                own(cells, &mut self.spent)[nth % CHUNK] = Cell::SECRET;
            }
        }
    }

    /// Forgets the names of what has none there.
    pub(crate) fn keep_names_of(&mut self, there: &Slots) {
        self.spent.chunks += self.chunks.len() as u32;
        for (nth, cells) in self.chunks.iter_mut().enumerate() {
            let Some(cells) = cells else { continue };
            let nameless = |slot: usize| match there.chunks.get(nth) {
                Some(Some(there)) => there[slot].id == 0,
                _ => true,
            };
            for slot in (0..CHUNK).filter(|slot| nameless(*slot)) {
                if cells[slot].id != 0 {
                    own(cells, &mut self.spent)[slot].id = 0;
                }
            }
        }
    }

    /// Keeps what holds of both; says whether anything changed.
    pub(crate) fn join(&mut self, new: &Slots, growth: Growth) -> bool {
        let mut changed = self.chunks.len() > new.chunks.len();
        self.chunks.truncate(new.chunks.len());
        self.spent.walked += self.chunks.len() as u32;
        for (old, new) in self.chunks.iter_mut().zip(&new.chunks) {
            let (Some(cells), Some(others)) = (&mut *old, new) else {
                changed |= old.is_some();
                *old = None;
                continue;
            };
            if !Rc::ptr_eq(cells, others) {
                self.spent.chunks += 1;
                changed |= join_chunk(cells, others, growth, &mut self.spent);
            }
        }
        changed
    }
}

impl Spent {
    fn copy(&mut self) {
        self.chunks += 1;
        self.copied += 1;
    }
}

/// A chunk to write to: a copy if others have it, too.
fn own<'c>(cells: &'c mut Rc<[Cell; CHUNK]>, spent: &mut Spent) -> &'c mut [Cell; CHUNK] {
    if Rc::strong_count(cells) > 1 {
        spent.copy();
    }
    Rc::make_mut(cells)
}

fn join_chunk(cells: &mut Rc<[Cell; CHUNK]>, others: &Rc<[Cell; CHUNK]>, growth: Growth, spent: &mut Spent) -> bool {
    let mut changed = false;
    for (nth, new) in others.iter().enumerate() {
        let mut joined = cells[nth];
        if joined.widen(new, growth) {
            own(cells, spent)[nth] = joined;
            changed = true;
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_writes_show_no_more_than_was_written() {
        let mut slots = Slots::new(16);
        slots.write(-16, 4, Cell::ANY);
        assert_eq!((slots.readable(-16, 8), slots.read(-16, 4).value.readable()), (4, 8));
        assert!(slots.read(-16, 8).value.readable() < 8);
        slots.write(-12, 4, Cell::ANY);
        assert_eq!(slots.readable(-16, 16), 8);
        slots.write(-14, 1, Cell::SECRET);
        assert_eq!(slots.readable(-16, 8), 2);
        assert_eq!(slots.readable(-13, 1), 0, "what follows a secret byte is not tracked");
    }

    #[test]
    fn a_callee_leaves_nothing_below() {
        let mut slots = Slots::new(8);
        (1..40).for_each(|n| slots.write(-8 * n, 8, Cell::new(Value::Saved(3))));
        slots.forget_below(-80);
        assert_eq!(slots.read(-80, 8).value, Value::Saved(3));
        assert_eq!(slots.read(-88, 8), Cell::SECRET);
        assert_eq!(slots.read(-200, 8), Cell::SECRET);
    }

    #[test]
    fn a_name_stays_where_both_have_one() {
        let named = |slots: &mut Slots, nth: i64, id| slots.write(-8 * nth, 8, Cell { id, ..Cell::ANY });
        let (mut slots, mut there) = (Slots::new(0), Slots::new(0));
        let far = 2 * CHUNK as i64 + 1;
        for nth in [1, 2, far] {
            named(&mut slots, nth, 7);
        }
        named(&mut there, 1, 9);
        let kept = slots.clone();
        slots.keep_names_of(&there);
        assert_eq!([1, 2, far].map(|nth| slots.read(-8 * nth, 8).id), [7, 0, 0]);
        assert_eq!(slots.read(-16, 8).value, Cell::ANY.value, "what is known of the value stays");
        assert_eq!(kept.read(-16, 8).id, 7, "others that share the chunk keep theirs");
    }
}
