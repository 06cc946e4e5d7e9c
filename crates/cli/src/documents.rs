//! What the documents say to type is what the command takes.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;

use crate::{Cli, Verb};

/// How the command is called before it is installed.
const UNINSTALLED: &str = "cargo run --release -- ";

/// The documents, and where they are.
fn documents() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    for directory in [root.clone(), root.join("docs"), root.join("deploy")] {
        let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        found.extend(paths.filter(|path| path.extension().is_some_and(|end| end == "md")));
    }
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// Commands that stand in a document: those to be typed as they are, and those that prose speaks of.
#[derive(Default)]
struct Commands {
    typed: Vec<String>,
    told: Vec<String>,
}

impl Commands {
    /// Typed is what a block of shell says.
    fn of(text: &str) -> Commands {
        let (mut commands, mut block) = (Commands::default(), None);
        for line in text.lines() {
            if let Some(language) = line.strip_prefix("```") {
                block = if block.is_some() { None } else { Some(language) };
            } else if let Some(language) = block {
                commands.typed.extend(Some(line).filter(|_| language == "sh").and_then(called));
            } else {
                commands.told.extend(line.split('`').skip(1).step_by(2).filter_map(called));
            }
        }
        commands
    }
}

/// The command of a line, if it is ours.
fn called(line: &str) -> Option<String> {
    let line = line.replace(UNINSTALLED, "selvedge ");
    let ours = line.strip_prefix("selvedge ").filter(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()));
    // What people put in place of a word, and around what may be left out.
    ours.map(|_| line.replace(" VERB", " run").replace(" N", " 1").replace(['[', ']'], ""))
}

/// Reads a command as it would be; an option of ours must not be where it is the program's.
fn read(command: &str) -> Result<(), clap::Error> {
    let parsed = Cli::try_parse_from(command.split_whitespace())?;
    if let Verb::Run(args) = parsed.verb {
        assert_eq!(args.misplaced(), None, "{command}: stands after the file");
    }
    Ok(())
}

#[test]
fn commands_in_the_documents_are_taken() {
    let (mut typed, mut told) = (0, 0);
    for (path, text) in documents() {
        let commands = Commands::of(&text);
        for command in &commands.typed {
            read(command).unwrap_or_else(|error| panic!("{}: {command}\n{error}", path.display()));
        }
        for command in &commands.told {
            let unknown = [ErrorKind::UnknownArgument, ErrorKind::InvalidSubcommand];
            // Prose leaves out what it does not speak of.
            if let Some(error) = read(command).err().filter(|error| unknown.contains(&error.kind())) {
                panic!("{}: {command}\n{error}", path.display());
            }
        }
        typed += commands.typed.len();
        told += commands.told.len();
    }
    assert!(typed >= 3 && told >= 20, "{typed} commands and {told} in prose: they are written otherwise now");
}

/// The README said so once, and the limit did not hold.
#[test]
fn options_after_the_file_are_found() {
    for (command, found) in [
        ("run app.wasm --meter-limit 10", Some("--meter-limit")),
        ("run --dir . app.wasm one --dir=./data::/data --env A", Some("--dir")),
        ("run --meter-limit 10 app.wasm --size 10 --help -g", None),
        ("run app.wasm tool -- --env A", None),
        ("run app.wasm --meter-limits dir", None),
    ] {
        let parsed = Cli::try_parse_from(["selvedge"].into_iter().chain(command.split(' '))).unwrap();
        let Verb::Run(args) = parsed.verb else { panic!("{command}") };
        assert_eq!(args.misplaced().as_deref(), found, "{command}");
    }
}

#[test]
fn the_readme_shows_what_the_example_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let example = fs::read_to_string(root.join("examples/embed.rs")).unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let (_, block) = readme.split_once("```rust\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let there: Vec<_> = example.lines().map(str::trim).collect();
    for line in block.lines().map(str::trim) {
        assert!(there.contains(&line), "README.md: `{line}` is not in examples/embed.rs");
    }
}
