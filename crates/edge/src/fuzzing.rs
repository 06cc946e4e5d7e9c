//! Entrances for tests with random input (`tests/random.rs`). What each says holds for any input.

use std::io::Write;

use crate::Config;
use crate::bundle::Bundle;
use crate::guest::cgi::head::Parser;

/// What a program writes first is the same head, or refused for the same reason, however it is cut into writes.
///
/// # Panics
/// If it is not.
pub fn cgi_head(bytes: &[u8], piece_bytes: usize) {
    let whole = head(bytes, bytes.len());
    assert_eq!(head(bytes, piece_bytes), whole, "in pieces of {piece_bytes} bytes");
}

/// The head or refusal, and how much of the bytes was taken.
fn head(bytes: &[u8], piece_bytes: usize) -> (String, usize) {
    let (mut parser, mut taken) = (Parser::default(), 0);
    for piece in bytes.chunks(piece_bytes.max(1)) {
        match parser.feed(piece) {
            Ok((done, None)) => taken += done,
            Ok((done, Some(head))) => {
                assert!((200..600).contains(&head.status.as_u16()), "{head:?}");
                let connections = ["connection", "transfer-encoding", "upgrade", "te", "trailer", "keep-alive"];
                assert!(connections.iter().all(|name| !head.headers.contains_key(*name)), "{head:?}");
                return (format!("{head:?}"), taken + done);
            }
            Err(refused) => return (refused.to_string(), 0),
        }
    }
    (format!("{:?}", parser.unfinished()), taken)
}

/// Any bytes are a bundle whose files are within it, or refused by name.
///
/// # Panics
/// If they are not.
pub fn bundle(bytes: &[u8]) {
    let mut file = tempfile::tempfile().expect("there is room for a temporary file");
    file.write_all(bytes).expect("there is room for a temporary file");
    match Bundle::read(file) {
        Ok(bundle) => {
            let (length, summary) = (bytes.len() as u64, bundle.summary());
            assert!(summary.asset_bytes <= length, "{summary:?} in {length} bytes");
            let module = bundle.module().map(|(mut module, _)| std::io::copy(&mut module, &mut std::io::sink()));
            let module_bytes = module.map_or(0, |copied| copied.expect("the program can be read"));
            assert!(summary.asset_bytes + module_bytes <= length, "files overlap");
            assert!(summary.assets > 0 || bundle.module().is_some(), "it is for something");
        }
        Err(refused) => assert!(refused.to_string().contains("bundle"), "{refused}"),
    }
}

/// Any text is a configuration, or a mistake in a line of it.
///
/// # Panics
/// If it is not.
pub fn config(text: &str) {
    match Config::parse(text, "edge.toml") {
        // Whether it holds on this machine is another question; that can be asked, too.
        Ok(config) => drop(config.check()),
        Err(mistake) => {
            let mistake = mistake.to_string();
            let line = mistake.strip_prefix("edge.toml:").and_then(|rest| rest.split([':', ' ']).next()?.parse().ok());
            let lines = text.matches('\n').count() + 1;
            assert!(line.is_some_and(|line: usize| (1..=lines).contains(&line)), "{mistake}");
        }
    }
}
