//! Where in a configuration's text something is, as its errors tell it: file, line, key.

use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::ConfigError;

/// A text that was read, and what errors call it.
#[derive(Clone, Debug)]
pub(super) struct Source(Arc<(String, String)>);

impl Source {
    pub(super) fn new(file: &str, text: &str) -> Source {
        Source(Arc::new((file.to_string(), text.to_string())))
    }

    /// `FILE:LINE: ` of a key (`tenants.a.policy`, for example) that has this in its value. Nothing, if the text does not
    /// say so: the command line has, or it is what holds when nobody says anything. A path may begin at the file's directory.
    pub(super) fn place(&self, key: &str, value: &str) -> String {
        let (file, text) = &*self.0;
        let directory = Path::new(file).parent().unwrap_or(Path::new(""));
        let is = |found: &str| !found.is_empty() && (found == value || directory.join(found) == Path::new(value));
        // As a whole before as a part: "a.pem" is within "aa.pem", too.
        let line = line_of(text, key, true, |line| line.split(['"', '\'']).any(is));
        let line = line.or_else(|| line_of(text, key, false, |line| line.contains(value)));
        line.map(|line| format!("{file}:{line}: ")).unwrap_or_default()
    }
}

/// The line of a key with this in its value, wherever TOML lets it be. A whole string may have a line of its own.
fn line_of(text: &str, key: &str, whole: bool, has: impl Fn(&str) -> bool) -> Option<usize> {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let (parent, table) = section.rsplit_once('.').unwrap_or(("", section));
    let sets = |line: &str, wanted: &str| line.split_once('=').is_some_and(|(key, _)| key.trim() == wanted);
    let within = |section: &str, wanted: &str, part: &str| {
        line_in(text, section, |line| sets(line, wanted) && line.contains(part) && has(line))
    };
    let line = within(section, name, "").or_else(|| within("", key, ""));
    let line = line.or_else(|| within(parent, table, name).filter(|_| !table.is_empty()));
    // One of several in an array, or in tables of their own, or a whole table.
    let several = || line_in(text, section, &has).or_else(|| line_in(text, key, &has));
    let line = line.or_else(|| whole.then(several).flatten());
    line.or_else(|| line_in(text, key, |line| line.starts_with('[') && has(line)))
}

/// Reads a text of TOML, of whatever file: errors say where in it, which key, what was found and what was expected.
///
/// # Errors
/// If it is no such thing.
pub fn from_toml<T: DeserializeOwned>(text: &str, file: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| wrong(text, file, &error))
}

/// What TOML's reader has found, with its place.
fn wrong(text: &str, file: &str, error: &toml::de::Error) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = &text[..text.floor_char_boundary(at)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    let key = line.split_once('=').map(|(key, _)| key.trim()).filter(|key| !key.is_empty() && !key.starts_with('#'));
    let place = format!("{file}:{}:{}: ", before.matches('\n').count() + 1, before[line_start..].chars().count() + 1);
    let key = key.map(|key| format!("{}{key}: ", section(before)));
    // Something about a table as a whole.
    let table = line.trim().strip_prefix('[').and_then(|line| line.split(']').next());
    let key = key.or_else(|| table.map(|table| format!("{}: ", table.trim_start_matches('[').trim())));
    let key = implied(text, line_start, error).or(key).unwrap_or_default();
    ConfigError::Wrong { place, key, message: error.message().to_string() }
}

/// A table that only something in it names: with `[[tls.certificates]]` there is a `tls`.
fn implied(text: &str, line_start: usize, error: &toml::de::Error) -> Option<String> {
    let span = error.span().filter(|span| !span.is_empty())?;
    if !text.get(span.end..)?.starts_with('.') {
        return None;
    }
    let name = text.get(line_start..span.end)?.trim_start();
    Some(match name.strip_prefix('[') {
        Some(header) => format!("{}: ", header.trim_start_matches('[').trim_start()),
        None => format!("{}{name}: ", section(&text[..line_start])),
    })
}

/// The table that a place is in, and a dot.
fn section(before: &str) -> String {
    let header = before.lines().rev().find(|line| line.trim_start().starts_with('['));
    let name = header.map(|line| line.trim().trim_matches(['[', ']']).to_string());
    name.map(|name| name + ".").unwrap_or_default()
}

/// An error in a table of limits, which knows its key and no place: the key's line is looked up, or else the table's.
pub(super) fn in_section(text: &str, file: &str, section: &str, error: &toml::de::Error) -> ConfigError {
    let shown = error.to_string();
    // An unknown key is named first, one with a wrong value last.
    let of_value = shown.rsplit_once("in `").map(|(_, rest)| rest);
    let key = of_value.or_else(|| Some(error.message().split_once('`')?.1)).and_then(|rest| rest.split('`').next());
    let key = key.unwrap_or_default();
    let (parent, table) = section.rsplit_once('.').unwrap_or(("", section));
    let line = line_in(text, section, |line| line.starts_with(key));
    let line = line.or_else(|| line_in(text, parent, |line| line.starts_with(table) && line.contains(key)));
    let line = line.or_else(|| line_in(text, section, |line| line.starts_with('[')));
    let place = format!("{file}:{}: ", line.unwrap_or(1));
    let key = if of_value.is_some() { format!("{section}.{key}: ") } else { format!("{section}: ") };
    ConfigError::Wrong { place, key, message: error.message().to_string() }
}

/// The first such line of a table, its header among them, counted from 1.
fn line_in(text: &str, section: &str, wanted: impl Fn(&str) -> bool) -> Option<usize> {
    let header = |line: &str| line.trim().trim_start_matches('[').split(']').next().map(|name| name.trim().to_string());
    let mut inside = section.is_empty();
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with('[') {
            inside = header(line).is_some_and(|name| name == section);
        }
        if inside && wanted(line.trim_start()) {
            return Some(at + 1);
        }
    }
    None
}
