//! What /proc knows of a traced process beyond its threads: open descriptors and sockets, the auxiliary vector, the
//! environment. Asked through whichever thread still has them; stops nothing.

use std::collections::BTreeMap;
use std::io;

use super::{Fault, Process};
use crate::addr::Pid;
use crate::kernel::Errno;
use crate::kernel::descriptors::{self, Descriptor, Socket};
use crate::kernel::start::{self, Auxiliary};

impl Process {
    /// Its open descriptors by number, and whether there are more than are listed.
    pub fn descriptors(&self) -> Result<(Vec<Descriptor>, bool), Fault> {
        self.through_a_thread(descriptors::descriptors)
    }

    /// Its sockets with these inodes.
    pub fn sockets(&self, inodes: &[u64]) -> BTreeMap<u64, Socket> {
        let tids = self.threads.keys().map(|tid| descriptors::sockets(Pid(tid.0), inodes));
        if inodes.is_empty() {
            BTreeMap::new()
        } else {
            tids.take(2).find(|known| !known.is_empty()).unwrap_or_default()
        }
    }

    /// Its auxiliary vector.
    pub fn auxiliary_vector(&self) -> Result<Vec<Auxiliary>, Fault> {
        self.through_a_thread(|pid| start::auxiliary_vector(pid).and_then(not_empty))
    }

    /// The environment that it was started with.
    pub fn environment(&self) -> Result<Vec<String>, Fault> {
        self.through_a_thread(start::environment)
    }

    /// Asks one thread after the other: a leader that has exited has nothing any more.
    fn through_a_thread<T>(&self, ask: impl Fn(Pid) -> io::Result<T>) -> Result<T, Fault> {
        let mut refused = None;
        for tid in self.threads.keys() {
            match ask(Pid(tid.0)) {
                Ok(answer) => return Ok(answer),
                Err(error) => refused = refused.or(error.raw_os_error().map(Errno::from_raw)),
            }
        }
        match refused {
            None | Some(Errno::ENOENT | Errno::ESRCH) => Err(Fault::Gone(self.pid)),
            Some(errno) => Err(Fault::Refused { pid: self.pid, errno }),
        }
    }
}

/// A process without memory has an empty vector.
fn not_empty<T>(list: Vec<T>) -> io::Result<Vec<T>> {
    if list.is_empty() { Err(io::Error::from_raw_os_error(Errno::ESRCH as i32)) } else { Ok(list) }
}
