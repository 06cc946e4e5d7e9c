//! Cranelift set up for our code: x86-64 and exactly the features asked for, never the host's.

use std::sync::Arc;

use cranelift_codegen::isa::{self, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use selvedge_contract::cpu::CpuFeatures;

use crate::options::{OptLevel, Options};

/// The code generator's target, for functions of all sizes.
#[derive(Clone)]
pub(crate) struct Isa {
    usual: Arc<dyn TargetIsa>,
    giant: Arc<dyn TargetIsa>,
}

/// Blocks from which on a function is a giant (the most seen in a real program is 60,000): good register
/// allocation takes time quadratic in them, quick allocation does not.
const GIANT_BLOCKS: usize = 120_000;

impl Isa {
    /// The target for these options.
    pub(crate) fn new(options: &Options) -> Isa {
        let quick = Options { opt: OptLevel::None, ..options.clone() };
        Isa { usual: build(options), giant: build(&quick) }
    }

    /// What describes the target, whatever the function.
    pub(crate) fn target(&self) -> &dyn TargetIsa {
        &*self.usual
    }

    /// The target for a function of so many blocks.
    pub(crate) fn of_size(&self, blocks: usize) -> &dyn TargetIsa {
        if blocks < GIANT_BLOCKS { &*self.usual } else { &*self.giant }
    }
}

fn build(options: &Options) -> OwnedTargetIsa {
    let mut flags = settings::builder();
    for (name, value) in shared_flags(options) {
        flags.set(name, value).expect("Cranelift knows its own settings");
    }
    let mut builder = isa::lookup_by_name("x86_64-unknown-linux-gnu").expect("Cranelift is built with x86-64");
    let features = options.cpu.features();
    for (feature, name) in FEATURE_FLAGS {
        if features.contains(*feature) {
            builder.enable(name).expect("Cranelift knows its own features");
        }
    }
    finish(builder, settings::Flags::new(flags))
}

fn finish(builder: isa::Builder, flags: settings::Flags) -> OwnedTargetIsa {
    builder.finish(flags).expect("the settings fit together")
}

fn shared_flags(options: &Options) -> [(&'static str, &'static str); 11] {
    let (opt_level, regalloc) = match options.opt {
        OptLevel::None => ("none", "single_pass"),
        OptLevel::Speed => ("speed", "backtracking"),
        OptLevel::Size => ("speed_and_size", "backtracking"),
    };
    let verify = if options.verify_ir { "true" } else { "false" };
    [
        ("opt_level", opt_level),
        ("regalloc_algorithm", regalloc),
        ("enable_verifier", verify),
        ("regalloc_checker", verify),
        ("enable_alias_analysis", "true"),
        // Names are all in the same text, which is position-independent; there is no table of addresses.
        ("is_pic", "false"),
        ("preserve_frame_pointers", "true"),
        ("unwind_info", "false"),
        ("enable_probestack", "false"),
        // Functions with more results than registers return the rest through memory of the caller's.
        ("enable_multi_ret_implicit_sret", "true"),
        ("machine_code_cfg_info", "false"),
    ]
}

const FEATURE_FLAGS: &[(CpuFeatures, &str)] = &[
    (CpuFeatures::SSE3, "has_sse3"),
    (CpuFeatures::SSSE3, "has_ssse3"),
    (CpuFeatures::SSE41, "has_sse41"),
    (CpuFeatures::SSE42, "has_sse42"),
    (CpuFeatures::POPCNT, "has_popcnt"),
    (CpuFeatures::AVX, "has_avx"),
    (CpuFeatures::AVX2, "has_avx2"),
    (CpuFeatures::FMA, "has_fma"),
    (CpuFeatures::BMI1, "has_bmi1"),
    (CpuFeatures::BMI2, "has_bmi2"),
    (CpuFeatures::LZCNT, "has_lzcnt"),
    (CpuFeatures::CMPXCHG16B, "has_cmpxchg16b"),
    (CpuFeatures::AVX512BITALG, "has_avx512bitalg"),
    (CpuFeatures::AVX512DQ, "has_avx512dq"),
    (CpuFeatures::AVX512F, "has_avx512f"),
    (CpuFeatures::AVX512VBMI, "has_avx512vbmi"),
    (CpuFeatures::AVX512VL, "has_avx512vl"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Cpu;

    fn enabled(options: &Options) -> Vec<&'static str> {
        build(options).isa_flags().into_iter().filter(|f| f.as_bool() == Some(true)).map(|f| f.name).collect()
    }

    #[test]
    fn every_feature_has_its_flag() {
        assert_eq!(FEATURE_FLAGS.len(), CpuFeatures::NAMED.len());
        assert!(CpuFeatures::NAMED.iter().all(|(feature, _)| FEATURE_FLAGS.iter().any(|(f, _)| f == feature)));
    }

    #[test]
    fn the_host_does_not_leak_into_the_baseline() {
        let baseline = enabled(&Options::default());
        assert!(baseline.contains(&"has_sse42") && !baseline.contains(&"has_avx"), "{baseline:?}");
        let v3 = enabled(&Options { cpu: Cpu::X86_64V3, ..Options::default() });
        assert!(v3.contains(&"has_avx2") && !v3.contains(&"has_avx512f"), "{v3:?}");
    }
}
