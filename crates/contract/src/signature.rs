//! Who made an artifact: Ed25519 signatures in minisign's formats.
//!
//! A signature covers every byte of the file. It is detached, in a file beside it (`app.selv.minisig`): whatever is
//! inside a file cannot be covered by it whole, and so any minisign tool makes and checks ours.
//!
//! Only prehashed signatures are taken (minisign's since 2019), since others say the same with weaker words.

use std::fmt;

use thiserror::Error;

use crate::limits::SIGNATURE_BYTES_MAX;

/// What follows an artifact's file name in its signature's.
pub const SIGNATURE_SUFFIX: &str = ".minisig";

/// A minisign public key.
#[derive(Clone)]
pub struct PublicKey {
    base64: String,
    key: minisign_verify::PublicKey,
}

/// A signature is of no use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum SignatureError {
    /// It is none, or damaged.
    #[error("its signature cannot be read: it is no minisign signature, or damaged")]
    Malformed,
    /// It was made by another key than those that were asked for.
    #[error("it is signed by another key")]
    OtherKey,
    /// It was made for other bytes, or is forged.
    #[error("its signature does not fit: it, or the signature, was changed")]
    Wrong,
    /// It was made by an old tool, without hashing first.
    #[error("its signature is of minisign's legacy kind; sign it again (`selvedge sign`, or minisign 0.8 or newer)")]
    Legacy,
}

/// The text is no minisign public key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("no minisign public key; they are 56 characters and begin with RW (the second line of the .pub file)")]
pub struct PublicKeyError;

impl PublicKey {
    /// Reads a key: its 56 characters, or a whole `.pub` file.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(text: &str) -> Result<PublicKey, PublicKeyError> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut base64 = lines.next().ok_or(PublicKeyError)?;
        if base64.starts_with("untrusted comment:") {
            base64 = lines.next().ok_or(PublicKeyError)?;
        }
        if lines.next().is_some() {
            return Err(PublicKeyError);
        }
        let key = minisign_verify::PublicKey::from_base64(base64).map_err(|_| PublicKeyError)?;
        Ok(PublicKey { base64: base64.into(), key })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base64)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &PublicKey) -> bool {
        self.base64 == other.base64
    }
}

impl Eq for PublicKey {}

/// Which of these keys signed exactly these bytes.
///
/// # Errors
/// If none did.
pub fn signed_by<'k>(bytes: &[u8], signature: &str, keys: &'k [PublicKey]) -> Result<&'k PublicKey, SignatureError> {
    if signature.len() > SIGNATURE_BYTES_MAX {
        return Err(SignatureError::Malformed);
    }
    let signature = minisign_verify::Signature::decode(signature).map_err(|_| SignatureError::Malformed)?;
    let mut worst = SignatureError::OtherKey;
    for key in keys {
        // Keys are told apart by a number, which is no secret: two may have the same.
        match key.key.verify(bytes, &signature, false) {
            Ok(()) => return Ok(key),
            Err(minisign_verify::Error::UnexpectedKeyId) => {}
            Err(minisign_verify::Error::UnexpectedAlgorithm) => worst = SignatureError::Legacy,
            Err(_) => worst = SignatureError::Wrong,
        }
    }
    Err(worst)
}
