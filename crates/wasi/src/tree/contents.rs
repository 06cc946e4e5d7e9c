//! What is in a file of a tree: a range of bytes that others share, in memory or in a file of the host.

use std::fmt;
use std::fs::File;
use std::io::IoSliceMut;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::errno::Answer;

/// A file's contents. Clones share them.
#[derive(Clone)]
pub(super) enum Contents {
    Memory {
        all: Arc<[u8]>,
        range: Range<usize>,
    },
    /// Nobody changes the file.
    Host {
        file: Arc<File>,
        range: Range<u64>,
    },
}

impl Contents {
    /// A range of a file; none of it, if it ends before it begins.
    pub(super) fn host(file: Arc<File>, range: Range<u64>) -> Contents {
        Contents::Host { file, range: range.start..range.end.max(range.start) }
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Contents::Memory { range, .. } => range.len() as u64,
            Contents::Host { range, .. } => range.end - range.start,
        }
    }

    /// Fills buffers from a position on, as far as there is something.
    pub(super) fn read_at(&self, position: u64, buffers: &mut [IoSliceMut<'_>]) -> Answer<usize> {
        let position = position.min(self.len());
        let (mut left, mut done) = (self.len() - position, 0);
        for buffer in buffers {
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            self.fill(position + done as u64, &mut buffer[..now])?;
            (done, left) = (done + now, left - now as u64);
        }
        Ok(done)
    }

    /// Fills a buffer that ends within the contents.
    fn fill(&self, position: u64, buffer: &mut [u8]) -> Answer {
        match self {
            Contents::Memory { all, range } => {
                let start = range.start + position as usize;
                buffer.copy_from_slice(&all[start..start + buffer.len()]);
            }
            Contents::Host { file, range } => {
                // One that ends early was cut off by somebody else: an error, not the end.
                file.read_exact_at(buffer, range.start + position)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Contents({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::errno::Errno;

    fn read(contents: &Contents, position: u64, sizes: &[usize]) -> Answer<String> {
        let mut buffers: Vec<Vec<u8>> = sizes.iter().map(|size| vec![b'.'; *size]).collect();
        let mut slices: Vec<IoSliceMut<'_>> = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
        let done = contents.read_at(position, &mut slices)?;
        Ok(format!("{done} {}", String::from_utf8(buffers.concat()).unwrap()))
    }

    #[test]
    fn a_range_is_read_the_same_from_memory_and_from_a_file() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"before hello after").unwrap();
        let memory = Contents::Memory { all: (*b"before hello after").into(), range: 7..12 };
        let file = Arc::new(file);
        let host = Contents::host(file.clone(), 7..12);
        let backwards = Contents::host(file.clone(), Range { start: 7, end: 5 });
        assert_eq!((memory.len(), host.len(), backwards.len()), (5, 5, 0));
        for (position, sizes, expected) in [
            (0, &[5][..], "5 hello"),
            (0, &[2, 0, 9], "5 hello......"),
            (3, &[1, 1, 1], "2 lo."),
            (5, &[4], "0 ...."),
            (u64::MAX, &[4], "0 ...."),
            (0, &[], "0 "),
        ] {
            for contents in [&memory, &host] {
                assert_eq!(read(contents, position, sizes).as_deref(), Ok(expected), "{position} {sizes:?}");
            }
        }
        file.set_len(9).unwrap();
        assert_eq!(read(&host, 0, &[2]).as_deref(), Ok("2 he"));
        assert_eq!(read(&host, 0, &[5]), Err(Errno::Io), "it was cut off");
    }
}
