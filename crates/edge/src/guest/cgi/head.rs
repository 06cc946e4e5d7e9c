//! The head that a program writes before its body (RFC 3875, section 6): lines of `Name: value`, then an empty one.
//!
//! `Status` is the response's, `Location` alone means 302. Fields that are the connection's, or say what the server has
//! done, are the server's to set and are left out. A head is refused, not repaired: half of it would be somebody else's response.

use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use thiserror::Error;

use crate::exchange::Head;
use crate::limits::{CGI_HEAD_BYTES_MAX, CGI_HEADERS_MAX};

/// A head is none. The program's maker's to mend.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum HeadError {
    #[error("line {line} of the head is {text:?}, expected \"Name: value\", and an empty line before the body")]
    Line { line: usize, text: String },
    #[error("the status is {0:?}, expected three digits from 200 to 599 and perhaps a reason")]
    Status(String),
    #[error("the head names none of Content-Type, Location and Status, and needs one")]
    Nothing,
    #[error("the program ended before the empty line that ends the head")]
    NoEnd,
    #[error("the head has more than {CGI_HEAD_BYTES_MAX} bytes or {CGI_HEADERS_MAX} fields")]
    TooLong,
}

/// Collects a head.
#[derive(Default)]
pub(crate) struct Parser {
    bytes: Vec<u8>,
    /// Where fields go; empty, and perhaps with room for some.
    headers: HeaderMap,
}

impl Parser {
    /// One that uses the room of fields that are not needed any more.
    pub(crate) fn reusing(mut headers: HeaderMap) -> Parser {
        headers.clear();
        Parser { bytes: Vec::new(), headers }
    }

    /// Takes more of what was written: how much of it is the head's, and the head, once it is complete.
    pub(crate) fn feed(&mut self, more: &[u8]) -> Result<(usize, Option<Head>), HeadError> {
        let room = CGI_HEAD_BYTES_MAX.saturating_sub(self.bytes.len());
        let Some(end) = end(&self.bytes, &more[..more.len().min(room)]) else {
            self.bytes.extend_from_slice(&more[..more.len().min(room)]);
            return if more.len() < room { Ok((more.len(), None)) } else { Err(HeadError::TooLong) };
        };
        // Most heads come in one piece.
        if self.bytes.is_empty()
            && let Ok(head) = parse(&more[..end], std::mem::take(&mut self.headers))
        {
            return Ok((end, Some(head)));
        }
        self.bytes.extend_from_slice(&more[..end]);
        Ok((end, Some(parse(&self.bytes, HeaderMap::new())?)))
    }

    /// What is wrong with what was written, if the program has ended: the first line that is none, or the end.
    pub(crate) fn unfinished(&self) -> Option<HeadError> {
        if self.bytes.is_empty() {
            return None;
        }
        Some(parse(&self.bytes, HeaderMap::new()).err().unwrap_or(HeadError::NoEnd))
    }
}

/// How much of `more`, which follows `before`, is the head's: up to the first line that is empty.
fn end(before: &[u8], more: &[u8]) -> Option<usize> {
    let byte_before = |at: usize, count: usize| match at.checked_sub(count) {
        Some(at) => more.get(at),
        None => before.len().checked_sub(count - at).and_then(|at| before.get(at)),
    };
    let begins_line = |byte: Option<&u8>| byte.is_none_or(|byte| *byte == b'\n');
    let is_empty = |at: usize| match byte_before(at, 1) {
        Some(b'\r') => begins_line(byte_before(at, 2)),
        other => begins_line(other),
    };
    let mut line_ends = more.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    line_ends.find(|at| is_empty(*at)).map(|at| at + 1)
}

/// The head, its fields in a map that is empty.
fn parse(bytes: &[u8], mut headers: HeaderMap) -> Result<Head, HeadError> {
    let (mut status, mut moved, mut typed) = (None, false, false);
    let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    for (number, line) in lines.enumerate().filter(|(_, line)| !line.is_empty()) {
        let (name, value) = field(line).ok_or_else(|| wrong_line(number + 1, line))?;
        match name.as_str() {
            "status" if status.is_none() => status = Some(parse_status(value.as_bytes())?),
            "status" => return Err(wrong_line(number + 1, line)),
            // The connection's, and the server's to set.
            "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade" => {}
            name if name.starts_with("x-selvedge-") => {}
            // Half of another response would follow one that is too short.
            "content-length" if headers.contains_key(&name) || !is_number(value.as_bytes()) => {
                return Err(wrong_line(number + 1, line));
            }
            _ => {
                moved |= name == header::LOCATION;
                typed |= name == header::CONTENT_TYPE;
                headers.append(name, value);
            }
        }
        if headers.len() > CGI_HEADERS_MAX {
            return Err(HeadError::TooLong);
        }
    }
    if status.is_none() && !moved && !typed {
        return Err(HeadError::Nothing);
    }
    let usual = if moved { StatusCode::FOUND } else { StatusCode::OK };
    Ok(Head { status: status.unwrap_or(usual), headers })
}

