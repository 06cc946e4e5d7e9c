//! Where a source file can be changed so that it checks less, and how.
//!
//! All changes of a file are written into it at once, each behind a number: `crate::instead(7, true, a <= b)`. So the
//! crate is built once, and the environment chooses the change. What a condition does beside deciding is done still.

use std::ops::Range;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, Stmt};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutant {
    /// The function it is in.
    pub function: String,
    /// What becomes of what.
    pub change: String,
    /// Where.
    pub line: usize,
}

/// A source file with all its changes in it.
#[derive(Debug)]
pub struct Mutated {
    /// The new text.
    pub text: String,
    /// The changes, by number from the first on.
    pub mutants: Vec<Mutant>,
}

/// Puts all changes into `text`; the first gets the number `first`.
pub fn mutate(text: &str, first: usize) -> syn::Result<Mutated> {
    let tree: syn::File = syn::parse_str(text)?;
    let mut sites = Sites { text, first, function: String::new(), mutants: Vec::new(), before: vec![], after: vec![] };
    sites.visit_file(&tree);
    Ok(Mutated { text: sites.written(), mutants: sites.mutants })
}

/// Methods whose closure decides what passes.
const DECIDING: [&str; 9] =
    ["filter", "any", "all", "is_some_and", "is_none_or", "position", "rposition", "find", "take_while"];

struct Sites<'a> {
    text: &'a str,
    first: usize,
    function: String,
    mutants: Vec<Mutant>,
    /// What to write before an offset, the outermost first.
    before: Vec<(usize, String)>,
    /// What to write after one, the outermost first.
    after: Vec<(usize, String)>,
}

impl Sites<'_> {
    fn source(&self, range: &Range<usize>) -> String {
        self.text[range.clone()].split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// A new mutant's number.
    fn add(&mut self, at: &impl Spanned, change: String) -> usize {
        let line = at.span().start().line;
        let same = |m: &&Mutant| m.function == self.function && m.change.split(" (again").next() == Some(&change);
        let change = match self.mutants.iter().filter(same).count() {
            0 => change,
            count => format!("{change} (again, {count})"),
        };
        self.mutants.push(Mutant { function: self.function.clone(), change, line });
        self.first + self.mutants.len() - 1
    }

    fn wrap(&mut self, range: &Range<usize>, before: String, after: &str) {
        self.before.push((range.start, before));
        self.after.push((range.end, after.into()));
    }

    /// A condition that may be made constant.
    fn condition(&mut self, condition: &Expr, values: &[bool]) {
        if matches!(condition, Expr::Let(_)) || has_let(condition) {
            return;
        }
        let range = condition.span().byte_range();
        let source = self.source(&range);
        for value in values {
            let number = self.add(condition, format!("`{source}` is always {value}"));
            self.wrap(&range, format!("crate::instead({number}, {value}, "), ")");
        }
    }

    /// Something that may be replaced by something else of its type.
    fn replacement(&mut self, what: &impl Spanned, new: &str, change: String) {
        let range = what.span().byte_range();
        let number = self.add(what, change);
        // Both are looked at, so that it is known where they differ, unless looking may end the function.
        match self.text[range.clone()].contains('?') {
            true => self.wrap(&range, format!("(if crate::mutant({number}) {{ {new} }} else {{ "), " })"),
            false => self.wrap(&range, format!("crate::instead({number}, {new}, "), ")"),
        }
    }

    fn binary(&mut self, node: &syn::ExprBinary) {
        let new = match node.op {
            BinOp::Lt(_) => "<=",
            BinOp::Le(_) => "<",
            BinOp::Gt(_) => ">=",
            BinOp::Ge(_) => ">",
            BinOp::Eq(_) => "!=",
            BinOp::Ne(_) => "==",
            BinOp::And(_) | BinOp::Or(_) => {
                let neutral = matches!(node.op, BinOp::And(_));
                self.condition(&node.left, &[neutral]);
                self.condition(&node.right, &[neutral]);
                return;
            }
            _ => return,
        };
        let (left, right) = (node.left.span().byte_range(), node.right.span().byte_range());
        let text = format!("({}) {new} ({})", &self.text[left], &self.text[right]);
        let change = format!("`{}` is `{new}`", self.source(&node.span().byte_range()));
        self.replacement(node, &text, change);
    }

    /// A statement that may be left out.
    fn omission(&mut self, statement: &Stmt) {
        let Stmt::Expr(expr, Some(_)) = statement else { return };
        let called = match expr {
            Expr::Try(tried) => &*tried.expr,
            Expr::Binary(binary) if is_assignment(&binary.op) => expr,
            Expr::Assign(assign) if !matches!(*assign.left, Expr::Path(_)) => expr,
            Expr::Call(_) | Expr::MethodCall(_) => expr,
            _ => return,
        };
        // `ensure` is left out by making it true.
        let ensures = matches!(called, Expr::Call(call) if self.source(&call.func.span().byte_range()) == "ensure");
        if !ensures {
            let range = statement.span().byte_range();
            let number = self.add(statement, format!("`{}` is left out", self.source(&range)));
            self.wrap(&range, format!("if !crate::mutant({number}) {{ "), " }");
        }
    }

    /// The text with everything written into it.
    fn written(&self) -> String {
        let mut out = String::with_capacity(2 * self.text.len());
        let mut places: Vec<usize> = self.before.iter().chain(&self.after).map(|(at, _)| *at).collect();
        places.sort_unstable();
        places.dedup();
        let mut done = 0;
        for at in places {
            out.push_str(&self.text[done..at]);
            let here = |(place, _): &&(usize, String)| *place == at;
            self.after.iter().rev().filter(here).for_each(|(_, new)| out.push_str(new));
            self.before.iter().filter(here).for_each(|(_, new)| out.push_str(new));
            done = at;
        }
        out.push_str(&self.text[done..]);
        out
    }
}

