//! Files that clients get as they are, by the paths that they ask for.
//!
//! A path is looked up in a list of names, and nowhere else: what is not in it is not there, whatever dots, slashes or
//! escapes it is written with.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

/// What a directory's path gives.
const INDEX: &str = "index.html";

/// Files, by name.
#[derive(Debug)]
pub(crate) struct Assets {
    file: Arc<File>,
    names: Box<str>,
    /// Sorted by name.
    entries: Box<[Entry]>,
}

#[derive(Clone, Debug)]
struct Entry {
    name: Range<u32>,
    contents: Range<u64>,
    digest: [u8; 32],
    content_type: &'static str,
}

/// A file.
#[derive(Clone, Debug)]
pub(crate) struct Asset {
    pub(super) file: Arc<File>,
    pub(super) contents: Range<u64>,
    pub(super) digest: [u8; 32],
    /// By the end of its name.
    pub(super) content_type: &'static str,
}

/// What a path leads to.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    Asset(Asset),
    /// A directory with an index, asked for without the slash that its pages' links count on.
    Directory,
}

impl Assets {
    /// What a path, as it was written, leads to. It begins with a slash; an empty one is that of a site's prefix.
    pub(crate) fn find(&self, path: &str) -> Option<Found> {
        let path = decoded(path)?;
        let Some(name) = path.strip_prefix('/') else {
            return self.entry(INDEX).filter(|_| path.is_empty()).map(|_| Found::Directory);
        };
        if name.is_empty() || name.ends_with('/') {
            return self.asset(&format!("{name}{INDEX}"));
        }
        let directory = || self.entry(&format!("{name}/{INDEX}")).map(|_| Found::Directory);
        self.asset(name).or_else(directory)
    }

    fn asset(&self, name: &str) -> Option<Found> {
        let entry = self.entry(name)?;
        let Entry { contents, digest, content_type, .. } = entry.clone();
        Some(Found::Asset(Asset { file: self.file.clone(), contents, digest, content_type }))
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| self.name(entry).cmp(name)).ok()?;
        Some(&self.entries[at])
    }

    fn name(&self, entry: &Entry) -> &str {
        &self.names[entry.name.start as usize..entry.name.end as usize]
    }

    pub(crate) fn count(&self) -> u32 {
        self.entries.len() as u32
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.contents.end - entry.contents.start).sum()
    }
}

/// A path with its escapes undone; none if it has one that no name has: a slash, a zero, what is no escape or no UTF-8.
fn decoded(path: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(path.len()), path.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let byte = match first {
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                let digit = |byte: u8| (byte as char).to_digit(16);
                let byte = (digit(digits[0])? * 16 + digit(digits[1])?) as u8;
                Some(byte).filter(|byte| !matches!(byte, b'/' | 0))?
            }
            byte => *byte,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

/// What browsers take a file for; texts are UTF-8.
fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase()).as_deref() {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("txt") => "text/plain; charset=utf-8",
        Some("md") => "text/markdown; charset=utf-8",
        Some("csv") => "text/csv; charset=utf-8",
        _ => mime_guess::from_path(name).first_raw().unwrap_or("application/octet-stream"),
    }
}

/// Puts [`Assets`] together; names come once each.
#[derive(Default)]
pub(super) struct AssetsBuilder {
    names: String,
    entries: Vec<Entry>,
}

impl AssetsBuilder {
    pub(super) fn add(&mut self, name: &str, contents: Range<u64>, digest: [u8; 32]) {
        let start = self.names.len() as u32;
        self.names.push_str(name);
        let content_type = content_type(name);
        self.entries.push(Entry { name: start..self.names.len() as u32, contents, digest, content_type });
    }

    /// None if there are none.
    pub(super) fn build(self, file: &Arc<File>) -> Option<Assets> {
        let AssetsBuilder { names, mut entries } = self;
        let name = |entry: &Entry| &names[entry.name.start as usize..entry.name.end as usize];
        entries.sort_by(|a, b| name(a).cmp(name(b)));
        let found = !entries.is_empty();
        found.then(|| Assets { file: file.clone(), names: names.into(), entries: entries.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_finds_its_file_however_it_is_escaped_and_nothing_else() {
        let mut builder = AssetsBuilder::default();
        let names =
            ["index.html", "a.css", "docs/index.html", "docs/b c.JS", "ä.txt", "a%41", "x.unknown", "dir/file.svg"];
        for (at, name) in names.iter().enumerate() {
            builder.add(name, at as u64..at as u64 + 1, [0; 32]);
        }
        let assets = builder.build(&Arc::new(tempfile::tempfile().unwrap())).unwrap();
        let found = |path: &str| match assets.find(path)? {
            Found::Asset(asset) => Some((names[asset.contents.start as usize], asset.content_type)),
            Found::Directory => Some(("/", "")),
        };
        for (path, expected) in [
            ("/", Some(("index.html", "text/html; charset=utf-8"))),
            ("/index.html", Some(("index.html", "text/html; charset=utf-8"))),
            ("", Some(("/", ""))),
            ("/a.css", Some(("a.css", "text/css; charset=utf-8"))),
            ("/%61.css", Some(("a.css", "text/css; charset=utf-8"))),
            ("/docs", Some(("/", ""))),
            ("/docs/", Some(("docs/index.html", "text/html; charset=utf-8"))),
            ("/docs/b%20c.JS", Some(("docs/b c.JS", "text/javascript; charset=utf-8"))),
            ("/%c3%a4.txt", Some(("ä.txt", "text/plain; charset=utf-8"))),
            ("/a%2541", Some(("a%41", "application/octet-stream"))),
            ("/x.unknown", Some(("x.unknown", "application/octet-stream"))),
            ("/dir/file.svg", Some(("dir/file.svg", "image/svg+xml"))),
        ] {
            assert_eq!(found(path), expected, "{path}");
        }
        for path in [
            "//",
            "//a.css",
            "/A.css",
            "/a.css/",
            "/./a.css",
            "/docs/../a.css",
            "/docs//",
            "/docs%2f",
            "/docs%2Findex.html",
            "/a.css%00",
            "/%",
            "/%4",
            "/%zz",
            "/%ff",
            "/dir",
            "/dir/",
            "*",
            "index.html",
            "/..",
            "/%2e%2e/a.css",
        ] {
            assert!(found(path).is_none(), "{path}");
        }
    }
}
