//! Damaged artifacts: refused with a typed error, or read as something consistent. None is ever run: code that
//! was tampered with is the verifier's to find.

use selvedge_contract::artifact::{ArtifactError, ArtifactIndex, section};
use selvedge_testkit::{compile, layouts};

use crate::bounds::{MIB, assert_bounded};
use crate::builder::leb;
use crate::damage::damaged;
use crate::generate::Random;
use crate::modules::good_modules;

/// Damaged copies of each artifact.
const COPIES: usize = 300;
/// Offsets of fields in an ELF64 file header.
mod file_header {
    pub(super) const MACHINE: usize = 18;
    pub(super) const SECTIONS_AT: usize = 40;
    pub(super) const SECTION_COUNT: usize = 60;
    pub(super) const NAMES_SECTION: usize = 62;
}
/// Fields of an ELF64 section header: offset and bytes.
const SECTION_FIELDS: [(usize, usize); 10] =
    [(0, 4), (4, 4), (8, 8), (16, 8), (24, 8), (32, 8), (40, 4), (44, 4), (48, 8), (56, 8)];
const SECTION_OFFSET: usize = 24;
const SECTION_SIZE: usize = 32;
const SECTION_HEADER_BYTES: usize = 64;

fn good_artifacts() -> Vec<Vec<u8>> {
    let compiled = |(i, wasm): (usize, Vec<u8>)| compile(wasm, layouts()[i % 2]).expect("a good module");
    good_modules().into_iter().take(12).enumerate().map(compiled).collect()
}

/// Reads anything; what is accepted must answer every question about itself.
fn reads_soundly(bytes: &[u8]) -> Result<(), ArtifactError> {
    let index = ArtifactIndex::read(bytes)?;
    index.check_tables(bytes)?;
    assert!(index.sections().len() >= 7);
    let (functions, traps, addresses) = (index.functions(bytes), index.traps(bytes), index.addresses(bytes));
    let text_bytes = index.text().len() as u32;
    for at in (0..text_bytes).step_by(61) {
        let _ = (functions.find(at), traps.find(at), addresses.find(at));
    }
    let names = index.names(bytes);
    (0..index.contract.function_count() as u32).for_each(|function| _ = names.get(function));
    assert!(index.image().end <= bytes.len() && index.text().end <= bytes.len());
    Ok(())
}

fn number(bytes: &[u8], at: usize, len: usize) -> usize {
    let mut wide = [0; 8];
    wide[..len].copy_from_slice(&bytes[at..at + len]);
    u64::from_le_bytes(wide) as usize
}

fn set(bytes: &mut [u8], at: usize, len: usize, value: u64) {
    bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
}

/// Where the section headers are, the empty first one left out.
fn section_headers(bytes: &[u8]) -> Vec<usize> {
    let start = number(bytes, file_header::SECTIONS_AT, 8);
    let count = number(bytes, file_header::SECTION_COUNT, 2);
    (1..count).map(|i| start + i * SECTION_HEADER_BYTES).collect()
}

/// The header of the section of this name.
fn header_of(bytes: &[u8], name: &str) -> usize {
    let headers = section_headers(bytes);
    let names = headers[number(bytes, file_header::NAMES_SECTION, 2) - 1];
    let names = number(bytes, names + SECTION_OFFSET, 8);
    let terminated = [name.as_bytes(), &[0]].concat();
    let found = headers.into_iter().find(|at| bytes[names + number(bytes, *at, 4)..].starts_with(&terminated));
    found.unwrap_or_else(|| panic!("no section {name}"))
}

#[test]
fn damaged_artifacts_are_refused_or_consistent() {
    let artifacts = good_artifacts();
    for (number, good) in artifacts.iter().enumerate() {
        reads_soundly(good).expect("what the compiler wrote is sound");
        let mut random = Random::new(number as u64);
        for copy in 0..COPIES {
            let other = &artifacts[random.below(artifacts.len() as u64) as usize];
            let bad = damaged(&mut random, good, other);
            let outcome = std::panic::catch_unwind(|| reads_soundly(&bad).is_ok());
            assert!(outcome.is_ok(), "artifact {number}, copy {copy}");
        }
    }
}

#[test]
fn truncated_artifacts_are_refused() {
    for good in good_artifacts().iter().take(4) {
        for len in (0..good.len()).step_by(37).chain(good.len() - 64..good.len()) {
            assert!(reads_soundly(&good[..len]).is_err(), "{len} of {} bytes were accepted", good.len());
        }
    }
}

