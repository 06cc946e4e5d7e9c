//! Does a contract keep to a policy? Every violation is found, in the order of the policy.

use super::violation::{Fact, Violation, Violations, layout_name};
use super::{ImportRule, Max, Metering, Policy, Rule, Signers, Verification};
use crate::contract::{Contract, Import, MemoryLayout};
use crate::cpu::CpuFeatures;
use crate::limits::WASM_PAGE_BYTES;
use crate::signature::signed_by;

/// Collects what is found.
#[derive(Default)]
struct Found(Vec<Violation>);

impl Found {
    fn add<T>(&mut self, key: &'static str, rule: &Rule<T>, fact: Fact, says: impl Into<String>) {
        self.0.push(Violation { key, line: rule.line, fact, says: says.into() });
    }

    fn number(&mut self, key: &'static str, rule: &Rule<Max>, number: u128, fact: Fact) {
        if let Max::AtMost(max) = rule.value
            && number > u128::from(max)
        {
            self.add(key, rule, fact, format!("at most {max} is allowed"));
        }
    }
}

impl Policy {
    /// Checks what a contract says.
    ///
    /// # Errors
    /// If it says anything that the policy refuses.
    pub fn check(&self, contract: &Contract) -> Result<(), Violations> {
        let mut found = Found::default();
        contract.imports.iter().for_each(|import| self.import(import, &mut found));
        self.memories(contract, &mut found);
        self.tables(contract, &mut found);
        self.code(contract, &mut found);
        self.verdict(found.0)
    }

    /// Checks who signed an artifact: `bytes` is all of it, `signature` the text of its detached signature.
    ///
    /// # Errors
    /// If the policy names signers, and none of them signed exactly these bytes.
    pub fn check_signature(&self, bytes: &[u8], signature: Option<&str>) -> Result<(), Violations> {
        let mut found = Found::default();
        if let Signers::Keys(keys) = &self.signers.value {
            let says = "it must be signed by one of the policy's signers";
            match signature.map(|signature| signed_by(bytes, signature, keys)) {
                None => found.add("trust.signers", &self.signers, Fact::Unsigned, says),
                Some(Err(error)) => found.add("trust.signers", &self.signers, Fact::Signature(error), says),
                Some(Ok(_)) => {}
            }
        }
        self.verdict(found.0)
    }

    /// What it is to this policy that machine code could not be proved; `None` if it need not be.
    pub fn unproved(&self, why: String) -> Option<Violation> {
        let required = self.verification.value == Verification::Required;
        required.then(|| Violation {
            key: "trust.verification",
            line: self.verification.line,
            fact: Fact::Unproved(why),
            says: "its machine code must be proved".into(),
        })
    }

    fn verdict(&self, list: Vec<Violation>) -> Result<(), Violations> {
        if list.is_empty() { Ok(()) } else { Err(Violations { policy: self.name.clone(), list }) }
    }

    fn import(&self, import: &Import, found: &mut Found) {
        let named = |rule: &&Rule<ImportRule>| {
            rule.value.module.matches(&import.module) && rule.value.name.matches(&import.name)
        };
        let fact = || Fact::Import(import.clone());
        if let Some(denied) = self.imports_deny.value.iter().find(named) {
            found.add("imports.deny", denied, fact(), "this entry refuses it");
        }
        let ty = import.ty.to_string();
        let mut fitting = self.imports_allow.value.iter().filter(named).peekable();
        match fitting.peek().copied() {
            None => found.add("imports.allow", &self.imports_allow, fact(), "no entry allows it"),
            Some(first) if !fitting.any(|rule| rule.value.ty.matches(&ty)) => {
                let says = format!("the entry for this name allows only {}", first.value.ty);
                found.add("imports.allow", first, fact(), says);
            }
            Some(_) => {}
        }
    }

    fn memories(&self, contract: &Contract, found: &mut Found) {
        let imported = contract.imported_memories().count();
        let count = (imported + contract.memories.len()) as u64;
        found.number("memory.count_max", &self.memory_count_max, count.into(), Fact::Memories(count));
        let pages = contract.imported_memories().map(|ty| ty.min_pages);
        for (memory, pages) in (0..).zip(pages.chain(contract.memories.iter().map(|plan| plan.pages_max))) {
            let bytes = u128::from(pages) * u128::from(WASM_PAGE_BYTES);
            let fact = Fact::MemoryBytes { memory, bytes };
            found.number("memory.bytes_max", &self.memory_bytes_max, bytes, fact);
        }
        let of_imports = (imported > 0).then_some((None, contract.imported_memory_layout));
        let plans = (imported as u32..).zip(&contract.memories).map(|(i, plan)| (Some(i), plan.layout));
        for (memory, layout) in of_imports.into_iter().chain(plans) {
            if !self.memory_layouts.value.contains(&layout) {
                let allowed = &self.memory_layouts.value;
                let says =
                    format!("allowed is {}", list(allowed.iter().map(|layout: &MemoryLayout| layout_name(*layout))));
                found.add("memory.layouts", &self.memory_layouts, Fact::MemoryLayout { memory, layout }, says);
            }
        }
    }

    fn tables(&self, contract: &Contract, found: &mut Found) {
        let count = (contract.imported_tables().count() + contract.tables.len()) as u64;
        found.number("table.count_max", &self.table_count_max, count.into(), Fact::Tables(count));
        let imported = contract.imported_tables().map(|ty| ty.min);
        for (table, entries) in (0..).zip(imported.chain(contract.tables.iter().map(|plan| plan.entries_max))) {
            let fact = Fact::TableEntries { table, entries };
            found.number("table.entries_max", &self.table_entries_max, entries.into(), fact);
        }
    }

    fn code(&self, contract: &Contract, found: &mut Found) {
        let beyond = contract.cpu.missing_in(self.cpu.value);
        if beyond != CpuFeatures::default() {
            let says = format!("allowed is {}", list(self.cpu.value.names()));
            found.add("code.cpu", &self.cpu, Fact::Cpu(beyond), says);
        }
        if !self.interruption.value.contains(&contract.interruption) {
            let fact = Fact::Interruption(contract.interruption);
            found.add("code.interruption", &self.interruption, fact, "that is not allowed");
        }
        let refused = match self.metering.value {
            Metering::Required => !contract.metered,
            Metering::Refused => contract.metered,
            Metering::Any => false,
        };
        if refused {
            let says = if contract.metered { "metering is refused" } else { "metering is required (--meter)" };
            found.add("code.metering", &self.metering, Fact::Metered(contract.metered), says);
        }
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}
