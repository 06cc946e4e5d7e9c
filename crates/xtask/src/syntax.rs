//! What the checks need to know of one Rust file, found by parsing it, not by looking for words.
//!
//! Two passes: over the syntax tree for functions and what is test code, over the raw tokens for
//! `unsafe` and macro calls, so that the bodies of macros are looked at too.

use std::ops::RangeInclusive;

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Meta, Safety, Signature};

/// The facts of one file. Lines count from 1.
#[derive(Default)]
pub struct RustFile {
    /// Every function with a body, and every declared `unsafe` one.
    pub functions: Vec<Function>,
    /// Every use of the keyword.
    pub unsafes: Vec<Unsafe>,
    /// `name!` of every macro called.
    pub macros: Vec<(String, usize)>,
    /// `#[ignore]` that does not say why.
    pub bare_ignores: Vec<usize>,
    /// Lines that only tests compile.
    pub test_lines: Vec<RangeInclusive<usize>>,
    /// `mod x;` under `cfg(test)`.
    test_modules: Vec<String>,
    /// Whether the file opens with `//!`.
    pub has_module_doc: bool,
    /// Inner `#![…]` lint levels: the names of the lints.
    pub inner_lints: Vec<String>,
}

/// One function.
#[derive(Debug)]
pub struct Function {
    /// Its bare name.
    pub name: String,
    /// Where its signature starts.
    pub line: usize,
    /// From the signature to the closing brace; 0 without a body.
    pub lines: usize,
    /// It or something around it is compiled for tests only.
    pub in_test: bool,
    /// It has a `#[test]` attribute of some runner.
    pub is_test: bool,
    /// It has an `#[ignore]` attribute.
    pub is_ignored: bool,
    /// It is an `unsafe fn` whose contract is its own (not its trait's) and has no `# Safety`.
    pub lacks_safety_doc: bool,
}

/// What an `unsafe` stands before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnsafeKind {
    /// `unsafe { … }`
    Block,
    /// `unsafe impl`
    Impl,
    /// A function, trait, extern block, type or attribute.
    Other,
}

/// One use of the keyword.
#[derive(Debug)]
pub struct Unsafe {
    /// What it stands before.
    pub kind: UnsafeKind,
    /// Where.
    pub line: usize,
}

impl RustFile {
    /// Parses `text`.
    pub fn parse(text: &str) -> syn::Result<RustFile> {
        let tokens: TokenStream = text.parse()?;
        let tree: syn::File = syn::parse2(tokens.clone())?;
        let mut facts = RustFile {
            has_module_doc: tree.attrs.iter().any(|attr| attr.path().is_ident("doc")),
            inner_lints: tree.attrs.iter().flat_map(lints_of).collect(),
            ..RustFile::default()
        };
        facts.scan(tokens);
        let mut walk = Walk { facts: &mut facts, test_depth: 0, trait_impl: false };
        walk.visit_file(&tree);
        Ok(facts)
    }

    /// Whether `line` is compiled for tests only.
    pub fn is_test_line(&self, line: usize) -> bool {
        self.test_lines.iter().any(|range| range.contains(&line))
    }

    /// Whether this file, at `here`, declares `other` as a test-only module.
    pub fn owns_test_file(&self, here: &str, other: &str) -> bool {
        let dir = module_dir(here);
        self.test_modules.iter().any(|name| {
            let base = format!("{dir}/{name}");
            other.strip_prefix(&base).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        })
    }

    fn scan(&mut self, tokens: TokenStream) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        for (at, tree) in trees.iter().enumerate() {
            let next = trees.get(at + 1);
            match tree {
                TokenTree::Ident(ident) if ident == "unsafe" => {
                    let line = line_of(ident.span());
                    self.unsafes.push(Unsafe { kind: unsafe_kind(next), line });
                }
                TokenTree::Ident(ident) if is_bang(next, trees.get(at + 2)) => {
                    self.macros.push((ident.to_string(), line_of(ident.span())));
                }
                TokenTree::Group(group) => {
                    if is_bare_ignore(group) {
                        self.bare_ignores.push(line_of(group.span_open()));
                    }
                    self.scan(group.stream());
                }
                _ => {}
            }
        }
    }
}

/// Where `mod x;` inside the file at `path` looks for `x.rs`.
fn module_dir(path: &str) -> String {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name {
        "mod.rs" | "lib.rs" | "main.rs" => dir.to_owned(),
        _ => format!("{dir}/{}", name.trim_end_matches(".rs")),
    }
}

fn line_of(span: Span) -> usize {
    span.start().line
}

fn unsafe_kind(next: Option<&TokenTree>) -> UnsafeKind {
    match next {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => UnsafeKind::Block,
        Some(TokenTree::Ident(ident)) if ident == "impl" => UnsafeKind::Impl,
        _ => UnsafeKind::Other,
    }
}

/// `!` before an opening delimiter, rather than `!=`.
fn is_bang(next: Option<&TokenTree>, after: Option<&TokenTree>) -> bool {
    matches!(next, Some(TokenTree::Punct(punct)) if punct.as_char() == '!')
        && matches!(after, Some(TokenTree::Group(_)))
}

fn is_bare_ignore(group: &proc_macro2::Group) -> bool {
    group.delimiter() == Delimiter::Bracket && group.stream().to_string() == "ignore"
}

fn lints_of(attr: &Attribute) -> Vec<String> {
    let level = ["warn", "deny", "forbid"].iter().any(|level| attr.path().is_ident(level));
    match &attr.meta {
        Meta::List(list) if level => list.tokens.to_string().split(',').map(|lint| lint.trim().to_owned()).collect(),
        _ => Vec::new(),
    }
}

