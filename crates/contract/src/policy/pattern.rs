//! Names with wildcards.

use std::fmt;

/// A text in which `*` stands for any text, none included.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern.
    pub fn new(text: impl Into<String>) -> Pattern {
        Pattern(text.into())
    }

    /// The pattern that everything matches.
    pub fn any() -> Pattern {
        Pattern::new("*")
    }

    /// Whether it matches. Takes time in proportion to both lengths' product at most.
    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut at, mut from) = (0, 0);
        // After the last `*` that was passed, and where in the text it stopped taking.
        let mut star = None;
        while from < text.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    at += 1;
                    star = Some((at, from));
                }
                Some(byte) if *byte == text[from] => (at, from) = (at + 1, from + 1),
                _ => {
                    let Some((after, taken)) = star else { return false };
                    (at, from) = (after, taken + 1);
                    star = Some((after, taken + 1));
                }
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, good, bad) in [
            ("", &[""][..], &["a"][..]),
            ("*", &["", "a", "sock_recv"], &[]),
            ("log", &["log"], &["", "lo", "logs", "a log"]),
            ("sock_*", &["sock_", "sock_recv"], &["sock", "a_sock_recv"]),
            ("*_get", &["_get", "args_get", "get_get"], &["_get_", "get"]),
            ("a*b*c", &["abc", "a1b2c", "abbcbc"], &["ac", "acb", "abcd"]),
            ("**", &["", "x"], &[]),
            ("*aab", &["aaab", "aabaab"], &["aaba"]),
        ] {
            good.iter().for_each(|text| assert!(Pattern::new(pattern).matches(text), "{pattern} {text}"));
            bad.iter().for_each(|text| assert!(!Pattern::new(pattern).matches(text), "{pattern} {text}"));
        }
    }
}
