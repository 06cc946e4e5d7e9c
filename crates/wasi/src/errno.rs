//! What a call answers: the `errno` of the witx document.

use rustix::io::Errno as Host;
use selvedge_runtime::GuestFault;

macro_rules! errnos {
    ($($name:ident = $value:literal $(, $host:ident)?;)*) => {
        /// An error number as guests know it. Success is not one of them: it is `Ok`.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u16)]
        #[allow(missing_docs, reason = "their names are their meaning, POSIX's")]
        pub enum Errno { $($name = $value,)* }

        impl From<Host> for Errno {
            fn from(host: Host) -> Errno {
                match host {
                    $($(Host::$host => Errno::$name,)?)*
                    _ => Errno::Io,
                }
            }
        }
    };
}

errnos! {
    TooBig = 1, TOOBIG;
    Acces = 2, ACCESS;
    Addrinuse = 3, ADDRINUSE;
    Addrnotavail = 4, ADDRNOTAVAIL;
    Afnosupport = 5, AFNOSUPPORT;
    Again = 6, AGAIN;
    Already = 7, ALREADY;
    Badf = 8, BADF;
    Badmsg = 9, BADMSG;
    Busy = 10, BUSY;
    Canceled = 11, CANCELED;
    Child = 12, CHILD;
    Connaborted = 13, CONNABORTED;
    Connrefused = 14, CONNREFUSED;
    Connreset = 15, CONNRESET;
    Deadlk = 16, DEADLK;
    Destaddrreq = 17, DESTADDRREQ;
    Dom = 18, DOM;
    Dquot = 19, DQUOT;
    Exist = 20, EXIST;
    Fault = 21, FAULT;
    Fbig = 22, FBIG;
    Hostunreach = 23, HOSTUNREACH;
    Idrm = 24, IDRM;
    Ilseq = 25, ILSEQ;
    Inprogress = 26, INPROGRESS;
    Intr = 27, INTR;
    Inval = 28, INVAL;
    Io = 29, IO;
    Isconn = 30, ISCONN;
    Isdir = 31, ISDIR;
    Loop = 32, LOOP;
    Mfile = 33, MFILE;
    Mlink = 34, MLINK;
    Msgsize = 35, MSGSIZE;
    Multihop = 36, MULTIHOP;
    Nametoolong = 37, NAMETOOLONG;
    Netdown = 38, NETDOWN;
    Netreset = 39, NETRESET;
    Netunreach = 40, NETUNREACH;
    Nfile = 41, NFILE;
    Nobufs = 42, NOBUFS;
    Nodev = 43, NODEV;
    Noent = 44, NOENT;
    Noexec = 45, NOEXEC;
    Nolck = 46, NOLCK;
    Nolink = 47, NOLINK;
    Nomem = 48, NOMEM;
    Nomsg = 49, NOMSG;
    Noprotoopt = 50, NOPROTOOPT;
    Nospc = 51, NOSPC;
    Nosys = 52, NOSYS;
    Notconn = 53, NOTCONN;
    Notdir = 54, NOTDIR;
    Notempty = 55, NOTEMPTY;
    Notrecoverable = 56, NOTRECOVERABLE;
    Notsock = 57, NOTSOCK;
    Notsup = 58, NOTSUP;
    Notty = 59, NOTTY;
    Nxio = 60, NXIO;
    Overflow = 61, OVERFLOW;
    Ownerdead = 62, OWNERDEAD;
    Perm = 63, PERM;
    Pipe = 64, PIPE;
    Proto = 65, PROTO;
    Protonosupport = 66, PROTONOSUPPORT;
    Prototype = 67, PROTOTYPE;
    Range = 68, RANGE;
    Rofs = 69, ROFS;
    Spipe = 70, SPIPE;
    Srch = 71, SRCH;
    Stale = 72, STALE;
    Timedout = 73, TIMEDOUT;
    Txtbsy = 74, TXTBSY;
    Xdev = 75, XDEV;
    Notcapable = 76;
}

/// What every function of the interface returns.
pub(crate) type Answer<T = ()> = Result<T, Errno>;

impl From<GuestFault> for Errno {
    fn from(_: GuestFault) -> Errno {
        Errno::Fault
    }
}

impl From<std::io::Error> for Errno {
    fn from(error: std::io::Error) -> Errno {
        Host::from_io_error(&error).map_or(Errno::Io, Errno::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_document() {
        assert_eq!(Errno::TooBig as u16, 1);
        assert_eq!(Errno::Badf as u16, 8);
        assert_eq!(Errno::Noent as u16, 44);
        assert_eq!(Errno::Notcapable as u16, 76);
    }

    #[test]
    fn host_errors_keep_their_meaning() {
        assert_eq!(Errno::from(Host::NOENT), Errno::Noent);
        assert_eq!(Errno::from(Host::OPNOTSUPP), Errno::Notsup);
        assert_eq!(Errno::from(std::io::Error::from(std::io::ErrorKind::Other)), Errno::Io);
    }
}
