//! Which trace a request belongs to (W3C Trace Context): taken from the client, given to the program.

use std::fmt;

/// A place in a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TraceContext {
    pub(crate) trace: [u8; 16],
    /// The span that whoever gets this is called from.
    pub(crate) span: [u8; 8],
    pub(crate) sampled: bool,
}

impl TraceContext {
    /// Reads a `traceparent`. One that is none is as good as none: its sender's trace breaks off here.
    pub(crate) fn parse(text: &str) -> Option<TraceContext> {
        let mut parts = text.split('-');
        let (version, trace) = (hex::<1>(parts.next()?)?, hex::<16>(parts.next()?)?);
        let (span, flags) = (hex::<8>(parts.next()?)?, hex::<1>(parts.next()?)?);
        // Later versions may say more; this one may not.
        let whole = version[0] != 0 || parts.next().is_none();
        let sound = version[0] != 0xff && trace != [0; 16] && span != [0; 8] && whole;
        sound.then_some(TraceContext { trace, span, sampled: flags[0] & 1 == 1 })
    }
}

/// As a `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", Hex(&self.trace), Hex(&self.span), u8::from(self.sampled))
    }
}

/// Bytes in small hexadecimal digits.
pub(super) struct Hex<'b>(pub(super) &'b [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Exactly so many bytes, in small digits.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if text.len() != 2 * N || !plain {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_context_is_none() {
        let sound = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(TraceContext::parse(sound).unwrap().to_string(), sound);
        let unsampled = sound.replace("-01", "-00");
        assert!(!TraceContext::parse(&unsampled).unwrap().sampled);
        assert!(TraceContext::parse(&sound.replacen("00", "01", 1)).is_some(), "a later version");
        assert!(TraceContext::parse(&format!("{}-more", sound.replacen("00", "01", 1))).is_some());
        for wrong in [
            "",
            "-",
            "00",
            &sound[1..],
            &format!("{sound}-more"),
            &sound.replacen("00", "ff", 1),
            &sound.to_uppercase(),
            &sound.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &sound.replace("b7ad6b7169203331", &"0".repeat(16)),
            &sound.replace("0af7", "0ä"),
            &sound.replace("-01", "-1"),
            &sound.replace("0af7", "+af7"),
        ] {
            assert_eq!(TraceContext::parse(wrong), None, "{wrong}");
        }
    }
}
