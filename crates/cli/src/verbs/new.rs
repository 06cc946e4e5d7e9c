//! `selvedge new`: a directory with a service to begin with.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use selvedge_edge::client::Name;

use crate::files;
use crate::project::templates::{Language, Template, Toolchain};
use crate::project::{FILE, Project};
use crate::remote::name;

/// Begin a service: a directory with source and build commands
///
/// Nothing is fetched. If the language's compiler is not there, it says how to get
/// it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  selvedge new hello --lang go
  cd hello && selvedge dev")]
pub(crate) struct Args {
    /// The service's name, and that of its directory: small letters, digits and -
    #[arg(value_parser = name)]
    name: Name,
    /// What it is written in
    #[arg(long, value_name = "LANGUAGE")]
    lang: Language,
}

/// Where a project's files for clients are.
const ASSETS: &str = "assets";
/// One to begin with.
const ABOUT: (&str, &str) = (
    "assets/about.html",
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{name}</title>\n\
     <p>This page is a file. <a href=\"./\">The program answers here.</a></p>\n</html>\n",
);

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let name = args.name.as_str();
    let (directory, template) = (PathBuf::from(name), args.lang.template());
    match fs::create_dir(&directory) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{name} is there already, and nothing in it is overwritten; choose another name")
        }
        Err(error) => return Err(error).with_context(|| format!("cannot make the directory {name}")),
    }
    for (path, text) in template.files {
        let text = if template.named == Some(path) { named(text, name) } else { (*text).to_string() };
        write(&directory, path, &text)?;
    }
    let found = template.toolchain(&directory);
    let chain = found.unwrap_or(&template.toolchains[0]);
    write(&directory, ABOUT.0, &ABOUT.1.replace("{name}", name))?;
    write(&directory, FILE, &project_file(&args.name, chain)?)?;
    write(&directory, "README.md", &readme(name, template, chain))?;
    write(&directory, ".gitignore", "*.wasm\n*.o\nnode_modules/\ntarget/\n.zig-cache/\n")?;
    files::print(&next_steps(name, template, found))?;
    Ok(ExitCode::SUCCESS)
}

fn write(directory: &Path, path: &str, text: &str) -> Result<()> {
    let path = directory.join(path);
    let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
    made.with_context(|| format!("cannot write {}", path.display()))
}

/// A manifest, with the project's name in it.
fn named(manifest: &str, name: &str) -> String {
    manifest.replacen("hello", name, 1)
}

fn project_file(site: &Name, chain: &Toolchain) -> Result<String> {
    let name = site.as_str();
    let project = Project {
        site: site.clone(),
        module: chain.module(name).into(),
        build: chain.build(name),
        assets: Some(ASSETS.into()),
        files: None,
        args: Vec::new(),
    };
    let Project { site, module, build, .. } = &project;
    let lines: String = build.iter().map(|line| format!("    {},\n", quoted(line))).collect();
    let text = format!(
        "# What `selvedge dev` builds and serves. The commands are run by sh, here, one after another.\n\
         site = {}\nmodule = {}\nbuild = [\n{lines}]\n\
         # Files that clients get as they are; the module is asked for what is not there.\nassets = {}\n",
        quoted(site.as_str()),
        quoted(&module.display().to_string()),
        quoted(ASSETS),
    );
    // What is written must be what will be read.
    let read: Project = toml::from_str(&text).context("internal: the project's file")?;
    anyhow::ensure!(read == project, "internal: the project's file says something else");
    Ok(text)
}

/// A string of TOML; literal where it can be.
fn quoted(text: &str) -> String {
    if text.contains(['"', '\\']) { format!("'{text}'") } else { format!("\"{text}\"") }
}

fn readme(name: &str, template: &Template, chain: &Toolchain) -> String {
    let Template { title, main, .. } = template;
    let build: String = chain.build(name).iter().map(|line| format!("    {line}\n")).collect();
    let module = chain.module(name);
    format!(
        "# {name}\n\n\
         A service in {title}: `{main}`. Each request runs it once, in an instance of its own: the request comes as\n\
         environment (`REQUEST_METHOD`, `PATH_INFO`, `QUERY_STRING`, `HTTP_...`) and standard input, the answer goes\n\
         to standard output, what it writes to standard error is its log.\n\n\
         Build it whenever it changes, and serve it at http://127.0.0.1:8080/:\n\n    selvedge dev\n\n\
         Build it once (needs {}: {}):\n\n{build}\n\
         Files in `{ASSETS}/` are served as they are: `/about.html` is `{ASSETS}/about.html`. The program has the rest.\n\n\
         Deploy it to a server, here the one that `selvedge serve` starts:\n\n    \
         selvedge deploy {module} --assets {ASSETS} --site {name} --to http://127.0.0.1:8081\n",
        chain.title, chain.get,
    )
}

fn next_steps(name: &str, template: &Template, found: Option<&Toolchain>) -> String {
    let Template { title, main, fetch, .. } = template;
    let fetch = fetch.map(|line| format!("    {line}\n")).unwrap_or_default();
    let missing = match found {
        Some(_) => String::new(),
        // It comes with what is fetched.
        None if template.fetch.is_some() => String::new(),
        None => {
            let mut ways: Vec<_> =
                template.toolchains.iter().map(|chain| format!("    {}: {}\n", chain.title, chain.get)).collect();
            // One that goes by several names is got in one way.
            ways.dedup();
            let what = if ways.len() == 1 { "this" } else { "one of these" };
            format!("To build it, {what} is missing here:\n{}", ways.concat())
        }
    };
    let built = found.map(|chain| format!(", built by {}", chain.title)).unwrap_or_default();
    format!("{name}/{main} is a service in {title}{built}.\n{missing}Next:\n    cd {name}\n{fetch}    selvedge dev\n")
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_template_has_a_file_that_is_read_as_it_was_meant() {
        for language in Language::value_variants() {
            let template = language.template();
            assert!(template.files.iter().any(|(path, _)| *path == template.main));
            let site = Name::new("shop").unwrap();
            for chain in template.toolchains {
                let text = project_file(&site, chain).unwrap();
                assert!(!text.contains("{name}") && text.contains("shop"), "{text}");
            }
            let manifest = template.files.iter().find(|(path, _)| Some(*path) == template.named);
            assert!(manifest.is_none_or(|(_, text)| named(text, "shop").contains("shop")));
        }
    }
}
