//! Loading under a policy: everything it refuses in one error, and no way around it.

mod common;

use std::num::NonZeroUsize;

use minisign::KeyPair;
use selvedge_compiler::{Cpu, Options, compile};
use selvedge_contract::MemoryLayout;
use selvedge_contract::artifact::ArtifactIndex;
use selvedge_contract::cpu::CpuFeatures;
use selvedge_contract::policy::{Fact, Max, Metering, Pattern, Policy, Signers, Verification};
use selvedge_contract::signature::{PublicKey, SignatureError};
use selvedge_runtime::{LoadError, Module, Source, Terms};

const GREEDY: &str = r#"(module
    (import "env" "log" (func (param i32)))
    (import "env" "log_all" (func (param i64)))
    (import "wasi_snapshot_preview1" "sock_recv" (func))
    (import "wasi_snapshot_preview1" "fd_write" (func))
    (import "env" "memory" (memory 3))
    (memory 1 16) (table 100 1000 funcref) (table 1 1 externref))"#;

fn artifact(options: &Options) -> Vec<u8> {
    compile(GREEDY.as_bytes(), options, &()).expect("it compiles")
}

/// A policy that refuses everything that can be refused.
fn mean() -> Policy {
    let mut policy = Policy::default();
    let rule = &mut policy.imports_allow.value[1].value;
    (rule.module, rule.name, rule.ty) = (Pattern::new("env"), Pattern::new("log*"), Pattern::new("func (i32) -> ()"));
    policy.memory_count_max.value = Max::AtMost(1);
    policy.memory_bytes_max.value = Max::AtMost(2 << 16);
    policy.memory_layouts.value = vec![MemoryLayout::Dense];
    policy.table_count_max.value = Max::AtMost(0);
    policy.table_entries_max.value = Max::AtMost(999);
    policy.cpu.value = CpuFeatures::X86_64_V2;
    policy.interruption.value = vec![];
    policy.metering.value = Metering::Required;
    policy.signers.value = Signers::Keys(vec![]);
    policy
}

fn terms<'a>(policy: &'a Policy, signature: Option<&'a str>) -> Terms<'a> {
    Terms { policy, signature, threads: NonZeroUsize::MIN }
}

fn refused(loaded: Result<Module, LoadError>) -> Vec<(&'static str, Fact)> {
    match loaded {
        Err(LoadError::Policy(violations)) => violations.list.into_iter().map(|v| (v.key, v.fact)).collect(),
        other => panic!("expected a policy's refusal, got {other:?}"),
    }
}

#[test]
fn every_violation_is_in_one_error() {
    let bytes = artifact(&Options { cpu: Cpu::X86_64V3, ..Options::default() });
    let policy = mean();
    let error = Module::load_under(&bytes, &terms(&policy, None)).expect_err("it is refused").to_string();
    let expected = [
        "imports.allow: it imports env log_all: func (i64) -> (); the entry for this name allows only func (i32) -> ()",
        "imports.deny: it imports wasi_snapshot_preview1 sock_recv: func () -> (); this entry refuses it",
        "imports.allow: it imports env memory: memory 3; no entry allows it",
        "memory.count_max: it has 2 memories; at most 1 is allowed",
        "memory.bytes_max: memory 0 may grow to 196608 bytes; at most 131072 is allowed",
        "memory.bytes_max: memory 1 may grow to 1048576 bytes; at most 131072 is allowed",
        "memory.layouts: memories it imports must be guarded; allowed is dense",
        "memory.layouts: memory 1 is guarded; allowed is dense",
        "table.count_max: it has 2 tables; at most 0 is allowed",
        "table.entries_max: table 0 may grow to 1000 entries; at most 999 is allowed",
        "code.cpu: it uses avx avx2 fma bmi1 bmi2 lzcnt; allowed is sse3, ssse3, sse4_1, sse4_2, popcnt, cx16",
        "code.interruption: it is interrupted by signal; that is not allowed",
        "code.metering: it is not metered; metering is required (--meter)",
        "trust.signers: it is not signed; it must be signed by one of the policy's signers",
    ];
    let lines: Vec<_> = error.lines().skip(1).map(|line| line.split_once(": ").expect("a place").1).collect();
    assert_eq!(lines, expected);
    assert!(error.starts_with("the policy refuses it: 14 violations\n  default policy:"), "{error}");
}

