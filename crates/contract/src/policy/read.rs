//! Reading a policy: every mistake is an error with its place, what was found and what was expected.

use std::fmt;

use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ImportRule, Max, Metering, Pattern, Policy, Rule, Signers, Verification};
use crate::contract::{Interruption, MemoryLayout};
use crate::cpu::CpuFeatures;
use crate::limits::POLICY_BYTES_MAX;
use crate::signature::PublicKey;

/// A policy cannot be read. The operator's to mend.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{file}:{line}: {}found {found}, expected {expected}", key_prefix(.key))]
pub struct PolicyError {
    /// The file, as the caller named it.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The key, with the tables it is in; empty if the text is no TOML.
    pub key: String,
    /// What stands there.
    pub found: String,
    /// What should.
    pub expected: String,
}

fn key_prefix(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("{key}: ") }
}

impl Policy {
    /// Reads a policy; `file` is what errors and violations call it.
    ///
    /// # Errors
    /// If the text is no TOML, or a key is missing, unknown, or of the wrong kind.
    pub fn read(file: &str, text: &str) -> Result<Policy, PolicyError> {
        let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
        let text = Text { file, text, ends: &ends };
        if text.text.len() > POLICY_BYTES_MAX {
            let found = format!("{} bytes", text.text.len());
            return Err(text.error(0, "", found, format!("at most {POLICY_BYTES_MAX}")));
        }
        let root = DeTable::parse(text.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            text.error(at, "", format!("a mistake ({})", error.message().replace('\n', ", ")), "TOML")
        })?;
        let root = Table { text, path: String::new(), at: 0, table: root.get_ref() };
        root.knows(&["imports", "memory", "table", "code", "trust"])?;
        policy(&root)
    }
}

fn policy(root: &Table<'_>) -> Result<Policy, PolicyError> {
    let [imports, memory, table] = [root.table("imports")?, root.table("memory")?, root.table("table")?];
    let [code, trust] = [root.table("code")?, root.table("trust")?];
    imports.knows(&["allow", "deny"])?;
    memory.knows(&["count_max", "bytes_max", "layouts"])?;
    table.knows(&["count_max", "entries_max"])?;
    code.knows(&["cpu", "interruption", "metering"])?;
    trust.knows(&["verification", "signers"])?;
    let deny = imports.optional("deny").map(|item| item.list(|item| import(item, false))).transpose()?;
    Ok(Policy {
        name: root.text.file.to_owned(),
        imports_allow: imports.item("allow", IMPORTS)?.list(|item| import(item, true))?,
        imports_deny: deny.unwrap_or_else(|| Vec::new().into()),
        memory_count_max: memory.item("count_max", NUMBER)?.rule(|item| item.number(NUMBER))?,
        memory_bytes_max: memory.item("bytes_max", SIZE)?.rule(Item::size)?,
        memory_layouts: values(&memory.item("layouts", LAYOUTS)?, LAYOUTS, LAYOUT_NAMES)?,
        table_count_max: table.item("count_max", NUMBER)?.rule(|item| item.number(NUMBER))?,
        table_entries_max: table.item("entries_max", NUMBER)?.rule(|item| item.number(NUMBER))?,
        cpu: code.item("cpu", CPU)?.rule(cpu)?,
        interruption: values(&code.item("interruption", INTERRUPTION)?, INTERRUPTION, INTERRUPTION_NAMES)?,
        metering: code.item("metering", METERING)?.rule(|item| item.one_of(METERING, METERING_NAMES))?,
        verification: trust.item("verification", VERIFICATION)?.rule(|i| i.one_of(VERIFICATION, VERIFICATION_NAMES))?,
        signers: trust.item("signers", SIGNERS)?.rule(signers)?,
    })
}

const IMPORTS: &str = "a list of imports, such as [{ module = \"env\", name = \"log_*\" }]";
const IMPORT: &str = "an import, such as { module = \"env\", name = \"log_*\" }";
const NUMBER: &str = "a number that is not negative, or \"any\"";
const SIZE: &str = "a number of bytes, a size such as \"64MiB\", or \"any\"";
const LAYOUTS: &str = "a list of \"guarded\" and \"dense\"";
const LAYOUT_NAMES: &[(&str, MemoryLayout)] = &[("guarded", MemoryLayout::Guarded), ("dense", MemoryLayout::Dense)];
const CPU: &str = "\"x86-64-v2\", \"x86-64-v3\", \"any\", or a list of features such as [\"sse4_2\", \"popcnt\"]";
const INTERRUPTION: &str = "a list of \"signal\"";
const INTERRUPTION_NAMES: &[(&str, Interruption)] = &[("signal", Interruption::Signal)];
const METERING: &str = "\"required\", \"refused\" or \"any\"";
const METERING_NAMES: &[(&str, Metering)] =
    &[("required", Metering::Required), ("refused", Metering::Refused), ("any", Metering::Any)];