fn is_assignment(op: &BinOp) -> bool {
    matches!(op, BinOp::AddAssign(_) | BinOp::BitOrAssign(_) | BinOp::BitAndAssign(_) | BinOp::SubAssign(_))
}

/// Whether a chain of `&&` binds names, which only the condition of `if` may.
fn has_let(condition: &Expr) -> bool {
    match condition {
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        Expr::Let(_) => true,
        _ => false,
    }
}

fn is_test(attrs: &[syn::Attribute]) -> bool {
    attrs.iter().any(|attr| attr.path().is_ident("cfg"))
}

impl<'ast> Visit<'ast> for Sites<'_> {
    fn visit_item_fn(&mut self, node: &'ast syn::ItemFn) {
        if node.sig.constness.is_none() {
            self.function = node.sig.ident.to_string();
            visit::visit_item_fn(self, node);
        }
    }

    fn visit_impl_item_fn(&mut self, node: &'ast syn::ImplItemFn) {
        if node.sig.constness.is_none() {
            self.function = node.sig.ident.to_string();
            visit::visit_impl_item_fn(self, node);
        }
    }

    fn visit_item_mod(&mut self, node: &'ast syn::ItemMod) {
        if !is_test(&node.attrs) {
            visit::visit_item_mod(self, node);
        }
    }

    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
    fn visit_type(&mut self, _: &'ast syn::Type) {}

    fn visit_stmt(&mut self, node: &'ast Stmt) {
        self.omission(node);
        visit::visit_stmt(self, node);
    }

    fn visit_expr_if(&mut self, node: &'ast syn::ExprIf) {
        self.condition(&node.cond, &[true, false]);
        visit::visit_expr_if(self, node);
    }

    fn visit_arm(&mut self, node: &'ast syn::Arm) {
        if let syn::Pat::Guard(pattern) = &node.pat {
            self.condition(&pattern.guard, &[true, false]);
            self.visit_expr(&pattern.guard);
        }
        visit::visit_arm(self, node);
    }

    fn visit_expr_binary(&mut self, node: &'ast syn::ExprBinary) {
        self.binary(node);
        visit::visit_expr_binary(self, node);
    }

    fn visit_expr_call(&mut self, node: &'ast syn::ExprCall) {
        let name = self.source(&node.func.span().byte_range());
        if let ("ensure", Some(condition)) = (name.as_str(), node.args.first()) {
            self.condition(condition, &[true]);
        }
        visit::visit_expr_call(self, node);
    }

    fn visit_expr_method_call(&mut self, node: &'ast syn::ExprMethodCall) {
        let method = node.method.to_string();
        let closure = node.args.first().and_then(|arg| if let Expr::Closure(c) = arg { Some(c) } else { None });
        if let Some(closure) = closure.filter(|_| DECIDING.contains(&method.as_str())) {
            self.condition(&closure.body, &[true, false]);
        }
        let other = match method.as_str() {
            "min" => Some("max"),
            "max" => Some("min"),
            _ => None,
        };
        if let (Some(other), Some(arg)) = (other, node.args.first()) {
            let (left, right) = (node.receiver.span().byte_range(), arg.span().byte_range());
            let text = format!("({}).{other}({})", &self.text[left], &self.text[right]);
            let change = format!("`{}` is `{other}`", self.source(&node.span().byte_range()));
            self.replacement(node, &text, change);
        }
        visit::visit_expr_method_call(self, node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_can_be_switched_off() {
        let text = "fn f(a: u8, v: &mut S) -> Checked { ensure(a < 3 && a > 1, R, \"\")?; v.go(a); if a == 2 { x() } }";
        let mutated = mutate(text, 10).unwrap();
        let changes: Vec<&str> = mutated.mutants.iter().map(|m| m.change.as_str()).collect();
        assert_eq!(
            changes,
            [
                "`a < 3 && a > 1` is always true",
                "`a < 3` is always true",
                "`a > 1` is always true",
                "`a < 3` is `<=`",
                "`a > 1` is `>=`",
                "`v.go(a);` is left out",
                "`a == 2` is always true",
                "`a == 2` is always false",
                "`a == 2` is `!=`",
            ]
        );
        assert!(syn::parse_file(&mutated.text).is_ok(), "{}", mutated.text);
        assert!(mutated.text.contains("crate::instead(10, true, "), "{}", mutated.text);
    }

    #[test]
    fn what_only_tests_compile_and_constants_are_left_alone() {
        for text in ["#[cfg(test)] mod t { fn f() { a.b(); } }", "const A: bool = 1 < 2;", "const fn f() { a.b(); }"] {
            assert_eq!(mutate(text, 0).unwrap().text, text);
        }
    }
}
