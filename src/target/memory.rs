//! The memory of the traced process as its program sees it: what godbg itself has put there is hidden from reads and kept
//! over writes. Works while the process runs as well; stops nothing. Refuses to know what the bytes mean.

use std::rc::Rc;

use super::process::Process;
use super::thread::State;
use crate::addr::{Pid, RuntimeAddr};
use crate::kernel::maps::Mappings;
use crate::kernel::memory::Memory;
use crate::kernel::{Errno, proc};

/// Memory that could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No memory is mapped at the first bad address, or it has none behind it (a file that is shorter than its mapping).
    #[error("cannot {verb} memory at {addr}: {why}")]
    Bad {
        /// `read` or `write`.
        verb: &'static str,
        /// The first address that is bad.
        addr: RuntimeAddr,
        /// How many bytes before it were good, and have been read or written.
        done: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The process's memory is gone: it has ended.
    #[error("the memory of process {0} is gone: it has ended")]
    Gone(Pid),
    /// The kernel refuses.
    #[error("cannot open the memory of process {pid}: {}", .errno.desc())]
    Refused {
        /// The process.
        pid: Pid,
        /// What it answered.
        errno: Errno,
    },
}

impl Process {
    /// Fills the buffer, or says which address is the first that cannot be read.
    pub fn read_memory(&self, addr: RuntimeAddr, buffer: &mut [u8]) -> Result<(), Fault> {
        let done = self.read_memory_partly(addr, buffer)?;
        if done == buffer.len() { Ok(()) } else { Err(self.fault("read", addr, done)) }
    }

    /// Fills the buffer as far as memory goes: how many bytes were read, which can be 0.
    pub fn read_memory_partly(&self, addr: RuntimeAddr, buffer: &mut [u8]) -> Result<usize, Fault> {
        let done = self.memory()?.read(addr, buffer).map_err(|errno| self.gone(errno))?;
        self.hide_patches(addr, &mut buffer[..done]);
        Ok(done)
    }

    /// Like [`Process::read_memory_partly`], for much at once: faster, but only what the program itself may read.
    pub fn read_memory_fast(&self, addr: RuntimeAddr, buffer: &mut [u8]) -> Result<usize, Fault> {
        let done = self.memory()?.read_fast(addr, buffer).map_err(|errno| self.gone(errno))?;
        self.hide_patches(addr, &mut buffer[..done]);
        Ok(done)
    }

    /// Reads many ranges into one buffer, which is as long as all of them together; stops at the first that cannot be read.
    pub fn read_many(&self, ranges: &[(RuntimeAddr, usize)], buffer: &mut [u8]) -> Result<usize, Fault> {
        let done = self.memory()?.read_many(ranges, buffer).map_err(|errno| self.gone(errno))?;
        let mut begin = 0;
        for (addr, length) in ranges {
            let end = (begin + length).min(done);
            if begin < end {
                self.hide_patches(*addr, &mut buffer[begin..end]);
            }
            begin += length;
        }
        Ok(done)
    }

    /// Writes all the bytes, whatever the protection of their pages, or says which address is the first that cannot be
    /// written. A breakpoint among them stays.
    pub fn write_memory(&mut self, addr: RuntimeAddr, bytes: &[u8]) -> Result<(), Fault> {
        let memory = self.memory()?;
        let patched = self.keep_patches(addr, bytes);
        let done = memory.write(addr, patched.as_deref().unwrap_or(bytes)).map_err(|errno| self.gone(errno))?;
        if done == bytes.len() { Ok(()) } else { Err(self.fault("write", addr, done)) }
    }

    /// Its mappings now, through whichever thread still has memory: a leader that has exited has none.
    pub fn mappings(&self) -> Result<Mappings, Fault> {
        let mut seen = self.threads.keys().filter_map(|tid| Mappings::of(Pid(tid.0)).ok());
        seen.find(|maps| !maps.is_empty()).ok_or(Fault::Gone(self.pid))
    }

    /// The file, opened once for each program that the process executes.
    pub(super) fn memory(&self) -> Result<Rc<Memory>, Fault> {
        if let Some(memory) = &*self.memory.borrow() {
            return Ok(memory.clone());
        }
        // A leader that has exited has no memory any more; any other thread has.
        let live = |state: State| state != State::Zombie;
        let tid = self.threads.iter().find(|(_, thread)| live(thread.state)).map_or(self.pid.leader(), |(tid, _)| *tid);
        let opened = Memory::open(self.pid, tid).map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
            None | Some(Errno::ENOENT | Errno::ESRCH) => Fault::Gone(self.pid),
            Some(errno) => Fault::Refused { pid: self.pid, errno },
        })?;
        let memory = Rc::new(opened);
        *self.memory.borrow_mut() = Some(memory.clone());
        Ok(memory)
    }

    /// After an exec the memory is another.
    pub(super) fn forget_memory(&mut self) {
        *self.memory.borrow_mut() = None;
    }

    fn gone(&self, errno: Errno) -> Fault {
        if errno == Errno::ESRCH || proc::thread_count(self.pid).is_err() {
            return Fault::Gone(self.pid);
        }
        Fault::Refused { pid: self.pid, errno }
    }

    fn fault(&self, verb: &'static str, addr: RuntimeAddr, done: usize) -> Fault {
        let bad = RuntimeAddr(addr.0.wrapping_add(done as u64));
        let why = match self.mappings() {
            Err(gone) => return gone,
            Ok(mappings) => match mappings.find(bad) {
                None => "nothing is mapped there".to_owned(),
                Some(mapping) => match &mapping.name {
                    Some(name) if name == "[vsyscall]" || name == "[vvar]" => {
                        format!("the kernel does not let {name} be reached")
                    }
                    Some(name) => format!("{name} is mapped there, but has no byte behind that page"),
                    None => "the page cannot be reached".to_owned(),
                },
            },
        };
        Fault::Bad { verb, addr: bad, done, why }
    }

    /// Puts the program's own bytes over what godbg has written into a range.
    fn hide_patches(&self, addr: RuntimeAddr, bytes: &mut [u8]) {
        self.steering.sites.hide(addr, bytes);
    }

    /// The bytes to write where breakpoints lie in a range: theirs stay, and the new ones are what is put back later.
    fn keep_patches(&mut self, addr: RuntimeAddr, bytes: &[u8]) -> Option<Vec<u8>> {
        self.steering.sites.keep(addr, bytes)
    }
}