const VERIFICATION: &str = "\"required\" or \"optional\"";
const VERIFICATION_NAMES: &[(&str, Verification)] =
    &[("required", Verification::Required), ("optional", Verification::Optional)];
const SIGNERS: &str = "a list of minisign public keys (\"RW...\"), or \"any\"";

fn import(item: &Item<'_>, typed: bool) -> Result<ImportRule, PolicyError> {
    let DeValue::Table(table) = item.value.get_ref() else { return Err(item.unexpected(IMPORT)) };
    let table = Table { text: item.text, path: item.key.clone(), at: item.at(), table };
    table.knows(if typed { &["module", "name", "type"] } else { &["module", "name"] })?;
    let pattern = |key| match table.optional(key) {
        Some(item) => Ok(Pattern::new(item.string("a text, in which `*` stands for any")?)),
        None => Ok(Pattern::any()),
    };
    table.item("module", "the import's first-level name")?;
    Ok(ImportRule { module: pattern("module")?, name: pattern("name")?, ty: pattern("type")? })
}

fn cpu(item: &Item<'_>) -> Result<CpuFeatures, PolicyError> {
    match item.value.get_ref() {
        DeValue::String(level) => match level.as_ref() {
            "x86-64-v2" => Ok(CpuFeatures::X86_64_V2),
            "x86-64-v3" => Ok(CpuFeatures::X86_64_V3),
            "any" => Ok(CpuFeatures(u32::MAX)),
            _ => Err(item.unexpected(CPU)),
        },
        _ => {
            let names: Vec<_> = CpuFeatures::NAMED.iter().map(|(feature, name)| (*name, *feature)).collect();
            let features = values(item, CPU, &names)?.value;
            Ok(features.into_iter().fold(CpuFeatures::default(), CpuFeatures::union))
        }
    }
}

fn signers(item: &Item<'_>) -> Result<Signers, PolicyError> {
    if item.value.get_ref().as_str() == Some("any") {
        return Ok(Signers::Any);
    }
    let items = item.items(SIGNERS)?;
    let keys = items.iter().map(|item| {
        let text = item.string("a minisign public key")?;
        PublicKey::read(&text).map_err(|error| item.error(format!("{text:?}: {error}"), "a minisign public key"))
    });
    let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
    // Nobody could ever be accepted; the opposite may have been meant.
    if keys.is_empty() { Err(item.error("an empty list", SIGNERS)) } else { Ok(Signers::Keys(keys)) }
}

/// A list of named values.
fn values<T: Copy>(item: &Item<'_>, expected: &str, names: &[(&str, T)]) -> Result<Rule<Vec<T>>, PolicyError> {
    let values = item.items(expected)?.iter().map(|item| item.one_of(expected, names)).collect::<Result<_, _>>()?;
    Ok(Rule { value: values, line: Some(item.line()) })
}

/// The text a policy is read from.
#[derive(Clone, Copy)]
struct Text<'t> {
    file: &'t str,
    text: &'t str,
    /// Where its lines end.
    ends: &'t [usize],
}

impl Text<'_> {
    fn line(self, at: usize) -> u32 {
        self.ends.partition_point(|end| *end < at) as u32 + 1
    }

    fn error(self, at: usize, key: &str, found: impl Into<String>, expected: impl Into<String>) -> PolicyError {
        let (file, line) = (self.file.to_owned(), self.line(at));
        PolicyError { file, line, key: key.to_owned(), found: found.into(), expected: expected.into() }
    }
}

/// A table of the policy; `path` is the key it stands under.
struct Table<'t> {
    text: Text<'t>,
    path: String,
    at: usize,
    table: &'t DeTable<'t>,
}

impl<'t> Table<'t> {
    fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Refuses keys that mean nothing: a misspelt limit must not be no limit.
    fn knows(&self, known: &[&str]) -> Result<(), PolicyError> {
        let unknown = self.table.iter().find(|(key, _)| !known.contains(&key.get_ref().as_ref()));
        let Some((key, _)) = unknown else { return Ok(()) };
        let name = key.get_ref();
        let near = known.iter().map(|known| (distance(name, known), known)).min();
        let hint = match near {
            Some((distance, near)) if 2 * distance < name.len() => format!(" (did you mean {near}?)"),
            _ => String::new(),
        };
        let expected = format!("one of {}{hint}", known.join(", "));
        Err(self.text.error(key.span().start, &self.key(name), "an unknown key", expected))
    }

