//! What a client that asks for a file gets (RFC 9110): the file, a part of it, or word that it has it already.

use std::ops::Range;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::assets::{Asset, Found};
use super::sending::FileRange;

/// It may be kept by whoever asks each time whether it is still so.
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
/// Room for those of most answers.
const HEADERS: usize = 8;

/// The answer's head, and where its body is.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// What the body is, or would be if it were not left out for a `HEAD`.
    pub(crate) body: Option<FileRange>,
}

/// A request, as far as files are concerned.
pub(crate) struct Asked<'r> {
    pub(crate) parts: &'r Parts,
}

impl Asked<'_> {
    /// What is given for what was found.
    pub(crate) fn give(&self, found: Found) -> Given {
        match found {
            Found::Asset(asset) => self.asset(&asset),
            Found::Directory => self.directory(),
        }
    }

    /// Pages in a directory link to each other; that needs the slash.
    fn directory(&self) -> Given {
        let query = self.parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let place = HeaderValue::from_str(&format!("{}/{query}", self.parts.uri.path()));
        let mut given = Given::new(StatusCode::PERMANENT_REDIRECT, None);
        // Else browsers keep it for good: the next version, or the one before, may have a file there.
        given.set(header::CACHE_CONTROL, NO_CACHE);
        // A path that was received can be sent.
        given.set(header::LOCATION, place.unwrap_or(HeaderValue::from_static("/")));
        given
    }

    fn asset(&self, asset: &Asset) -> Given {
        let tag = tag(&asset.digest);
        let mut given = self.conditional(asset, &tag);
        // Whoever keeps it asks whether it is still so: the next version may have another.
        given.set(header::CACHE_CONTROL, NO_CACHE);
        given.set(header::ETAG, HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\"")));
        given
    }

    fn conditional(&self, asset: &Asset, tag: &str) -> Given {
        if self.names(&header::IF_MATCH, tag, false) == Some(false) {
            return Given::new(StatusCode::PRECONDITION_FAILED, None);
        }
        if self.names(&header::IF_NONE_MATCH, tag, true) == Some(true) {
            return Given::new(StatusCode::NOT_MODIFIED, None);
        }
        let length = asset.contents.end - asset.contents.start;
        let (status, part) = match self.part(length, tag) {
            Part::Whole => (StatusCode::OK, 0..length),
            Part::Range(range) => (StatusCode::PARTIAL_CONTENT, range),
            Part::Outside => {
                let mut given = Given::new(StatusCode::RANGE_NOT_SATISFIABLE, None);
                given.set(header::CONTENT_RANGE, text(&format!("bytes */{length}")));
                return given;
            }
        };
        let range = asset.contents.start + part.start..asset.contents.start + part.end;
        let mut given = Given::new(status, Some(FileRange { file: asset.file.clone(), range }));
        if status == StatusCode::PARTIAL_CONTENT {
            let (first, last) = (part.start, part.end - 1);
            given.set(header::CONTENT_RANGE, text(&format!("bytes {first}-{last}/{length}")));
        }
        given.set(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
        given.set(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        given.set(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        given
    }

    /// Whether a list of tags, if there is one, names this one. It may be in several lines (RFC 9110, section 5.3).
    fn names(&self, list: &HeaderName, tag: &str, weak: bool) -> Option<bool> {
        let mut lines = self.parts.headers.get_all(list).iter().peekable();
        lines.peek()?;
        Some(lines.any(|line| line.to_str().is_ok_and(|tags| names(tags, tag, weak))))
    }

    /// A header that comes once and is text.
    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn part(&self, length: u64, tag: &str) -> Part {
        let range = self.header(&header::RANGE).filter(|_| self.parts.method == Method::GET);
        // A part of something else would be put together with what the client has.
        let same = self.header(&header::IF_RANGE).is_none_or(|of| of.trim() == tag);
        range.filter(|_| same).map_or(Part::Whole, |range| part(range, length))
    }
}

impl Given {
    fn new(status: StatusCode, body: Option<FileRange>) -> Given {
        Given { status, headers: HeaderMap::with_capacity(HEADERS), body }
    }

    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.insert(name, value);
    }
}

/// What of a file is asked for.
#[derive(PartialEq, Eq, Debug)]
enum Part {
    Whole,
    Range(Range<u64>),
    Outside,
}

/// One range in bytes. Of several, and of other units, the whole may be given, and is.
fn part(header: &str, length: u64) -> Part {
    let Some((first, last)) = header.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-')) else {
        return Part::Whole;
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok());
    let (Some(start), Some(end)) = (digits(first), digits(last)) else { return Part::Whole };
    let range = match (first.is_empty(), last.is_empty()) {
        (true, true) => return Part::Whole,
        (true, false) => length.saturating_sub(end.unwrap_or(u64::MAX))..length,
        (false, _) => {
            let last = if last.is_empty() { u64::MAX } else { end.unwrap_or(u64::MAX) };
            if last < start.unwrap_or(u64::MAX) {
                return Part::Whole;
            }
            start.unwrap_or(u64::MAX)..last.saturating_add(1).min(length)
        }
    };
    if range.is_empty() { Part::Outside } else { Part::Range(range) }
}