#[test]
fn what_keeps_to_the_policy_is_loaded() {
    let bytes =
        compile(b"(module (memory 1 16) (func (export \"f\")))", &Options::default(), &()).expect("it compiles");
    Module::load_under(&bytes, &terms(&Policy::default(), None)).expect("it is accepted");
    let mut policy = Policy::default();
    policy.metering.value = Metering::Refused;
    Module::load_under(&bytes, &terms(&policy, None)).expect("it is accepted");
    let metered = Options { meter: true, ..Options::default() };
    let metered = compile(b"(module (func (export \"f\")))", &metered, &()).expect("it compiles");
    assert_eq!(refused(Module::load_under(&metered, &terms(&policy, None))), [("code.metering", Fact::Metered(true))]);
}

struct Signer {
    pair: KeyPair,
    policy: Policy,
}

fn signer() -> Signer {
    let pair = KeyPair::generate_unencrypted_keypair().expect("a key pair");
    let key = PublicKey::read(&pair.pk.to_base64()).expect("a key");
    let mut policy = Policy::default();
    policy.signers.value = Signers::Keys(vec![key]);
    Signer { pair, policy }
}

impl Signer {
    fn sign(&self, bytes: &[u8]) -> String {
        let signature = minisign::sign(None, &self.pair.sk, bytes, Some("a test"), None).expect("it is signed");
        signature.into_string()
    }
}

fn harmless() -> Vec<u8> {
    compile(b"(module (func (export \"f\")))", &Options::default(), &()).expect("it compiles")
}

#[test]
fn only_what_a_signer_signed_byte_for_byte_is_loaded() {
    let (bytes, signer, other) = (harmless(), signer(), signer());
    let load = |bytes: &[u8], signature: Option<&str>| Module::load_under(bytes, &terms(&signer.policy, signature));
    load(&bytes, Some(&signer.sign(&bytes))).expect("it is accepted");
    assert_eq!(refused(load(&bytes, None)), [("trust.signers", Fact::Unsigned)]);
    let wrong = |error| [("trust.signers", Fact::Signature(error))];
    assert_eq!(refused(load(&bytes, Some(&other.sign(&bytes)))), wrong(SignatureError::OtherKey));
    assert_eq!(refused(load(&bytes, Some("nonsense"))), wrong(SignatureError::Malformed));
    // Also where no reader of the artifact would look.
    let signature = signer.sign(&bytes);
    let longer = [bytes.as_slice(), b"x"].concat();
    assert_eq!(refused(load(&longer, Some(&signature))), wrong(SignatureError::Wrong));
}

#[test]
fn a_signature_is_no_proof() {
    let (mut bytes, signer) = (harmless(), signer());
    let text = ArtifactIndex::read(&bytes).expect("an artifact").text();
    bytes[text.start] = 0xf4;
    let signature = signer.sign(&bytes);
    let terms = terms(&signer.policy, Some(&signature));
    assert!(matches!(Module::load_under(&bytes, &terms), Err(LoadError::Unproved(_))));
    // On trust too, since this policy asks for it; without that, the caller's word stands.
    assert!(matches!(load_trusted_under(&bytes, &terms), Err(LoadError::Unproved(_))));
    let mut lax = signer.policy.clone();
    lax.verification.value = Verification::Optional;
    let terms = Terms { policy: &lax, ..terms };
    load_trusted_under(&bytes, &terms).expect("it is loaded, and not run");
    assert!(matches!(Module::load_under(&bytes, &terms), Err(LoadError::Unproved(_))));
    assert_eq!(refused(load_trusted_under(&harmless(), &terms)).len(), 1);
}

#[allow(unsafe_code)]
fn load_trusted_under(bytes: &[u8], terms: &Terms<'_>) -> Result<Module, LoadError> {
    // SAFETY: nothing that these tests load is run.
    unsafe { Module::load_trusted_under(bytes, terms) }
}

/// What is checked is what is mapped: a file that gives its bytes once, and could give others later, is enough.
#[test]
fn a_file_is_read_once() {
    let (bytes, signer) = (harmless(), signer());
    let signature = signer.sign(&bytes);
    let path = std::env::temp_dir().join(format!("selvedge-policy-{}", std::process::id()));
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
    assert!(made.success());
    let writer = std::thread::spawn({
        let path = path.clone();
        move || std::fs::write(path, bytes).expect("the reader takes all")
    });
    let loaded = Module::load_under(Source::File(&path), &terms(&signer.policy, Some(&signature)));
    writer.join().expect("the writer ends");
    std::fs::remove_file(&path).expect("the pipe is there");
    loaded.expect("it is accepted");
}