    fn optional(&self, key: &str) -> Option<Item<'t>> {
        let (_, value) = self.table.iter().find(|(name, _)| name.get_ref().as_ref() == key)?;
        Some(Item { text: self.text, key: self.key(key), value })
    }

    fn item(&self, key: &str, expected: impl fmt::Display) -> Result<Item<'t>, PolicyError> {
        self.optional(key).ok_or_else(|| self.text.error(self.at, &self.key(key), "no such key", expected.to_string()))
    }

    fn table(&self, key: &str) -> Result<Table<'t>, PolicyError> {
        let expected = format!("a table, [{key}]");
        let item = self.item(key, &expected)?;
        match item.value.get_ref() {
            DeValue::Table(table) => Ok(Table { text: self.text, path: item.key.clone(), at: item.at(), table }),
            _ => Err(item.unexpected(expected)),
        }
    }
}

/// A value of the policy, and the key it stands under.
struct Item<'t> {
    text: Text<'t>,
    key: String,
    value: &'t Spanned<DeValue<'t>>,
}

impl<'t> Item<'t> {
    fn at(&self) -> usize {
        self.value.span().start
    }

    fn line(&self) -> u32 {
        self.text.line(self.at())
    }

    fn error(&self, found: impl Into<String>, expected: impl Into<String>) -> PolicyError {
        self.text.error(self.at(), &self.key, found, expected)
    }

    /// Not what was expected: shows it as it stands in the file.
    fn unexpected(&self, expected: impl Into<String>) -> PolicyError {
        const SHOWN_MAX: usize = 40;
        let shown = self.text.text.get(self.value.span()).unwrap_or_default();
        let mut short: String = shown.chars().take(SHOWN_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
        if shown.chars().nth(SHOWN_MAX).is_some() {
            short.push_str("...");
        }
        self.error(short, expected)
    }

    fn rule<T>(&self, read: impl FnOnce(&Item<'t>) -> Result<T, PolicyError>) -> Result<Rule<T>, PolicyError> {
        Ok(Rule { value: read(self)?, line: Some(self.line()) })
    }

    fn string(&self, expected: &str) -> Result<String, PolicyError> {
        self.value.get_ref().as_str().map(str::to_owned).ok_or_else(|| self.unexpected(expected))
    }

    fn one_of<T: Copy>(&self, expected: &str, names: &[(&str, T)]) -> Result<T, PolicyError> {
        let named = self.value.get_ref().as_str().and_then(|text| names.iter().find(|(name, _)| *name == text));
        named.map(|(_, value)| *value).ok_or_else(|| self.unexpected(expected))
    }

    fn number(&self, expected: &str) -> Result<Max, PolicyError> {
        let max = match self.value.get_ref() {
            DeValue::String(text) if text == "any" => Some(Max::Any),
            DeValue::Integer(integer) => u64::from_str_radix(integer.as_str(), integer.radix()).ok().map(Max::AtMost),
            _ => None,
        };
        max.ok_or_else(|| self.unexpected(expected))
    }

    fn size(&self) -> Result<Max, PolicyError> {
        let size = match self.value.get_ref() {
            DeValue::String(text) if text != "any" => size(text).map(Max::AtMost),
            _ => return self.number(SIZE),
        };
        size.ok_or_else(|| self.unexpected(SIZE))
    }

    fn items(&self, expected: &str) -> Result<Vec<Item<'t>>, PolicyError> {
        let DeValue::Array(array) = self.value.get_ref() else { return Err(self.unexpected(expected)) };
        let item = |(i, value)| Item { text: self.text, key: format!("{}[{i}]", self.key), value };
        Ok(array.iter().enumerate().map(item).collect())
    }

    fn list<T>(&self, read: impl Fn(&Item<'t>) -> Result<T, PolicyError>) -> Result<Rule<Vec<Rule<T>>>, PolicyError> {
        let rules = self.items(IMPORTS)?.iter().map(|item| item.rule(&read)).collect::<Result<_, _>>()?;
        Ok(Rule { value: rules, line: Some(self.line()) })
    }
}

/// A number of bytes with its unit.
fn size(text: &str) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    let factor = match unit.trim_start() {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1_u64 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// How many letters must be changed, added or left out; names longer than a key can be are far.
fn distance(a: &str, b: &str) -> usize {
    const FAR: usize = 64;
    if a.len() > FAR {
        return FAR;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let least = (corner + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], least);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_counted_in_letters() {
        for (a, b, letters) in [("", "", 0), ("byte_max", "bytes_max", 1), ("memroy", "memory", 2), ("x", "", 1)] {
            assert_eq!((distance(a, b), distance(b, a)), (letters, letters), "{a} {b}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("1KiB", Some(1024)), ("3 MiB", Some(3 << 20)), ("2GiB", Some(2 << 30))] {
            assert_eq!(size(text), bytes);
        }
        for wrong in ["", "MiB", "1", "1kb", "1.5GiB", "-1KiB", "99999999999GiB"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }
}
