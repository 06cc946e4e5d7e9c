use super::*;
use crate::Stdio;
use crate::limits::RANDOM_BYTES_MAX;
use crate::types::Subscription;

/// Addresses from which nothing of more than a few bytes can be.
const WILD: [u32; 4] = [MEMORY_BYTES as u32 - 1, MEMORY_BYTES as u32, 0x8000_0000, u32::MAX];

fn poll(wasi: &mut Wasi, mem: &mut [u8], subscriptions: u32, events: u32, len: u32) -> Answer {
    let subscriptions = GuestPtr::<Subscription>::new(subscriptions);
    wasi.complete(mem, |wasi, mem| wasi.poll_oneoff(mem, subscriptions, GuestPtr::new(events), 1, GuestPtr::new(len)))
}

#[test]
fn wild_results_are_refused_before_the_deed() {
    let mut guest = Guest::with(DirAccess::ReadWrite, |builder| builder.stdin(Stdio::bytes("input")));
    let (path, len) = guest.text(PATH, "new");
    guest.text(DATA, "data");
    let iovecs = guest.iovec(4);
    let file = guest.open("file", OpenFlags::NONE).unwrap();
    let before = guest.mem.clone();
    let (rights, creat) = (Rights::FILE.0, OpenFlags::CREAT.0.into());
    for wild in WILD {
        let Guest { wasi, mem, .. } = &mut guest;
        let answers = [
            wasi.path_open(mem, ROOT, 0, path, len, creat, rights, 0, 0, GuestPtr::new(wild)),
            wasi.complete(mem, |wasi, mem| wasi.fd_write(mem, file, iovecs, 1, GuestPtr::new(wild))),
            wasi.fd_pwrite(mem, file, iovecs, 1, 0, GuestPtr::new(wild)),
            wasi.complete(mem, |wasi, mem| wasi.fd_read(mem, 0, iovecs, 1, GuestPtr::new(wild))),
            wasi.fd_pread(mem, file, iovecs, 1, 0, GuestPtr::new(wild)),
            wasi.fd_seek(mem, file, 3, 0, GuestPtr::new(wild)),
            wasi.fd_tell(mem, file, GuestPtr::new(wild)),
            wasi.fd_readdir(mem, ROOT, GuestPtr::new(DATA), 100, 0, GuestPtr::new(wild)),
            wasi.fd_readdir(mem, ROOT, GuestPtr::new(wild), 100, 0, GuestPtr::new(RESULT)),
            wasi.fd_fdstat_get(mem, file, GuestPtr::new(wild)),
            wasi.fd_filestat_get(mem, file, GuestPtr::<Filestat>::new(wild)),
            wasi.fd_prestat_get(mem, ROOT, GuestPtr::new(wild)),
            wasi.fd_prestat_dir_name(mem, ROOT, GuestPtr::new(wild), 5),
            wasi.clock_time_get(mem, 0, 0, GuestPtr::new(wild)),
            wasi.clock_res_get(mem, 0, GuestPtr::new(wild)),
            wasi.random_get(mem, GuestPtr::new(wild), 2),
            poll(wasi, mem, wild, DATA, RESULT),
            poll(wasi, mem, DATA, wild, RESULT),
            poll(wasi, mem, DATA, PATH, wild),
            wasi.path_unlink_file(mem, ROOT, GuestPtr::new(wild), 100),
            wasi.path_filestat_get(mem, ROOT, 0, path, len, GuestPtr::<Filestat>::new(wild)),
        ];
        for (index, answer) in answers.iter().enumerate() {
            assert_eq!(*answer, Err(Errno::Fault), "call {index} with {wild:#x}");
        }
    }
    assert!(guest.mem == before, "memory was written");
    assert!(!guest.host("new").exists());
    assert_eq!(guest.read(0, 9).unwrap(), "input", "nothing was consumed");
    assert_eq!(guest.seek(file, 0, 1), Ok(0), "nothing moved");
    assert_eq!(std::fs::read(guest.host("file")).unwrap(), b"contents");
}

#[test]
fn buffers_may_overlap_each_other_and_the_result() {
    let mut guest = Guest::with(DirAccess::ReadOnly, |builder| builder.stdin(Stdio::bytes("abcdef")));
    for (index, start) in [DATA, DATA + 1].into_iter().enumerate() {
        let iovec = Iovec { start: GuestPtr::new(start), len: 3 };
        GuestPtr::<Iovec>::new(IOVECS).byte_add(index as u64 * 8).write(&mut guest.mem, &iovec).unwrap();
    }
    let (iovecs, done) = (GuestPtr::new(IOVECS), GuestPtr::new(DATA + 2));
    guest.wasi.complete(&mut guest.mem, |wasi, mem| wasi.fd_read(mem, 0, iovecs, 2, done)).unwrap();
    let at = DATA as usize;
    assert_eq!(guest.mem[at..at + 6], [b'a', b'd', 6, 0, 0, 0]);
}

#[test]
fn random_bytes_are_drawn_in_bounded_amounts() {
    // Gigabytes in one call kept an instance that was to be interrupted running for seconds.
    let mut guest = Guest::new(DirAccess::ReadOnly);
    let mut mem = vec![0; RANDOM_BYTES_MAX as usize + 1];
    assert_eq!(guest.wasi.random_get(&mut mem, GuestPtr::new(0), RANDOM_BYTES_MAX + 1), Err(Errno::Inval));
    assert!(mem[..4096].iter().all(|byte| *byte == 0));
    guest.wasi.random_get(&mut mem, GuestPtr::new(0), 4096).unwrap();
    assert!(mem[..4096].iter().any(|byte| *byte != 0));
}

#[test]
fn any_numbers_get_an_answer() {
    let mut guest = Guest::new(DirAccess::ReadWrite);
    let numbers = [0, 1, 3, 0x7fff_ffff, u32::MAX];
    for a in numbers {
        for b in numbers {
            for c in numbers {
                let Guest { wasi, mem, .. } = &mut guest;
                let wide = u64::from(c) << 32 | u64::from(b);
                let _ = wasi.fd_renumber(mem, a.max(4), b);
                let _ = wasi.fd_advise(mem, a, wide, wide, c);
                let _ = wasi.fd_allocate(mem, a, wide, wide);
                let _ = wasi.fd_fdstat_set_flags(mem, a, b);
                let _ = wasi.fd_read(mem, a, GuestPtr::new(b), c, GuestPtr::new(c));
                let _ = wasi.fd_write(mem, a.min(3), GuestPtr::new(b), c, GuestPtr::new(c));
                let _ = wasi.fd_readdir(mem, a, GuestPtr::new(b), c, wide, GuestPtr::new(RESULT));
                let _ = wasi.path_readlink(mem, ROOT, GuestPtr::new(a), b, GuestPtr::new(c), a, GuestPtr::new(b));
                let _ = wasi.path_symlink(mem, GuestPtr::new(a), b, ROOT, GuestPtr::new(b), c);
                let _ = wasi.sock_shutdown(mem, a, b);
                let _ = wasi.clock_res_get(mem, a, GuestPtr::new(b));
            }
        }
    }
    assert!(guest.open_to_read("file").is_ok());
}
