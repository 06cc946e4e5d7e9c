//! Specification test scripts (the specification's interpreter describes the format).
//!
//! A script runs in one store, so that its instances can be linked. It stops at nothing: directives after
//! a failed one still run, and the report says which failed first.

mod action;
mod reject;
mod script;
mod spectest;
mod values;

use std::panic::{AssertUnwindSafe, catch_unwind};

use selvedge_compiler::Options;
use wast::lexer::Lexer;
use wast::parser::{ParseBuffer, parse};
use wast::{Wast, WastDirective};

use script::Script;

/// What came of one script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Directives that went as the script says.
    pub passed: usize,
    /// Those that did not, in order.
    pub failures: Vec<Failure>,
}

/// A directive that did not go as the script says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its line, from 1.
    pub line: usize,
    /// What happened instead.
    pub message: String,
}

impl Report {
    /// Whether everything went as the script says.
    pub fn is_success(&self) -> bool {
        self.failures.is_empty()
    }

    fn failed(line: usize, message: impl Into<String>) -> Report {
        Report { passed: 0, failures: vec![Failure { line, message: message.into() }] }
    }
}

/// Runs a script, compiling its modules with these options.
pub fn run(source: &str, options: &Options) -> Report {
    let run = AssertUnwindSafe(|| run_text(source, options));
    catch_unwind(run).unwrap_or_else(|panic| Report::failed(0, format!("panicked: {}", panic_message(&*panic))))
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

fn run_text(source: &str, options: &Options) -> Report {
    let mut lexer = Lexer::new(source);
    lexer.allow_confusing_unicode(true);
    let unreadable = |error: wast::Error| {
        let line = error.span().linecol_in(source).0 + 1;
        Report::failed(line, format!("the script cannot be read: {}", error.message()))
    };
    let buffer = match ParseBuffer::new_with_lexer(lexer) {
        Ok(buffer) => buffer,
        Err(error) => return unreadable(error),
    };
    match parse::<Wast>(&buffer) {
        Ok(wast) => run_directives(source, wast.directives, options),
        Err(error) => unreadable(error),
    }
}

fn run_directives(source: &str, directives: Vec<WastDirective>, options: &Options) -> Report {
    let mut script = match Script::new(options.clone()) {
        Ok(script) => script,
        Err(error) => return Report::failed(0, format!("the script cannot start: {error:#}")),
    };
    let mut report = Report::default();
    for directive in directives {
        let span = directive.span();
        match script.run(directive) {
            Ok(()) => report.passed += 1,
            Err(error) => {
                let line = span.linecol_in(source).0 + 1;
                report.failures.push(Failure { line, message: format!("{error:#}") });
            }
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(source: &str) -> Vec<usize> {
        run(source, &crate::options(selvedge_contract::MemoryLayout::Dense)).failures.iter().map(|f| f.line).collect()
    }

    #[test]
    fn unreadable_scripts_are_reported() {
        assert_eq!(failures("\n(assert_return"), [2]);
        assert_eq!(failures("(nonsense)"), [1]);
        assert_eq!(failures("(assert_return (invoke \"f\"))"), [1], "no module to call");
    }

    #[test]
    fn failed_directives_are_found_and_the_rest_still_runs() {
        let source = r#"(module (func (export "f") (result i32) i32.const 1))
(assert_return (invoke "f") (i32.const 2))
(assert_return (invoke "f") (i32.const 1))
(assert_trap (invoke "f") "unreachable")
(assert_invalid (module) "type mismatch")
(assert_malformed (module quote "(func)") "unexpected token")
(assert_unlinkable (module (import "spectest" "print" (func))) "unknown import")
(assert_return (invoke "g"))
(register "a" $nobody)"#;
        assert_eq!(failures(source), [2, 4, 5, 6, 7, 8, 9]);
    }
}
