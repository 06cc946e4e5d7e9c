//! What is below a directory: names, types, contents, targets of links.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// One name.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    Directory,
    File(Vec<u8>),
    Link(String),
    Other,
}

/// Everything below a directory, by path.
pub(crate) fn read(root: &Path) -> Result<BTreeMap<String, Entry>> {
    let mut tree = BTreeMap::new();
    let mut ahead = vec![root.to_owned()];
    while let Some(directory) = ahead.pop() {
        for entry in directory.read_dir().with_context(|| format!("reading {}", directory.display()))? {
            let path = entry?.path();
            let name = path.strip_prefix(root)?.display().to_string();
            let metadata = path.symlink_metadata()?;
            let entry = match metadata.file_type() {
                kind if kind.is_dir() => {
                    ahead.push(path);
                    Entry::Directory
                }
                kind if kind.is_file() => Entry::File(fs::read(path)?),
                kind if kind.is_symlink() => Entry::Link(fs::read_link(path)?.display().to_string()),
                _ => Entry::Other,
            };
            tree.insert(name, entry);
        }
    }
    Ok(tree)
}

/// What is not the same in two trees.
pub(crate) fn differences(ours: &BTreeMap<String, Entry>, theirs: &BTreeMap<String, Entry>) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let differing = names.into_iter().filter(|name| ours.get(*name) != theirs.get(*name));
    differing.map(|name| format!("left {name} as {:?}, the peer's as {:?}", ours.get(name), theirs.get(name))).collect()
}

#[test]
fn trees_differ_in_names_types_contents_and_targets() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (root, text, target) in [(&a, "x", "same"), (&b, "y", "other")] {
        fs::create_dir(root.path().join("d")).unwrap();
        fs::write(root.path().join("d/file"), text).unwrap();
        fs::write(root.path().join("same"), "same").unwrap();
        std::os::unix::fs::symlink(target, root.path().join("link")).unwrap();
    }
    fs::create_dir(a.path().join("only")).unwrap();
    let (a, b) = (read(a.path()).unwrap(), read(b.path()).unwrap());
    assert_eq!(a.len(), 5);
    let found = differences(&a, &b);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[1].contains("link") && found[1].contains("other"), "{found:?}");
    assert!(differences(&a, &a).is_empty());
}
