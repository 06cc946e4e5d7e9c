//! Data segments: those that are certain to succeed become pages of the initial memory image, the others
//! stay segments.
//!
//! Active segments are copied in order at instantiation. The first that may fail, or whose place is not
//! known here, ends what can be done in advance: a later one might overwrite it. Memory is taken per page
//! touched, never per page declared.

use std::collections::BTreeMap;

use selvedge_contract::limits::{HOST_PAGE_BYTES, WASM_PAGE_BYTES};
use selvedge_contract::{DataSegment, ImageRun, MemoryPlan, SegmentMode};

use super::convert;

const PAGE: usize = HOST_PAGE_BYTES as usize;
/// Runs with no more zero pages between them become one.
const GAP_PAGES: u64 = 4;
/// The image may take this much, or thrice the segments' bytes if that is more: single bytes spread far
/// apart must not make a huge artifact of a small module.
const IMAGE_PAGES_FREE: usize = 16 << 10;

/// A data segment as the module has it.
pub(super) struct RawData<'a> {
    /// Where it goes.
    pub(super) mode: SegmentMode,
    /// Its bytes.
    pub(super) bytes: &'a [u8],
}

/// What became of the data segments.
#[derive(Default)]
pub(super) struct DataParts {
    /// All segments, in order.
    pub(super) segments: Vec<DataSegment>,
    /// Bytes of those that stay segments.
    pub(super) data: Vec<u8>,
    /// The image's runs.
    pub(super) runs: Vec<ImageRun>,
    /// The image's pages.
    pub(super) image: Vec<u8>,
}

type Pages = BTreeMap<(u32, u64), Box<[u8; PAGE]>>;

/// Splits the data segments. `imported` is the number of imported memories, `memories` the module's own.
pub(super) fn split(raw: Vec<RawData<'_>>, imported: u32, memories: &[MemoryPlan]) -> DataParts {
    let mut pages = Pages::new();
    let mut parts = DataParts::default();
    let total: usize = raw.iter().map(|segment| segment.bytes.len()).sum();
    let budget = IMAGE_PAGES_FREE.max(3 * total / PAGE);
    let mut in_advance = true;
    for segment in raw {
        if let SegmentMode::Active { target, offset } = &segment.mode {
            let place = convert::evaluate(offset).and_then(|at| fits(at, &segment, *target, imported, memories));
            in_advance &= place.is_some() && pages.len() < budget;
            if let (true, Some((memory, at))) = (in_advance, place) {
                write(&mut pages, memory, at, segment.bytes);
                parts.segments.push(DataSegment { mode: SegmentMode::Dropped, offset: 0, len: 0 });
                continue;
            }
        }
        let (offset, len) = (parts.data.len() as u64, segment.bytes.len() as u64);
        parts.data.extend_from_slice(segment.bytes);
        parts.segments.push(DataSegment { mode: segment.mode, offset, len });
    }
    pages.retain(|_, page| page.iter().any(|byte| *byte != 0));
    lay_out(&pages, &mut parts);
    parts
}

/// The memory among the module's own and the address, if the segment certainly lies in it.
fn fits(at: u64, segment: &RawData<'_>, target: u32, imported: u32, memories: &[MemoryPlan]) -> Option<(u32, u64)> {
    let memory = target.checked_sub(imported)?;
    let size = u128::from(memories.get(memory as usize)?.ty.min_pages) * u128::from(WASM_PAGE_BYTES);
    let end = u128::from(at) + segment.bytes.len() as u128;
    (end <= size).then_some((memory, at))
}

fn write(pages: &mut Pages, memory: u32, at: u64, mut bytes: &[u8]) {
    let mut at = at;
    while !bytes.is_empty() {
        let (page, within) = (at / HOST_PAGE_BYTES, (at % HOST_PAGE_BYTES) as usize);
        let (now, rest) = bytes.split_at(bytes.len().min(PAGE - within));
        let target = pages.get_mut(&(memory, page));
        if target.is_some() || now.iter().any(|byte| *byte != 0) {
            let target = pages.entry((memory, page)).or_insert_with(|| Box::new([0; PAGE]));
            target[within..within + now.len()].copy_from_slice(now);
        }
        at += now.len() as u64;
        bytes = rest;
    }
}

fn lay_out(pages: &Pages, parts: &mut DataParts) {
    for ((memory, page), bytes) in pages {
        let offset = parts.image.len() as u64;
        match parts.runs.last_mut() {
            Some(run) if run.memory == *memory && page - (run.page + run.pages) <= GAP_PAGES => {
                let gap = page - (run.page + run.pages);
                parts.image.resize(parts.image.len() + gap as usize * PAGE, 0);
                run.pages += gap + 1;
            }
            _ => parts.runs.push(ImageRun { memory: *memory, page: *page, pages: 1, offset }),
        }
        parts.image.extend_from_slice(bytes.as_slice());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use selvedge_contract::types::MemoryType;
    use selvedge_contract::{ConstExpr, ConstOp};

    fn active(at: i32, bytes: &[u8]) -> RawData<'_> {
        let offset = ConstExpr(vec![ConstOp::I32Const(at)]);
        RawData { mode: SegmentMode::Active { target: 0, offset }, bytes }
    }

    fn one_page_memory() -> Vec<MemoryPlan> {
        let ty = MemoryType { min_pages: 1, max_pages: None, memory64: false };
        vec![super::super::plan::memory(0, ty, &Options::default()).unwrap()]
    }

    #[test]
    fn the_image_is_sparse_and_later_segments_win() {
        let raw = vec![active(1, b"abc"), active(2, b"X"), active(0x8000, b"far"), active(0x9000, &[0; 64])];
        let parts = split(raw, 0, &one_page_memory());
        assert_eq!(&parts.image[..5], b"\0aXc\0");
        let runs: Vec<_> = parts.runs.iter().map(|run| (run.page, run.pages, run.offset)).collect();
        assert_eq!(runs, [(0, 1, 0), (8, 1, 4096)], "zero pages take no room");
        assert!(parts.segments.iter().all(|segment| segment.mode == SegmentMode::Dropped));
    }

    #[test]
    fn near_pages_make_one_run() {
        let parts = split(vec![active(0, b"a"), active(5 * 4096, b"b")], 0, &one_page_memory());
        assert_eq!(parts.runs.len(), 1);
        assert_eq!((parts.runs[0].pages, parts.image.len()), (6, 6 * 4096));
    }

    #[test]
    fn after_a_segment_that_may_fail_the_rest_stay_segments() {
        let raw = vec![active(0, b"a"), active(65535, b"bc"), active(8, b"d")];
        let parts = split(raw, 0, &one_page_memory());
        assert_eq!(parts.data, b"bcd");
        assert!(matches!(parts.segments[2].mode, SegmentMode::Active { .. }));
        assert_eq!((parts.segments[2].offset, parts.segments[2].len), (2, 1));
    }
}