fn is_number(value: &[u8]) -> bool {
    !value.is_empty() && value.len() < 20 && value.iter().all(u8::is_ascii_digit)
}

fn field(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
    Some((name, value))
}

fn wrong_line(line: usize, text: &[u8]) -> HeadError {
    let text = String::from_utf8_lossy(&text[..text.len().min(80)]).into_owned();
    HeadError::Line { line, text }
}

fn parse_status(value: &[u8]) -> Result<StatusCode, HeadError> {
    let wrong = || HeadError::Status(String::from_utf8_lossy(&value[..value.len().min(80)]).into_owned());
    let (digits, rest) = value.split_at_checked(3).ok_or_else(wrong)?;
    let status = StatusCode::from_bytes(digits).map_err(|_| wrong())?;
    let fits = (200..=599).contains(&status.as_u16()) && rest.first().is_none_or(|byte| *byte == b' ');
    if fits { Ok(status) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<(u16, Vec<String>, String), HeadError> {
        // However it is cut into writes, it is the same.
        let mut outcomes = (1..=text.len()).map(|size| {
            let (mut parser, mut rest) = (Parser::default(), text.as_bytes());
            while !rest.is_empty() {
                let (done, head) = parser.feed(&rest[..size.min(rest.len())])?;
                rest = &rest[done..];
                if let Some(head) = head {
                    let line =
                        |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
                    let headers = head.headers.iter().map(line).collect();
                    return Ok((head.status.as_u16(), headers, String::from_utf8_lossy(rest).into_owned()));
                }
            }
            Err(HeadError::Nothing)
        });
        let first = outcomes.next().unwrap();
        assert!(outcomes.all(|outcome| outcome == first));
        first
    }

    #[test]
    fn heads_are_read_with_either_end_of_line() {
        let plain = |status: u16, headers: &[&str], body: &str| {
            Ok((status, headers.iter().map(ToString::to_string).collect::<Vec<_>>(), body.to_string()))
        };
        assert_eq!(head("Content-Type: text/plain\n\nbody\n\n"), plain(200, &["content-type: text/plain"], "body\n\n"));
        assert_eq!(head("content-type:a/b\r\nX: 1\r\n\r\n\r\nb"), plain(200, &["content-type: a/b", "x: 1"], "\r\nb"));
        assert_eq!(head("Status: 404 Not Found\n\n"), plain(404, &[], ""));
        assert_eq!(head("Status: 201\n\nx"), plain(201, &[], "x"));
        assert_eq!(head("Location: /there\n\n"), plain(302, &["location: /there"], ""));
        assert_eq!(
            head("Set-Cookie: a\nSet-Cookie: b\nStatus: 200 OK\n\n"),
            plain(200, &["set-cookie: a", "set-cookie: b"], "")
        );
        assert_eq!(head("Status: 200\nConnection: close\nTransfer-Encoding: chunked\n\n"), plain(200, &[], ""));
        assert_eq!(head("Status: 200\nX-Selvedge-Error: cpu_limit\n\n"), plain(200, &[], ""));
        assert_eq!(head("Status: 200\nContent-Length: 007\n\n"), plain(200, &["content-length: 007"], ""));
    }

    #[test]
    fn what_is_no_head_is_refused() {
        for text in [
            "hello\n\n",
            ": x\n\n",
            "a b: c\n\n",
            "A: \x01\n\n",
            " folded: x\n\n",
            "Status: 200\nStatus: 200\n\n",
            "Status: 200\nContent-Length: five\n\n",
            "Status: 200\nContent-Length: -1\n\n",
            "Status: 200\nContent-Length: 99999999999999999999\n\n",
            "Status: 200\nContent-Length: 5\nContent-Length: 5\n\n",
        ] {
            assert!(matches!(head(text), Err(HeadError::Line { .. })), "{text:?}");
        }
        for text in [
            "Status: 99\n\n",
            "Status: 100\n\n",
            "Status: 600\n\n",
            "Status: OK\n\n",
            "Status: 2000\n\n",
            "Status:\n\n",
        ] {
            assert!(matches!(head(text), Err(HeadError::Status(_))), "{text:?}");
        }
        assert_eq!(head("\nbody"), Err(HeadError::Nothing));
        assert_eq!(head("X-Only: 1\n\n"), Err(HeadError::Nothing));
        let long = "x".repeat(CGI_HEAD_BYTES_MAX);
        assert_eq!(Parser::default().feed(long.as_bytes()).unwrap_err(), HeadError::TooLong);
        let many = "X: 1\n".repeat(CGI_HEADERS_MAX + 1) + "\n";
        assert_eq!(Parser::default().feed(many.as_bytes()).unwrap_err(), HeadError::TooLong);
    }
}
