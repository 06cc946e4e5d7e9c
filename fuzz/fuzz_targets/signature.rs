//! Any text as a signature, and as a key: errors, but for the one signature that is given.
#![no_main]

use libfuzzer_sys::fuzz_target;
use selvedge_contract::signature::{PublicKey, signed_by};

const KEY: &str = "RWTe9B1FUTbaNooYPXqDM5J7Y/sFBwfJ+BasLeoK03cx+/Ems75ThjYW";
/// What minisign made of "what was signed\n"; a fuzzer changes it.
const SIGNATURE: &str = "untrusted comment: signature from minisign secret key
RUTe9B1FUTbaNg68z5KVZz2g5W5mNI0C5trPnZzm3Xya7c3ory5wWyrG1PTBn3iqAMWQ+5jadurHPwcwLFiqKq3jnwt6wkfdEAA=
trusted comment: a comment
pa3kHGLOf0vYHhvnFNFg43hd01e7i+T4SJLAciVdF+20q3jNQXYVA73G3RlhdwUdNV17S+jpx9p13QHBQlOkAw==
";

/// The three lines that count, without the comment nobody signed.
fn signed_part(signature: &str) -> Option<Vec<&str>> {
    Some(signature.lines().skip(1).take(3).collect()).filter(|lines: &Vec<_>| lines.len() == 3)
}

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let _ = PublicKey::read(&text);
    let keys = [PublicKey::read(KEY).expect("a key")];
    if signed_by(b"what was signed\n", &text, &keys).is_ok() {
        assert_eq!(signed_part(&text), signed_part(SIGNATURE), "a forgery");
    }
    assert!(signed_by(b"something else\n", &text, &keys).is_err(), "a forgery");
});