/// `#[cfg(test)]`, `#[cfg(all(test, …))]`, or a test function's own attribute.
fn is_test_only(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| match &attr.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string().replace(' ', "");
            condition == "test" || condition.starts_with("all(test")
        }
        meta => meta.path().segments.last().is_some_and(|last| last.ident == "test"),
    })
}

fn has_safety_section(attrs: &[Attribute]) -> bool {
    attrs.iter().filter(|attr| attr.path().is_ident("doc")).any(|attr| match &attr.meta {
        Meta::NameValue(doc) => match &doc.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => {
                text.value().trim().starts_with("# Safety")
            }
            _ => false,
        },
        _ => false,
    })
}

struct Walk<'a> {
    facts: &'a mut RustFile,
    test_depth: usize,
    trait_impl: bool,
}

impl Walk<'_> {
    /// Runs `inner`, as test code if `attrs` say so.
    fn within(&mut self, attrs: &[Attribute], whole: Span, inner: impl FnOnce(&mut Self)) {
        let test = is_test_only(attrs);
        if test && self.test_depth == 0 {
            self.facts.test_lines.push(whole.start().line..=whole.end().line);
        }
        self.test_depth += usize::from(test);
        inner(self);
        self.test_depth -= usize::from(test);
    }

    fn function(&mut self, attrs: &[Attribute], sig: &Signature, start: Span, end: Option<Span>) {
        let line = line_of(start);
        let own_contract = matches!(sig.safety, Safety::Unsafe(_)) && !self.trait_impl;
        let named = |name: &str| {
            let last = |attr: &Attribute| attr.path().segments.last().map(|s| s.ident == name);
            attrs.iter().any(|attr| last(attr) == Some(true))
        };
        self.facts.functions.push(Function {
            name: sig.ident.to_string(),
            line,
            lines: end.map_or(0, |end| end.end().line - line + 1),
            in_test: self.test_depth > 0 || is_test_only(attrs),
            is_test: named("test"),
            is_ignored: named("ignore"),
            lacks_safety_doc: own_contract && !has_safety_section(attrs),
        });
    }
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.content.is_none() && is_test_only(&item.attrs) {
            self.facts.test_modules.push(item.ident.to_string());
        }
        self.within(&item.attrs, item.span(), |walk| visit::visit_item_mod(walk, item));
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let outer = std::mem::replace(&mut self.trait_impl, item.trait_.is_some());
        self.within(&item.attrs, item.span(), |walk| visit::visit_item_impl(walk, item));
        self.trait_impl = outer;
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        let outer = std::mem::replace(&mut self.trait_impl, false);
        self.function(&item.attrs, &item.sig, start(&item.vis, &item.sig), Some(item.block.span()));
        self.within(&item.attrs, item.span(), |walk| visit::visit_item_fn(walk, item));
        self.trait_impl = outer;
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.attrs, &item.sig, start(&item.vis, &item.sig), Some(item.block.span()));
        self.within(&item.attrs, item.span(), |walk| visit::visit_impl_item_fn(walk, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        let body = item.default.as_ref().map(Spanned::span);
        let declared = matches!(item.sig.safety, Safety::Unsafe(_));
        if body.is_some() || declared {
            self.function(&item.attrs, &item.sig, item.sig.fn_token.span, body);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

/// Where a function starts: its visibility, or its `fn`.
fn start(vis: &syn::Visibility, sig: &Signature) -> Span {
    match vis {
        syn::Visibility::Inherited => sig.fn_token.span,
        vis => vis.span(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r#"//! Doc.
#![warn(missing_docs)]

/// One.
pub fn one(
    x: u32,
) -> u32 {
    let s = "unsafe { todo!() }"; // unsafe
    x != 1
}

unsafe impl Send for X {}

macro_rules! m { () => { unsafe { two() } }; }

#[cfg(test)]
mod tests {
    #[test]
    #[ignore]
    fn three() {}

    #[tokio::test]
    #[ignore = "slow"]
    async fn four() { dbg!(1); }
}
"#;

    #[test]
    fn facts_of_a_file() {
        let file = RustFile::parse(SAMPLE).unwrap();
        let unsafes: Vec<_> = file.unsafes.iter().map(|u| (u.kind, u.line)).collect();
        assert_eq!(unsafes, [(UnsafeKind::Impl, 12), (UnsafeKind::Block, 14)]);
        assert_eq!(file.macros, [("dbg".to_owned(), 24)]);
        assert_eq!(file.bare_ignores, [19]);
        assert_eq!(file.test_lines, [16..=25]);
        assert!(file.has_module_doc);
        assert_eq!(file.inner_lints, ["missing_docs"]);
    }

    #[test]
    fn functions_of_a_file() {
        let file = RustFile::parse(SAMPLE).unwrap();
        let seen: Vec<_> = file
            .functions
            .iter()
            .map(|f| (f.name.as_str(), f.line, f.lines, f.in_test, f.is_test, f.is_ignored))
            .collect();
        assert_eq!(
            seen,
            [("one", 5, 6, false, false, false), ("three", 20, 1, true, true, true), ("four", 24, 1, true, true, true),]
        );
    }

    #[test]
    fn an_unsafe_function_states_its_contract_unless_a_trait_does() {
        for (text, lacks) in [
            ("unsafe fn f() {}", true),
            ("/// Does.\n///\n/// # Safety\n/// Be careful.\nunsafe fn f() {}", false),
            ("impl T for X { unsafe fn f() {} }", false),
            ("impl X { unsafe fn f() {} }", true),
            ("trait T { unsafe fn f(); }", true),
            ("fn f() {}", false),
        ] {
            let file = RustFile::parse(text).unwrap();
            assert_eq!(file.functions[0].lacks_safety_doc, lacks, "{text}");
        }
    }
}
