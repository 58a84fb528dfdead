//! The open descriptors of a process, as `/proc/PID/fd` and `/proc/PID/fdinfo` tell them (proc_pid_fd(5),
//! proc_pid_fdinfo(5)), and its sockets' addresses from `/proc/PID/net`. Opens none of the files behind them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::addr::Pid;

/// A process with more descriptors than this is listed only so far.
pub const MOST_DESCRIPTORS: usize = 65_536;

/// No table of sockets is read further than this.
const LONGEST_TABLE: u64 = 64 << 20;

/// `fdinfo` of an epoll or inotify descriptor has a line for each thing that it watches.
const LONGEST_INFO: u64 = 16 << 10;

/// An open descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its number.
    pub number: i32,
    /// What the kernel calls it: a path, or `socket:[INODE]`, `pipe:[INODE]`, `anon_inode:[eventpoll]`. Any characters.
    pub name: String,
    /// Where in the file the next read or write is; `None` where it was closed meanwhile.
    pub position: Option<u64>,
    /// The flags of open(2), numbers as the kernel has them.
    pub flags: Option<u32>,
    /// What else the kernel tells (`eventfd-count: 3`, `tfd: 5 …`), line by line.
    pub details: Vec<String>,
}

impl Descriptor {
    /// The inode of a socket.
    pub fn socket(&self) -> Option<u64> {
        self.name.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    }
}

/// All descriptors by number, and whether there are more. Permission is that of PTRACE_MODE_READ.
pub fn descriptors(pid: Pid) -> io::Result<(Vec<Descriptor>, bool)> {
    let mut numbers: Vec<i32> = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))?.take(MOST_DESCRIPTORS + 1) {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    numbers.sort_unstable();
    let more = numbers.len() > MOST_DESCRIPTORS;
    numbers.truncate(MOST_DESCRIPTORS);
    Ok((numbers.into_iter().filter_map(|number| descriptor(pid, number)).collect(), more))
}

/// One descriptor; `None`: it was closed since they were listed.
fn descriptor(pid: Pid, number: i32) -> Option<Descriptor> {
    let name = fs::read_link(format!("/proc/{pid}/fd/{number}")).ok()?.to_string_lossy().into_owned();
    let mut found = Descriptor { number, name, position: None, flags: None, details: Vec::new() };
    let mut bytes = Vec::new();
    if let Ok(file) = fs::File::open(format!("/proc/{pid}/fdinfo/{number}"))
        && file.take(LONGEST_INFO).read_to_end(&mut bytes).is_ok()
    {
        found.inform(&String::from_utf8_lossy(&bytes));
    }
    Some(found)
}

impl Descriptor {
    fn inform(&mut self, text: &str) {
        for line in text.lines() {
            match line.split_once(':') {
                Some(("pos", value)) => self.position = value.trim().parse().ok(),
                Some(("flags", value)) => self.flags = u32::from_str_radix(value.trim(), 8).ok(),
                Some(("mnt_id" | "ino", _)) => {}
                _ => self.details.push(line.split_whitespace().collect::<Vec<_>>().join(" ")),
            }
        }
    }
}

/// The words for the flags of open(2), without the access mode (include/uapi/asm-generic/fcntl.h).
pub fn flag_words(flags: u32) -> Vec<&'static str> {
    const WORDS: [(u32, &str); 10] = [
        (0o2000, "append"),
        (0o4000, "nonblock"),
        (0o10_000, "dsync"),
        (0o20_000, "async"),
        (0o40_000, "direct"),
        (0o200_000, "directory"),
        (0o1_000_000, "noatime"),
        (0o2_000_000, "cloexec"),
        (0o4_000_000, "sync"),
        (0o10_000_000, "path"),
    ];
    WORDS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, word)| *word).collect()
}

/// What the access mode allows: `r`, `w` or `rw`.
pub fn access_word(flags: u32) -> &'static str {
    match flags & 3 {
        0 => "r",
        1 => "w",
        _ => "rw",
    }
}

/// A socket by its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// `tcp`, `tcp6`, `udp`, `udp6`, `raw`, `raw6`, `unix`, `netlink`, `packet`.
    pub kind: &'static str,
    /// Its own address: of a unix socket its path, which may hold any characters and begins with `@` where it is abstract.
    pub local: Option<String>,
    /// The other end's.
    pub remote: Option<String>,
    /// `ESTABLISHED`, `LISTEN`, and so on.
    pub state: Option<&'static str>,
}

/// The tables, and where in a line the inode stands.
const TABLES: [(&str, usize); 9] = [
    ("tcp", 9),
    ("tcp6", 9),
    ("udp", 9),
    ("udp6", 9),
    ("raw", 9),
    ("raw6", 9),
    ("unix", 6),
    ("netlink", 9),
    ("packet", 8),
];

