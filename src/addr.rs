//! Identities and addresses as types of their own, so that a tid is never taken for a pid nor a file address for a
//! process address. Knows nothing of the kernel, of files or of processes.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

/// A process: the kernel's *thread group id* (`Tgid:` in proc_pid_status(5)), as `ps` and `getpid(2)` show it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Pid(pub i32);

/// One thread, as `gettid(2)` shows it. The leader's tid equals its process's pid. The kernel gives a tid to another
/// thread once its owner is gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Tid(pub i32);

impl Pid {
    /// The tid of the process's first thread, its leader.
    pub fn leader(self) -> Tid {
        Tid(self.0)
    }
}

/// An address in a process, as its registers hold it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct RuntimeAddr(pub u64);

/// An address as the linker wrote it into a file, before the loader moved the file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct LinkAddr(pub u64);

/// How far the loader moved a file: `RuntimeAddr = LinkAddr + LoadBias`, modulo 2^64. 0 for a program that is not
/// position independent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoadBias(pub u64);

impl LoadBias {
    /// Where a file address is in the process.
    pub fn runtime(self, addr: LinkAddr) -> RuntimeAddr {
        RuntimeAddr(addr.0.wrapping_add(self.0))
    }

    /// Where a process address is in the file.
    pub fn link(self, addr: RuntimeAddr) -> LinkAddr {
        LinkAddr(addr.0.wrapping_sub(self.0))
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for RuntimeAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for LinkAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bias_goes_both_ways_and_wraps() {
        let bias = LoadBias(0u64.wrapping_sub(0x1000));
        assert_eq!(bias.runtime(LinkAddr(0x3000)), RuntimeAddr(0x2000));
        assert_eq!(bias.link(RuntimeAddr(0x2000)), LinkAddr(0x3000));
    }
}
