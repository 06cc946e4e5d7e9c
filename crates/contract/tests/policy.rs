//! Policies: what they say of mistakes, and that each part of them decides.

use selvedge_contract::policy::{Max, Policy, PolicyError, Signers, Verification};

/// The default policy with one text in place of another.
fn with(old: &str, new: &str) -> String {
    assert_eq!(Policy::DEFAULT_TOML.matches(old).count(), 1, "{old} stands in the default policy once");
    Policy::DEFAULT_TOML.replace(old, new)
}

#[test]
fn the_default_policy_is_strict_where_it_costs_nothing() {
    let policy = Policy::default();
    assert_eq!(policy.memory_bytes_max.value, Max::AtMost(4 << 30));
    assert_eq!(policy.verification.value, Verification::Required);
    assert_eq!(policy.signers.value, Signers::Any);
    assert_eq!(policy.imports_allow.value.len(), 2);
    // Places are lines of the file.
    let line = |text: &str| Policy::DEFAULT_TOML.lines().position(|line| line.contains(text)).map(|at| at as u32 + 1);
    assert_eq!(policy.memory_bytes_max.line, line("bytes_max ="));
    assert_eq!(policy.imports_allow.value[1].line, line("wasi_unstable"));
    assert_eq!(policy.imports_deny.line, line("deny ="));
}

#[test]
fn a_mistake_is_named_with_its_place_and_what_was_expected() {
    for (old, new, says) in [
        (
            "count_max = 1 ",
            "count_mxa = 1 ",
            "16: memory.count_mxa: found an unknown key, expected one of count_max, bytes_max, layouts (did you mean count_max?)",
        ),
        (
            "[table]",
            "[tabel]",
            "20: tabel: found an unknown key, expected one of imports, memory, table, code, trust (did you mean table?)",
        ),
        (
            "metering = \"any\"",
            "quantum = 3",
            "27: code.quantum: found an unknown key, expected one of cpu, interruption, metering",
        ),
        (
            "count_max = 16\n",
            "",
            "20: table.count_max: found no such key, expected a number that is not negative, or \"any\"",
        ),
        (
            "bytes_max = \"4GiB\"",
            "bytes_max = \"1GB\"",
            "17: memory.bytes_max: found \"1GB\", expected a number of bytes, a size such as \"64MiB\", or \"any\"",
        ),
        (
            "bytes_max = \"4GiB\"",
            "bytes_max = -1",
            "17: memory.bytes_max: found -1, expected a number of bytes, a size such as \"64MiB\", or \"any\"",
        ),
        (
            "count_max = 16",
            "count_max = 1.5",
            "21: table.count_max: found 1.5, expected a number that is not negative, or \"any\"",
        ),
        ("count_max = 16", "count_max = 16\ncount_max = 17", "22: found a mistake (duplicate key), expected TOML"),
        (
            "[\"guarded\", \"dense\"]",
            "[\"guarded\", \"loose\"]",
            "18: memory.layouts[1]: found \"loose\", expected a list of \"guarded\" and \"dense\"",
        ),
        (
            "[\"guarded\", \"dense\"]",
            "\"dense\"",
            "18: memory.layouts: found \"dense\", expected a list of \"guarded\" and \"dense\"",
        ),
        (
            "cpu = \"x86-64-v2\"",
            "cpu = [\"sse9\"]",
            "25: code.cpu[0]: found \"sse9\", expected \"x86-64-v2\", \"x86-64-v3\", \"any\", or a list of features such as [\"sse4_2\", \"popcnt\"]",
        ),
        (
            "verification = \"required\"",
            "verification = true",
            "30: trust.verification: found true, expected \"required\" or \"optional\"",
        ),
        (
            "signers = \"any\"",
            "signers = []",
            "31: trust.signers: found an empty list, expected a list of minisign public keys (\"RW...\"), or \"any\"",
        ),
        (
            "signers = \"any\"",
            "signers = [\"me\"]",
            "31: trust.signers[0]: found \"me\": no minisign public key; they are 56 characters and begin with RW (the second line of the .pub file), expected a minisign public key",
        ),
        (
            "{ module = \"wasi_unstable\" }",
            "{ name = \"log\" }",
            "8: imports.allow[1].module: found no such key, expected the import's first-level name",
        ),
        (
            "{ module = \"wasi_unstable\" }",
            "\"env.log\"",
            "8: imports.allow[1]: found \"env.log\", expected an import, such as { module = \"env\", name = \"log_*\" }",
        ),
        (
            "name = \"sock_*\"",
            "type = \"func*\"",
            "12: imports.deny[0].type: found an unknown key, expected one of module, name",
        ),
        ("[trust]", "[trust", "29: found a mistake (unclosed table, expected `]`), expected TOML"),
    ] {
        let error = Policy::read("edge.toml", &with(old, new)).expect_err(new);
        assert_eq!(error.to_string(), format!("edge.toml:{says}"), "for {new}");
    }
}

#[test]
fn a_missing_table_is_a_mistake_and_so_is_a_file_too_large() {
    let error = |text: &str| Policy::read("p", text).expect_err("a mistake");
    assert_eq!(error("").to_string(), "p:1: imports: found no such key, expected a table, [imports]");
    let large = format!("{}\n# {}", Policy::DEFAULT_TOML, "x".repeat(2 << 20));
    let PolicyError { found, .. } = error(&large);
    assert!(found.ends_with("bytes"), "{found}");
}

#[test]
fn no_limit_is_a_word_that_must_be_written() {
    let policy = Policy::read("p", &with("bytes_max = \"4GiB\"", "bytes_max = \"any\"")).expect("a policy");
    assert_eq!(policy.memory_bytes_max.value, Max::Any);
    let policy = Policy::read("p", &with("count_max = 16", "count_max = 0x10")).expect("a policy");
    assert_eq!(policy.table_count_max.value, Max::AtMost(16));
}
