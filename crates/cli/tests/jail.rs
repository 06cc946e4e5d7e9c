//! The command as a compiler in the jail, for programs that have none inside: the edge server, for example.

use selvedge_contract::artifact::ArtifactIndex;
use selvedge_native::jail::{Confined, ConfinedError};

const SELVEDGE: &str = env!("CARGO_BIN_EXE_selvedge");
const MEMORY: u64 = 1 << 30;

fn compile(options: &[&str], wasm: &[u8]) -> Result<Vec<u8>, ConfinedError> {
    Confined::compiler(SELVEDGE, MEMORY, 60, options).run(wasm).map(|answer| answer.output)
}

#[test]
fn a_module_in_an_artifact_out() {
    let module = b"(module (memory 1) (func (export \"f\")))";
    let artifact = compile(&["--memory", "dense", "--meter"], module).expect("it compiles");
    let index = ArtifactIndex::read(&artifact).expect("it is an artifact");
    assert!(index.contract.metered);
    let plain = compile(&[], module).expect("it compiles");
    assert!(!ArtifactIndex::read(&plain).expect("it is an artifact").contract.metered);
}

#[test]
fn a_bad_module_is_refused_with_its_reason() {
    let refused = compile(&[], b"(module (func (result i32)))");
    assert!(matches!(&refused, Err(ConfinedError::Refused(why)) if why.contains("type mismatch")), "{refused:?}");
}

#[test]
fn an_option_that_is_none_is_told() {
    let refused = compile(&["--nonsense"], b"(module)");
    assert!(
        matches!(&refused, Err(ConfinedError::NotJailed { said, .. }) if said.contains("--nonsense")),
        "{refused:?}"
    );
    let refused = compile(&["--preinit"], b"(module)");
    assert!(
        matches!(&refused, Err(ConfinedError::NotJailed { said, .. }) if said.contains("--preinit")),
        "{refused:?}"
    );
}

#[test]
fn caps_are_those_that_were_given() {
    let greedy = Confined::compiler(SELVEDGE, 1 << 20, 60, [] as [&str; 0]).run(b"(module)");
    assert!(matches!(greedy, Err(ConfinedError::Memory)), "{greedy:?}");
}
