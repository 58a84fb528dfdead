//! Where an unwinder reads: a process that is held, in large pieces because single reads are slow, or copies that were made of
//! one. Knows no frame.

use std::cell::RefCell;

use rustc_hash::FxHashMap;

use super::super::Process;
use crate::addr::RuntimeAddr;
use crate::kernel::memory::PAGE;

/// Memory as an unwinder needs it.
pub trait StackMemory {
    /// Fills the buffer as far as memory goes: how many bytes.
    fn read(&self, addr: RuntimeAddr, buffer: &mut [u8]) -> usize;

    /// Whether an address may well be memory that is only not here.
    fn is_beyond(&self, addr: RuntimeAddr) -> bool {
        let _ = addr;
        false
    }

    /// Eight bytes, little-endian.
    fn word(&self, addr: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        // What begins at the end of the address space ends nowhere.
        addr.checked_add(8)?;
        (self.read(RuntimeAddr(addr), &mut bytes) == 8).then(|| u64::from_le_bytes(bytes))
    }
}

/// The memory of a process that is held.
pub struct HeldMemory<'a> {
    process: &'a Process,
    pages: RefCell<FxHashMap<u64, Box<[u8]>>>,
}

/// So much is read at once: most stacks are smaller.
const PIECE: u64 = 4 * PAGE;

/// So many pieces are kept.
const MOST_PIECES: usize = 4096;

impl<'a> HeldMemory<'a> {
    /// Of a process; it must stand still while this is used.
    pub fn of(process: &'a Process) -> HeldMemory<'a> {
        HeldMemory { process, pages: RefCell::default() }
    }

    /// Copies what is there of the piece that holds an address.
    fn piece(&self, start: u64, buffer: &mut [u8], skip: usize) -> usize {
        let mut pieces = self.pages.borrow_mut();
        if pieces.len() >= MOST_PIECES {
            pieces.clear();
        }
        let bytes = pieces.entry(start).or_insert_with(|| {
            let mut bytes = vec![0; PIECE as usize];
            // An error is that of a process that has ended: it has no memory.
            let got = self.process.read_memory_partly(RuntimeAddr(start), &mut bytes).unwrap_or(0);
            bytes.truncate(got);
            bytes.into()
        });
        let there = bytes.get(skip..).unwrap_or_default();
        let count = there.len().min(buffer.len());
        buffer[..count].copy_from_slice(&there[..count]);
        count
    }
}

impl StackMemory for HeldMemory<'_> {
    fn read(&self, addr: RuntimeAddr, buffer: &mut [u8]) -> usize {
        let mut done = 0;
        while done < buffer.len() {
            let Some(at) = addr.0.checked_add(done as u64) else { break };
            let start = at - at % PIECE;
            let mut got = self.piece(start, &mut buffer[done..], (at - start) as usize);
            if got == 0 {
                // A piece may begin where nothing is mapped.
                got = self.process.read_memory_partly(RuntimeAddr(at), &mut buffer[done..]).unwrap_or(0);
                return done + got;
            }
            done += got;
        }
        done
    }
}
