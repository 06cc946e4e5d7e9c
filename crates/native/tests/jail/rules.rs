//! Each rule that looks at arguments: the same call, made before the jail and in it. Before, the kernel answers, whatever
//! it says; in the jail the filter does.

use std::io::Error;
use std::path::Path;

use libtest_mimic::Trial;

use crate::deeds::{self, End, Prison, bare, call, parent, runner};
use crate::dialing::{any_port, dialer};
use crate::serving::server;

/// Before the name of a test of this table.
pub(crate) const RULE: &str = "rule::";

struct Rule {
    name: &'static str,
    jail: fn(&Path) -> Prison,
    number: i64,
    arguments: fn() -> [usize; 6],
}

const MAP: usize = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
const READ_WRITE: usize = (libc::PROT_READ | libc::PROT_WRITE) as usize;
const READ_EXEC: usize = (libc::PROT_READ | libc::PROT_EXEC) as usize;
const NO_FILE: usize = usize::MAX;

#[rustfmt::skip]
const TABLE: &[Rule] = &[
    Rule { name: "memory_that_is_executable", jail: bare, number: libc::SYS_mmap, arguments: || [0, 4096, READ_EXEC, MAP, NO_FILE, 0] },
    Rule { name: "memory_that_is_shared", jail: bare, number: libc::SYS_mmap, arguments: || [0, 4096, READ_WRITE, (libc::MAP_SHARED | libc::MAP_ANONYMOUS) as usize, NO_FILE, 0] },
    Rule { name: "memory_that_grows_down", jail: bare, number: libc::SYS_mmap, arguments: || [0, 4096, READ_WRITE, MAP | libc::MAP_GROWSDOWN as usize, NO_FILE, 0] },
    Rule { name: "memory_made_executable", jail: bare, number: libc::SYS_mprotect, arguments: || [0, 0, READ_EXEC, 0, 0, 0] },
    Rule { name: "advice_that_is_not_listed", jail: bare, number: libc::SYS_madvise, arguments: || [0, 0, 1_000, 0, 0, 0] },
    Rule { name: "advice_that_takes_pages_away", jail: bare, number: libc::SYS_madvise, arguments: || [1, 0, libc::MADV_HWPOISON as usize, 0, 0, 0] },
    Rule { name: "a_namespace", jail: bare, number: libc::SYS_clone, arguments: || [(libc::CLONE_FS | libc::CLONE_NEWNS) as usize, 0, 0, 0, 0, 0] },
    Rule { name: "a_signal_to_others", jail: bare, number: libc::SYS_tgkill, arguments: || [parent(), parent(), 0, 0, 0, 0] },
    Rule { name: "limits_of_others", jail: bare, number: libc::SYS_prlimit64, arguments: || [parent(), libc::RLIMIT_CORE as usize, 0, 0, 0, 0] },
    Rule { name: "a_limit_that_is_set", jail: bare, number: libc::SYS_prlimit64, arguments: || [0, libc::RLIMIT_CORE as usize, 1, 0, 0, 0] },
    Rule { name: "a_process_control", jail: bare, number: libc::SYS_prctl, arguments: || [libc::PR_SET_PDEATHSIG as usize, 0, 0, 0, 0, 0] },
    Rule { name: "a_file_control", jail: bare, number: libc::SYS_fcntl, arguments: || [0, libc::F_GETFL as usize, 0, 0, 0, 0] },
    Rule { name: "code_of_no_file", jail: runner, number: libc::SYS_mmap, arguments: || [0, 4096, READ_EXEC, MAP, NO_FILE, 0] },
    Rule { name: "code_beside_its_region", jail: runner, number: libc::SYS_mmap, arguments: || [0, 4096, READ_EXEC, libc::MAP_PRIVATE as usize, code_file(), 0] },
    Rule { name: "code_that_can_be_written", jail: runner, number: libc::SYS_mmap, arguments: || [0, 4096, READ_EXEC | READ_WRITE, libc::MAP_PRIVATE as usize, code_file(), 0] },
    Rule { name: "code_that_is_shared", jail: runner, number: libc::SYS_mmap, arguments: || [0, 4096, READ_EXEC, libc::MAP_SHARED as usize, code_file(), 0] },
    Rule { name: "code_made_of_memory", jail: runner, number: libc::SYS_mprotect, arguments: || [0, 0, READ_EXEC, 0, 0, 0] },
    Rule { name: "advice_beyond_guards", jail: runner, number: libc::SYS_madvise, arguments: || [0, 0, 1_000, 0, 0, 0] },
    Rule { name: "a_device_control", jail: runner, number: libc::SYS_ioctl, arguments: || [0, libc::TIOCSTI as usize, 0, 0, 0, 0] },
    Rule { name: "server_code_of_no_file", jail: server, number: libc::SYS_mmap, arguments: || [0, 4096, READ_EXEC, MAP, NO_FILE, 0] },
    Rule { name: "server_code_made_of_memory", jail: server, number: libc::SYS_mprotect, arguments: || [0, 0, READ_EXEC, 0, 0, 0] },
    Rule { name: "server_file_control", jail: server, number: libc::SYS_fcntl, arguments: || [0, libc::F_GETOWN as usize, 0, 0, 0, 0] },
    Rule { name: "server_device_control", jail: server, number: libc::SYS_ioctl, arguments: || [0, libc::TIOCSTI as usize, 0, 0, 0, 0] },
    Rule { name: "server_pair_that_leads_elsewhere", jail: server, number: libc::SYS_socketpair, arguments: || [libc::AF_INET as usize, libc::SOCK_STREAM as usize, 0, 1, 0, 0] },
    Rule { name: "server_filter_on_a_socket", jail: server, number: libc::SYS_setsockopt, arguments: || [NO_FILE, libc::SOL_SOCKET as usize, libc::SO_ATTACH_FILTER as usize, 0, 0, 0] },
    Rule { name: "server_question_to_a_socket", jail: server, number: libc::SYS_getsockopt, arguments: || [NO_FILE, libc::IPPROTO_IP as usize, 1, 0, 0, 0] },
    Rule { name: "server_signal_to_others", jail: server, number: libc::SYS_tgkill, arguments: || [parent(), parent(), 0, 0, 0, 0] },
    Rule { name: "server_limit_that_is_set", jail: server, number: libc::SYS_prlimit64, arguments: || [0, libc::RLIMIT_CORE as usize, 1, 0, 0, 0] },
    Rule { name: "server_that_shows_its_memory", jail: server, number: libc::SYS_prctl, arguments: || [libc::PR_SET_DUMPABLE as usize, 1, 0, 0, 0, 0] },
    Rule { name: "dialer_socket_of_another_family", jail: dialer, number: libc::SYS_socket, arguments: || [libc::AF_NETLINK as usize, libc::SOCK_RAW as usize, 0, 0, 0, 0] },
    Rule { name: "dialer_socket_of_this_machine", jail: dialer, number: libc::SYS_socket, arguments: || [libc::AF_UNIX as usize, libc::SOCK_STREAM as usize, 0, 0, 0, 0] },
    Rule { name: "dialer_socket_of_another_type", jail: dialer, number: libc::SYS_socket, arguments: || [libc::AF_INET as usize, libc::SOCK_SEQPACKET as usize, 0, 0, 0, 0] },
    Rule { name: "dialer_socket_of_another_protocol", jail: dialer, number: libc::SYS_socket, arguments: || [libc::AF_INET as usize, libc::SOCK_STREAM as usize, libc::IPPROTO_MPTCP as usize, 0, 0, 0] },
    Rule { name: "dialer_filter_on_a_socket", jail: dialer, number: libc::SYS_setsockopt, arguments: || [NO_FILE, libc::SOL_SOCKET as usize, libc::SO_ATTACH_FILTER as usize, 0, 0, 0] },
    Rule { name: "dialer_question_to_a_socket", jail: dialer, number: libc::SYS_getsockopt, arguments: || [NO_FILE, libc::IPPROTO_IP as usize, 1, 0, 0, 0] },
    Rule { name: "dialer_connection_by_sending", jail: dialer, number: libc::SYS_sendto, arguments: || [NO_FILE, 0, 0, libc::MSG_FASTOPEN as usize, 0, 0] },
    Rule { name: "dialer_connection_by_a_message", jail: dialer, number: libc::SYS_sendmsg, arguments: || [NO_FILE, 0, libc::MSG_FASTOPEN as usize, 0, 0, 0] },
    Rule { name: "dialer_connection_by_messages", jail: dialer, number: libc::SYS_sendmmsg, arguments: || [NO_FILE, 0, 1, libc::MSG_FASTOPEN as usize, 0, 0] },
    Rule { name: "dialer_device_control", jail: dialer, number: libc::SYS_ioctl, arguments: || [0, libc::TIOCSTI as usize, 0, 0, 0, 0] },
    Rule { name: "dialer_file_control", jail: dialer, number: libc::SYS_fcntl, arguments: || [0, libc::F_GETFL as usize, 0, 0, 0, 0] },
    Rule { name: "dialer_signal_to_others", jail: dialer, number: libc::SYS_tgkill, arguments: || [parent(), parent(), 0, 0, 0, 0] },
    Rule { name: "dialer_memory_that_is_executable", jail: dialer, number: libc::SYS_mmap, arguments: || [0, 4096, READ_EXEC, MAP, NO_FILE, 0] },
    Rule { name: "dialer_memory_made_executable", jail: dialer, number: libc::SYS_mprotect, arguments: || [0, 0, READ_EXEC, 0, 0, 0] },
    Rule { name: "dialer_advice_that_is_not_listed", jail: dialer, number: libc::SYS_madvise, arguments: || [0, 0, 1_000, 0, 0, 0] },
    Rule { name: "any_port_dialer_namespace", jail: any_port, number: libc::SYS_clone, arguments: || [(libc::CLONE_FS | libc::CLONE_NEWNS) as usize, 0, 0, 0, 0, 0] },
    Rule { name: "any_port_dialer_process_control", jail: any_port, number: libc::SYS_prctl, arguments: || [libc::PR_SET_DUMPABLE as usize, 1, 0, 0, 0, 0] },
    Rule { name: "any_port_dialer_socket_of_another_family", jail: any_port, number: libc::SYS_socket, arguments: || [libc::AF_NETLINK as usize, libc::SOCK_RAW as usize, 0, 0, 0, 0] },
    Rule { name: "any_port_dialer_socket_of_this_machine", jail: any_port, number: libc::SYS_socket, arguments: || [libc::AF_UNIX as usize, libc::SOCK_STREAM as usize, 0, 0, 0, 0] },
];

pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    TABLE.iter().map(|rule| {
        let name = format!("{RULE}{}", rule.name);
        Trial::test(name.clone(), move || deeds::check_end(&name, &End::Says("the filter refuses")))
    })
}

pub(crate) fn child(name: &str, granted: &Path) -> Result<(), Error> {
    let rule = TABLE.iter().find(|rule| rule.name == name).expect("it is in the table");
    let arguments = (rule.arguments)();
    let number = |answer: Result<(), Error>| answer.err().and_then(|error| error.raw_os_error());
    let before = number(call(rule.number, arguments));
    if before == Some(libc::EPERM) {
        return Err(Error::other("the kernel refuses it without a filter, so this shows nothing"));
    }
    (rule.jail)(granted).enter_layers(&selvedge_native::jail::Layer::ALL, |_| {}).map_err(Error::other)?;
    match number(call(rule.number, arguments)) {
        Some(libc::EPERM) => Err(Error::other("the filter refuses")),
        other => Err(Error::other(format!("before {before:?}, in the jail {other:?}"))),
    }
}

/// A file with a page that could be code.
fn code_file() -> usize {
    // SAFETY: the name is a string that lives on.
    let file = unsafe { libc::memfd_create(c"code".as_ptr(), 0) };
    // SAFETY: the file is this process's own.
    assert_eq!(unsafe { libc::ftruncate(file, 4096) }, 0);
    file as usize
}
