//! Options that several verbs share, and the units they are given in.

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use selvedge_compiler::{Cpu, OptLevel, Options, Proposals};
use selvedge_contract::MemoryLayout;

/// How to compile.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Compiling")]
pub(crate) struct CompileArgs {
    /// How the bounds of memories are kept: `guarded` reserves 4 GiB each and
    /// checks nothing, `dense` reserves the maximum and checks each access
    #[arg(long, value_enum, default_value_t = Layout::Guarded)]
    memory: Layout,
    /// Most entries of one table, if less than it declares
    #[arg(long, value_name = "ENTRIES")]
    table_max: Option<u64>,
    /// What the code may ask of the processor; `baseline` is x86-64-v2
    #[arg(long, value_enum, default_value_t = CpuLevel::Baseline)]
    cpu: CpuLevel,
    /// What to optimise for; `none` compiles fastest
    #[arg(long, value_enum, default_value_t = Opt::Speed)]
    opt: Opt,
    /// Count executed instructions, exactly and the same everywhere; the code is
    /// slower
    #[arg(long)]
    meter: bool,
    /// Keep DWARF, so that backtraces name files and lines
    #[arg(short = 'g')]
    debug: bool,
    /// Threads to compile with; one per core if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    #[command(flatten)]
    without: Without,
}

/// What modules may not use.
#[derive(Args, Debug, Clone)]
pub(crate) struct Without {
    /// Refuse modules that use this proposal; can be given several times
    #[arg(long, value_name = "PROPOSAL", value_parser = PossibleValuesParser::new(Proposals::NAMES))]
    without: Vec<String>,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
pub(crate) enum Layout {
    Guarded,
    Dense,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
enum CpuLevel {
    Baseline,
    #[value(name = "x86-64-v3")]
    X86_64V3,
    Native,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
enum Opt {
    None,
    Speed,
    Size,
}

impl CompileArgs {
    /// The compiler's options.
    pub(crate) fn options(&self, memory_max_bytes: Option<u64>) -> Options {
        Options {
            memory: self.memory.into(),
            memory_max_bytes,
            table_entries_max: self.table_max,
            cpu: match self.cpu {
                CpuLevel::Baseline => Cpu::Baseline,
                CpuLevel::X86_64V3 => Cpu::X86_64V3,
                CpuLevel::Native => Cpu::Native,
            },
            opt: match self.opt {
                Opt::None => OptLevel::None,
                Opt::Speed => OptLevel::Speed,
                Opt::Size => OptLevel::Size,
            },
            meter: self.meter,
            debug: self.debug,
            proposals: self.without.proposals(),
            verify_ir: false,
            threads: self.threads.map(usize::from),
        }
    }
}

impl Without {
    /// The others.
    pub(crate) fn proposals(&self) -> Proposals {
        let mut proposals = Proposals::ALL;
        for name in &self.without {
            if let Some(on) = proposals.by_name(name) {
                *on = false;
            }
        }
        proposals
    }
}

impl From<Layout> for MemoryLayout {
    fn from(layout: Layout) -> MemoryLayout {
        match layout {
            Layout::Guarded => MemoryLayout::Guarded,
            Layout::Dense => MemoryLayout::Dense,
        }
    }
}

/// A number of bytes: `65536`, `64KiB`, `64k`, `1.5GiB`; `kB`, `MB` and `GB` are decimal.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size; write for example 65536, 512KiB, 64MiB or 2GiB");
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor).ok_or_else(wrong);
    }
    let fraction: f64 = number.parse().map_err(|_| wrong())?;
    let bytes = fraction * factor as f64;
    if bytes < 2f64.powi(63) { Ok(bytes as u64) } else { Err(wrong()) }
}

/// The other way round: bytes in the largest unit that divides them.
pub(crate) fn human(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.iter().find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    unit.map_or_else(|| format!("{bytes} bytes"), |(shift, name)| format!("{} {name}", bytes >> shift))
}

/// A time: `2s`, `1.5s`, `300ms`, `1m`; a bare number is seconds.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time; write for example 300ms, 2s or 1m");
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let seconds = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_largest_unit_that_divides_them() {
        assert_eq!([0, 1, 4096, 4 << 30].map(human), ["0 bytes", "1 bytes", "4 KiB", "4 GiB"]);
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65536),
            ("64k", 65536),
            ("64KiB", 65536),
            ("1.5 MiB", 3 << 19),
            ("2GiB", 2 << 30),
            ("3kB", 3000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "MiB", "-1", "1x", "1e9", "99999999999GiB", "1.2.3", "18446744073709551616"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_have_units() {
        for (text, millis) in [("2s", 2000), ("2", 2000), ("300ms", 300), ("1.5s", 1500), ("1m", 60_000)] {
            assert_eq!(time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for wrong in ["", "s", "2x", "-1s", "1e30"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