/// A strong tag: the same bytes, in any version.
fn tag(digest: &[u8; 32]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 15)]);
    let digits = digest[..16].iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]);
    std::iter::once('"').chain(digits).chain(['"']).collect()
}

/// Whether a list of tags names this one, or any.
fn names(tags: &str, tag: &str, weak: bool) -> bool {
    let same = |other: &str| other == tag || weak && other.strip_prefix("W/") == Some(tag);
    tags.trim() == "*" || tags.split(',').map(str::trim).any(same)
}

fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_half_of_the_digest() {
        let digest = std::array::from_fn(|at| (at % 16) as u8 * 0x11);
        assert_eq!(tag(&digest), "\"00112233445566778899aabbccddeeff\"");
    }

    #[test]
    fn a_range_is_a_part_or_nothing_or_all() {
        for (header, length, expected) in [
            ("bytes=0-0", 10, Part::Range(0..1)),
            ("bytes=2-5", 10, Part::Range(2..6)),
            ("bytes=2-", 10, Part::Range(2..10)),
            ("bytes=-3", 10, Part::Range(7..10)),
            ("bytes=-30", 10, Part::Range(0..10)),
            ("bytes=5-99", 10, Part::Range(5..10)),
            ("bytes=0-18446744073709551615", 10, Part::Range(0..10)),
            ("bytes=0-99999999999999999999999", 10, Part::Range(0..10)),
            ("bytes=10-", 10, Part::Outside),
            ("bytes=99999999999999999999999-", 10, Part::Outside),
            ("bytes=-0", 10, Part::Outside),
            ("bytes=0-", 0, Part::Outside),
            ("bytes=5-2", 10, Part::Whole),
            ("bytes=-", 10, Part::Whole),
            ("bytes=1-2,4-5", 10, Part::Whole),
            ("bytes=+1-2", 10, Part::Whole),
            ("lines=1-2", 10, Part::Whole),
            ("bytes=a-b", 10, Part::Whole),
        ] {
            assert_eq!(part(header, length), expected, "{header} of {length}");
        }
    }

    #[test]
    fn tags_are_compared_as_they_are_meant() {
        let tag = tag(&[0xab; 32]);
        assert_eq!(tag, format!("\"{}\"", "ab".repeat(16)));
        for (tags, strong, weak) in [
            (tag.clone(), true, true),
            (format!("W/{tag}"), false, true),
            (format!("\"x\" , {tag}"), true, true),
            ("*".into(), true, true),
            ("\"x\"".into(), false, false),
            (String::new(), false, false),
        ] {
            assert_eq!((names(&tags, &tag, false), names(&tags, &tag, true)), (strong, weak), "{tags}");
        }
    }
}