/// Every field of every section header, set to what breaks arithmetic and to other sections' values.
#[test]
fn section_headers_can_say_anything() {
    let good = &good_artifacts()[0];
    let headers = section_headers(good);
    let others: Vec<u64> = headers.iter().map(|at| number(good, at + SECTION_OFFSET, 8) as u64).collect();
    for header in &headers {
        for (field, len) in SECTION_FIELDS {
            let now = number(good, header + field, len) as u64;
            let near = [0, 1, 2, now ^ 1, now + 1, now.wrapping_sub(1), now + 4096, now.wrapping_sub(4096), now * 2];
            let far = [good.len() as u64, u64::MAX, u64::MAX - 4095, 1 << 31, 1 << 32, 1 << 63, i64::MAX as u64];
            for value in near.into_iter().chain(far).chain(others.iter().copied()) {
                let mut bad = good.clone();
                set(&mut bad, header + field, len, value);
                let _ = reads_soundly(&bad);
            }
        }
    }
}

#[test]
fn stretched_overlapping_and_missing_sections_are_named() {
    let good = &good_artifacts()[0];
    let broken = |name: &str, alter: &dyn Fn(&mut Vec<u8>, usize)| {
        let mut bad = good.clone();
        let header = header_of(good, name);
        alter(&mut bad, header);
        reads_soundly(&bad).expect_err("a broken section was accepted").to_string()
    };
    let all = [
        section::TEXT,
        section::FUNCTIONS,
        section::TRAPS,
        section::ADDRESSES,
        section::NAMES,
        section::IMAGE,
        section::DATA,
        section::CONTRACT,
    ];
    for name in all {
        let stretched = broken(name, &|bad, at| set(bad, at + SECTION_SIZE, 8, 1 << 40));
        assert!(stretched.contains(name) && stretched.contains("beyond the end"), "{stretched}");
        // A name that starts one byte later is another name.
        let missing = broken(name, &|bad, at| {
            let name_at = number(bad, at, 4) as u64;
            set(bad, at, 4, name_at + 1);
        });
        assert!(missing.contains(name), "{missing}");
    }
    let text = number(good, header_of(good, section::TEXT) + SECTION_OFFSET, 8) as u64;
    let overlap = broken(section::FUNCTIONS, &|bad, at| set(bad, at + SECTION_OFFSET, 8, text));
    assert!(overlap.contains("overlaps"), "{overlap}");
}

#[test]
fn other_versions_and_machines_are_named() {
    let good = &good_artifacts()[0];
    let contract = number(good, header_of(good, section::CONTRACT) + SECTION_OFFSET, 8);
    for (at, what) in [(8, "format"), (12, "ABI")] {
        let mut bad = good.clone();
        set(&mut bad, contract + at, 4, 77);
        let error = reads_soundly(&bad).expect_err("another version");
        assert!(matches!(error, ArtifactError::Version { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(what) && message.contains("77") && message.contains("compile"), "{message}");
    }
    for machine in [0, 3, 183, 243] {
        let mut bad = good.clone();
        set(&mut bad, file_header::MACHINE, 2, machine);
        let error = reads_soundly(&bad).expect_err("another machine").to_string();
        assert!(error.contains("x86-64"), "{error}");
    }
}

/// A contract that claims millions of empty things, a byte or two each in the file and two dozen in memory, is
/// refused before it takes more than that.
#[test]
fn a_contract_of_nothing_but_counts_is_refused_in_bounded_memory() {
    let good = &good_artifacts()[0];
    let header = header_of(good, section::CONTRACT);
    let start = number(good, header + SECTION_OFFSET, 8);
    for (bytes, count) in [(15 * MIB, 7 * MIB), (15 * MIB, u64::MAX), (17 * MIB, 1)] {
        let mut bad = good.clone();
        bad.extend_from_slice(&good[start..start + 16]);
        bad.extend(leb(count));
        bad.resize(good.len() + bytes as usize, 0);
        set(&mut bad, header + SECTION_OFFSET, 8, good.len() as u64);
        set(&mut bad, header + SECTION_SIZE, 8, bytes);
        let what = format!("a contract of {} MiB that claims {count} types", bytes / MIB);
        assert_bounded(&what, 1_024 * MIB, move || drop(reads_soundly(&bad).expect_err("nothing but counts")));
    }
}