/// The sockets with these inodes, as the network namespace of the process has them. A table that cannot be read has none.
pub fn sockets(pid: Pid, inodes: &[u64]) -> BTreeMap<u64, Socket> {
    let mut found = BTreeMap::new();
    for (kind, place) in TABLES {
        let Ok(file) = fs::File::open(format!("/proc/{pid}/net/{kind}")) else { continue };
        for line in BufReader::new(file.take(LONGEST_TABLE)).split(b'\n') {
            if found.len() == inodes.len() {
                return found;
            }
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line);
            let words: Vec<&str> = line.split_whitespace().collect();
            let inode = words.get(place).and_then(|word| word.parse().ok());
            if let Some(inode) = inode.filter(|inode| inodes.contains(inode)) {
                found.insert(inode, socket(kind, &words, &line));
            }
        }
    }
    found
}

fn socket(kind: &'static str, words: &[&str], line: &str) -> Socket {
    let mut socket = Socket { kind, local: None, remote: None, state: None };
    match kind {
        "unix" => {
            socket.local = path_of(line).map(str::to_owned);
            let listens = words.get(3).and_then(|flags| u32::from_str_radix(flags, 16).ok());
            // __SO_ACCEPTCON, include/uapi/linux/net.h.
            socket.state = match (listens.is_some_and(|flags| flags & 0x1_0000 != 0), words.get(5)) {
                (true, _) => Some("LISTEN"),
                (false, Some(&"03")) => Some("CONNECTED"),
                _ => None,
            };
        }
        "netlink" | "packet" => {}
        _ => {
            socket.local = words.get(1).and_then(|word| address(word)).map(|address| address.to_string());
            let remote = words.get(2).and_then(|word| address(word)).filter(|address| address.port() != 0);
            socket.remote = remote.map(|address| address.to_string());
            let state = words.get(3).and_then(|word| usize::from_str_radix(word, 16).ok());
            socket.state = state.filter(|_| kind.starts_with("tcp")).and_then(|state| TCP_STATES.get(state).copied());
        }
    }
    socket
}

/// include/net/tcp_states.h.
const TCP_STATES: [&str; 13] = [
    "?",
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "NEW_SYN_RECV",
];

/// The eighth word of a line of the unix table and what follows it: a path may hold blanks.
fn path_of(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    for _ in 0..7 {
        rest = rest.split_once(char::is_whitespace)?.1.trim_start();
    }
    (!rest.is_empty()).then_some(rest)
}

/// `0100007F:1F90`: the address in words of the machine's order, the port in the usual one.
fn address(word: &str) -> Option<SocketAddr> {
    let (host, port) = word.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::with_capacity(16);
    for at in (0..host.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(host.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(bytes) => Some((Ipv4Addr::from(bytes), port).into()),
        Err(_) => Some((Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?), port).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    use super::*;
    use crate::kernel::own;

    #[test]
    fn own_descriptors_are_what_they_are() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let file = fs::File::open("/proc/self/stat").expect("a file");
        let (all, more) = descriptors(own::pid()).expect("own descriptors");
        assert!(!more);
        let find = |number| all.iter().find(|one| one.number == number).expect("it is open");
        let socket = find(listener.as_raw_fd()).socket().expect("it is a socket");
        let known = sockets(own::pid(), &[socket]);
        let local = listener.local_addr().expect("an address").to_string();
        assert_eq!(known[&socket], Socket { kind: "tcp", local: Some(local), remote: None, state: Some("LISTEN") });
        let file = find(file.as_raw_fd());
        assert!(file.name.ends_with("/stat") && file.position == Some(0), "{file:?}");
        assert!(flag_words(file.flags.expect("flags")).contains(&"cloexec"));
        assert_eq!(access_word(file.flags.expect("flags")), "r");
    }

    #[test]
    fn addresses_and_paths_of_the_tables() {
        for (word, expected) in [
            ("0100007F:1F90", Some("127.0.0.1:8080")),
            ("00000000000000000000000001000000:0016", Some("[::1]:22")),
            ("0100007F", None),
            ("0100:1", None),
            ("zz00007F:1F90", None),
        ] {
            assert_eq!(address(word).map(|address| address.to_string()).as_deref(), expected, "{word}");
        }
        let line = "0000000000000000: 00000002 00000000 00010000 0001 01 20474 /run/a b/sock";
        assert_eq!(path_of(line), Some("/run/a b/sock"));
        assert_eq!(path_of("0: 2 0 0 1 1 20474"), None);
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(socket("unix", &words, line).state, Some("LISTEN"));
    }

    #[test]
    fn what_fdinfo_tells_is_taken_apart() {
        let mut one = Descriptor { number: 3, name: String::new(), position: None, flags: None, details: Vec::new() };
        one.inform("pos:\t12\nflags:\t02004002\nmnt_id:\t15\nino:\t7\neventfd-count:                3\n");
        assert_eq!((one.position, one.flags), (Some(12), Some(0o2_004_002)));
        assert_eq!(one.details, ["eventfd-count: 3"]);
        assert_eq!(flag_words(0o2_004_002), ["nonblock", "cloexec"]);
    }
}
