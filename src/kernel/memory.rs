//! The memory of another process: `/proc/TID/mem` for what one wants to read or write whatever its protection, and
//! process_vm_readv(2) for much at once. Neither stops anything. Refuses to know what the bytes mean.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::libc;

use crate::addr::{Pid, RuntimeAddr, Tid};

/// The memory of one process, as `/proc/TID/mem` (proc_pid_mem(5)). It stays that of the program that ran when it was opened:
/// after an exec it must be opened again (the old one then reads nothing). Page protection does not matter to it: text can be
/// written, and the page then becomes the process's own copy.
#[derive(Debug)]
pub struct Memory {
    file: File,
    tid: Tid,
}

/// The size of a page on this machine (x86-64 has no other).
pub const PAGE: u64 = 4096;

/// The most ranges that one process_vm_readv(2) takes (IOV_MAX).
const MOST_RANGES: usize = 1024;

impl Memory {
    /// Opens it for reading and writing, by any live thread of the process.
    pub fn open(pid: Pid, tid: Tid) -> io::Result<Memory> {
        let file = OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/task/{tid}/mem"))?;
        Ok(Memory { file, tid })
    }

    /// The open file, for a process that is to inherit it.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Reads until the buffer is full or a page cannot be read. How many bytes were read; 0 with an error of the kernel's
    /// where the process is gone (ESRCH).
    pub fn read(&self, addr: RuntimeAddr, buffer: &mut [u8]) -> Result<usize, Errno> {
        whole(buffer.len(), |done| self.file.read_at(&mut buffer[done..], addr.0.wrapping_add(done as u64)))
    }

    /// Writes until all is written or a page cannot be written. How many bytes were.
    pub fn write(&self, addr: RuntimeAddr, bytes: &[u8]) -> Result<usize, Errno> {
        whole(bytes.len(), |done| self.file.write_at(&bytes[done..], addr.0.wrapping_add(done as u64)))
    }

    /// process_vm_readv(2) of one range: the fastest way to read much, but only what the program itself may read. How many
    /// bytes were read before the first page that cannot be.
    pub fn read_fast(&self, addr: RuntimeAddr, buffer: &mut [u8]) -> Result<usize, Errno> {
        let remote = [libc::iovec { iov_base: addr.0 as *mut libc::c_void, iov_len: buffer.len() }];
        self.vm_read(&remote, buffer)
    }

    /// process_vm_readv(2) of many ranges (address, length) one behind the other into one buffer, which is as long as all
    /// of them. Stops at the first byte that cannot be read; how many bytes were read.
    pub fn read_many(&self, ranges: &[(RuntimeAddr, usize)], buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut done = 0;
        for ranges in ranges.chunks(MOST_RANGES) {
            let remote: Vec<libc::iovec> = ranges
                .iter()
                .map(|(addr, length)| libc::iovec { iov_base: addr.0 as *mut libc::c_void, iov_len: *length })
                .collect();
            let wanted: usize = ranges.iter().map(|(_, length)| length).sum();
            let got = self.vm_read(&remote, &mut buffer[done..done + wanted])?;
            done += got;
            if got < wanted {
                break;
            }
        }
        Ok(done)
    }

    fn vm_read(&self, remote: &[libc::iovec], buffer: &mut [u8]) -> Result<usize, Errno> {
        let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        let count = remote.len() as libc::c_ulong;
        // SAFETY: the kernel writes at most `buffer.len()` bytes into live memory; the remote addresses are only looked up
        // in the other process.
        let got = unsafe { libc::process_vm_readv(self.tid.0, &raw const local, 1, remote.as_ptr(), count, 0) };
        match Errno::result(got) {
            Ok(got) => Ok(got as usize),
            Err(Errno::EFAULT) => Ok(0),
            Err(errno) => Err(errno),
        }
    }
}

/// Calls until all is done or nothing more is. EIO is what `/proc/PID/mem` says of a page that is not there.
fn whole(wanted: usize, mut call: impl FnMut(usize) -> io::Result<usize>) -> Result<usize, Errno> {
    let mut done = 0;
    while done < wanted {
        match call(done) {
            // A process whose memory is gone reads as the end of the file.
            Ok(0) if done == 0 => return Err(Errno::ESRCH),
            Ok(0) => break,
            Ok(got) => done += got,
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EINTR) => {}
                Some(Errno::EIO | Errno::EFAULT) => break,
                // An address above i64::MAX (vsyscall) cannot even be asked for.
                Some(Errno::EINVAL) | None => break,
                Some(errno) => return Err(errno),
            },
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::own;

    #[test]
    fn own_memory_is_read_and_written() {
        let memory = Memory::open(own::pid(), own::pid().leader()).expect("own memory");
        let value = Box::new(0x1122_3344u32);
        let addr = RuntimeAddr(&raw const *value as u64);
        let mut got = [0; 4];
        assert_eq!(memory.read(addr, &mut got), Ok(4));
        assert_eq!(memory.read_fast(addr, &mut got), Ok(4));
        assert_eq!(u32::from_ne_bytes(got), 0x1122_3344);
        let mut twice = [0; 4];
        assert_eq!(memory.read_many(&[(addr, 2), (RuntimeAddr(addr.0 + 2), 2)], &mut twice), Ok(4));
        assert_eq!(twice, got);
        assert_eq!(memory.read(RuntimeAddr(16), &mut got), Ok(0));
        assert_eq!(memory.read_fast(RuntimeAddr(16), &mut got), Ok(0));
    }
}
