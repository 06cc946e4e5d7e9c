//! Trees out of `tar` archives. Everything in one is believed only after it was looked at: sizes against the
//! archive's own, names and links by the builder.

use std::io::Cursor;
use std::sync::Arc;

use tar::{Archive, Entry, EntryType};

use crate::limits::TREE_BYTES_MAX;
use crate::tree::Tree;
use crate::tree::builder::{TreeBuilder, TreeError};

/// Reads an archive.
pub(super) fn read(bytes: &Arc<[u8]>) -> Result<Tree, TreeError> {
    if bytes.len() as u64 > TREE_BYTES_MAX {
        return Err(TreeError::TooLarge);
    }
    let mut builder = Tree::builder();
    for entry in Archive::new(Cursor::new(&**bytes)).entries_with_seek()? {
        add(&mut builder, bytes, &entry?)?;
    }
    builder.build()
}

fn add<R: std::io::Read>(builder: &mut TreeBuilder, bytes: &Arc<[u8]>, entry: &Entry<'_, R>) -> Result<(), TreeError> {
    let path = text(&entry.path_bytes())?;
    let mtime_ns = entry.header().mtime().unwrap_or(0).saturating_mul(1_000_000_000);
    match entry.header().entry_type() {
        EntryType::Regular | EntryType::Continuous => {
            builder.add_file(&path, bytes.clone(), range(bytes, &path, entry)?, mtime_ns)
        }
        EntryType::Directory => builder.add_directory(&path, mtime_ns),
        EntryType::Symlink => builder.add_link(&path, &entry.link_name_bytes().unwrap_or_default(), mtime_ns),
        EntryType::Link => builder.add_hard_link(&path, &text(&entry.link_name_bytes().unwrap_or_default())?),
        // Says something of the whole archive, and names nothing.
        EntryType::XGlobalHeader => return Ok(()),
        other => return Err(TreeError::Type(path, other.as_byte().into())),
    }?;
    Ok(())
}

fn text(bytes: &[u8]) -> Result<String, TreeError> {
    let no_name = |_| TreeError::Name(String::from_utf8_lossy(bytes).into_owned());
    String::from_utf8(bytes.to_vec()).map_err(no_name)
}

/// Where an entry's contents are.
fn range<R: std::io::Read>(
    bytes: &[u8],
    path: &str,
    entry: &Entry<'_, R>,
) -> Result<std::ops::Range<usize>, TreeError> {
    let (start, size) = (entry.raw_file_position(), entry.size());
    let end = start.checked_add(size).filter(|end| *end <= bytes.len() as u64);
    Ok(start as usize..end.ok_or_else(|| TreeError::CutOff(path.to_owned()))? as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Content, Contents, ROOT};
    use tar::{Builder, Header};

    fn header(entry_type: EntryType, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(entry_type);
        header.set_size(size);
        header.set_mtime(7);
        header
    }

    /// Puts a name into a header as it is, also one that the library would refuse.
    fn raw(name: &str, entry_type: EntryType, target: &str, contents: &[u8]) -> Vec<u8> {
        let mut header = header(entry_type, contents.len() as u64);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..name.len()].copy_from_slice(name.as_bytes());
        gnu.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(contents);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
        [entries.concat(), vec![0; 1024]].concat()
    }

    #[test]
    fn files_are_ranges_of_the_archive() {
        let mut builder = Builder::new(Vec::new());
        let long = format!("dir/{}", "long/".repeat(40));
        builder.append_data(&mut header(EntryType::Directory, 0), "./", &[][..]).unwrap();
        builder.append_data(&mut header(EntryType::Regular, 5), format!("{long}name"), &b"hello"[..]).unwrap();
        builder.append_link(&mut header(EntryType::Symlink, 0), "link", "dir/long").unwrap();
        builder.append_link(&mut header(EntryType::Link, 0), "hard", format!("{long}name")).unwrap();
        let bytes: Arc<[u8]> = builder.into_inner().unwrap().into();
        let tree = read(&bytes).unwrap();
        let node = tree.node(tree.find(ROOT, format!("{long}name").as_bytes(), true).unwrap());
        let Content::File(Contents::Memory { all, range }) = &node.content else { panic!("no file in memory") };
        assert!(Arc::ptr_eq(all, &bytes));
        assert_eq!((&all[range.clone()], node.links, node.mtime_ns), (&b"hello"[..], 2, 7_000_000_000));
        assert_eq!(tree.find(ROOT, b"hard", true), tree.find(ROOT, format!("{long}name").as_bytes(), true));
        assert!(tree.find(ROOT, b"link/long", true).is_ok());
    }

    #[test]
    fn hostile_archives_are_refused_by_the_name_of_the_entry() {
        let file = |name| raw(name, EntryType::Regular, "", b"x");
        let link = |name, target| raw(name, EntryType::Symlink, target, b"");
        let cases: Vec<(&str, &str, Vec<u8>)> = vec![
            ("../up", "`..`", archive(&[file("../up")])),
            ("/etc/passwd", "absolute", archive(&[file("/etc/passwd")])),
            ("twice", "twice", archive(&[file("twice"), file("twice")])),
            ("b", "itself", archive(&[link("b", "c"), link("c", "b")])),
            ("link/x", "no directory", archive(&[link("link", "dir"), file("link/x")])),
            ("hard", "hard link", archive(&[raw("hard", EntryType::Link, "/etc/passwd", b"")])),
            ("hard", "hard link", archive(&[raw("hard", EntryType::Link, "../x", b"")])),
            ("null", "neither file", archive(&[raw("null", EntryType::Char, "", b"")])),
            ("fifo", "neither file", archive(&[raw("fifo", EntryType::Fifo, "", b"")])),
        ];
        for (name, why, bytes) in cases {
            let text = read(&bytes.into()).unwrap_err().to_string();
            assert!(text.contains(&format!("{name:?}")) && text.contains(why), "{name}: {text}");
        }
        let mut huge = header(EntryType::Regular, 1 << 40);
        huge.as_gnu_mut().unwrap().name[..4].copy_from_slice(b"huge");
        huge.set_cksum();
        let text = read(&archive(&[huge.as_bytes().to_vec()]).into()).unwrap_err().to_string();
        assert!(text.contains("\"huge\" is cut off"), "{text}");
    }

    #[test]
    fn any_bytes_are_a_tree_or_an_error() {
        let sound =
            archive(&[raw("d/file", EntryType::Regular, "", b"contents"), raw("l", EntryType::Symlink, "d", b"")]);
        let mut state = 1u64;
        for _ in 0..3000 {
            let mut bytes = sound.clone();
            for _ in 0..4 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (state >> 33) as usize % bytes.len();
                bytes[at] = (state >> 25) as u8;
            }
            bytes.truncate((state >> 40) as usize % (2 * bytes.len()));
            // What it is does not matter, only that it ends.
            let _ = read(&bytes.into());
        }
        assert!(read(&b"no archive at all".repeat(100).into()).is_err());
    }
}
