//! Signatures: vectors made with minisign 0.11, and what is done to them.

use selvedge_contract::signature::{PublicKey, SignatureError, signed_by};

const SIGNED: &[u8] = b"what was signed\n";

const PUBLIC_KEY: &str = "\
untrusted comment: minisign public key 36DA3651451DF4DE
RWTe9B1FUTbaNooYPXqDM5J7Y/sFBwfJ+BasLeoK03cx+/Ems75ThjYW
";

/// Of a key that has nothing to do with it.
const OTHER_KEY: &str = "RWQsUGz2w5TsfJiSNyyZhdmht5SJkZbwKJST1uBehhDfFuOLI+3EVni0";

const SIGNATURE: &str = "\
untrusted comment: signature from minisign secret key
RUTe9B1FUTbaNg68z5KVZz2g5W5mNI0C5trPnZzm3Xya7c3ory5wWyrG1PTBn3iqAMWQ+5jadurHPwcwLFiqKq3jnwt6wkfdEAA=
trusted comment: a comment
pa3kHGLOf0vYHhvnFNFg43hd01e7i+T4SJLAciVdF+20q3jNQXYVA73G3RlhdwUdNV17S+jpx9p13QHBQlOkAw==
";

/// `minisign -S -l`: of the bytes, not of their hash.
const LEGACY: &str = "\
untrusted comment: signature from minisign secret key
RWTe9B1FUTbaNuNxokzdBH40MnUFuGwuQ+w0S/b5Zag31auUzpzpDbCLCXJyAtAKib5TpPITeq85QgC6oWIhVALX2WHfFUTwzQc=
trusted comment: timestamp:1795369371	file:signed.txt
z4fNW+pvI7xh5hfOlUsuLQOZf27XvTIwyk/qo4pOGTwtYxu2CKXsrs8j/UZtl8ZUdIbEzX0P0Wkntq52P6RbDA==
";

fn key(text: &str) -> PublicKey {
    PublicKey::read(text).expect("a public key")
}

fn signed(bytes: &[u8], signature: &str, keys: &[PublicKey]) -> Result<PublicKey, SignatureError> {
    signed_by(bytes, signature, keys).cloned()
}

#[test]
fn what_minisign_signed_is_accepted() {
    let whole = key(PUBLIC_KEY);
    let short = key(PUBLIC_KEY.lines().nth(1).expect("a line"));
    assert_eq!(whole, short);
    assert_eq!(signed(SIGNED, SIGNATURE, std::slice::from_ref(&whole)), Ok(whole.clone()));
    assert_eq!(signed(SIGNED, SIGNATURE, &[key(OTHER_KEY), whole.clone()]), Ok(whole.clone()));
    assert_eq!(signed(SIGNED, &SIGNATURE.replace('\n', "\r\n"), std::slice::from_ref(&whole)), Ok(whole));
}

#[test]
fn what_others_signed_and_what_was_changed_is_refused() {
    let keys = [key(PUBLIC_KEY)];
    assert_eq!(signed(SIGNED, SIGNATURE, &[key(OTHER_KEY)]), Err(SignatureError::OtherKey));
    assert_eq!(signed(SIGNED, SIGNATURE, &[]), Err(SignatureError::OtherKey));
    assert_eq!(signed(SIGNED, LEGACY, &keys), Err(SignatureError::Legacy));
    assert_eq!(signed(b"", SIGNATURE, &keys), Err(SignatureError::Wrong));
    for at in 0..SIGNED.len() {
        let mut changed = SIGNED.to_vec();
        changed[at] ^= 1;
        assert_eq!(signed(&changed, SIGNATURE, &keys), Err(SignatureError::Wrong));
    }
    let longer = [SIGNED, b"\0"].concat();
    assert_eq!(signed(&longer, SIGNATURE, &keys), Err(SignatureError::Wrong));
    let comment = SIGNATURE.replace("a comment", "a Comment");
    assert_eq!(signed(SIGNED, &comment, &keys), Err(SignatureError::Wrong));
}

#[test]
fn no_change_to_a_signature_is_overlooked() {
    let keys = [key(PUBLIC_KEY)];
    // The first line is a comment that nobody signed.
    let start = SIGNATURE.find('\n').expect("lines") + 1;
    for at in start..SIGNATURE.len() - 1 {
        for bit in 0..7 {
            let mut bytes = SIGNATURE.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            let changed = String::from_utf8_lossy(&bytes).into_owned();
            assert!(signed(SIGNED, &changed, &keys).is_err(), "bit {bit} of byte {at}");
        }
        assert!(signed(SIGNED, &SIGNATURE[..at], &keys).is_err());
    }
}

#[test]
fn what_is_no_key_or_signature_is_said_to_be_none() {
    for text in ["", "RW", "me", SIGNATURE, &PUBLIC_KEY.replace("RW", "RX"), &format!("{PUBLIC_KEY}{PUBLIC_KEY}")] {
        assert!(PublicKey::read(text).is_err(), "{text}");
    }
    let long = format!("{SIGNATURE}{}", "x".repeat(1 << 20));
    for text in ["", "\n\n\n\n", PUBLIC_KEY, &long] {
        assert_eq!(signed(SIGNED, text, &[key(PUBLIC_KEY)]), Err(SignatureError::Malformed), "{text}");
    }
}
