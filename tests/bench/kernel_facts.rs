//! What the kernel says about a target that was let go: its text, its debug registers.
//!
//! Asks no debugger.

use anyhow::{Context as _, Result, ensure};
use nix::libc::user;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::mem::offset_of;
use std::os::unix::fs::FileExt as _;
use std::ptr::without_provenance_mut;

/// Fails unless the program's executable mappings hold what its file holds.
pub fn expect_text_of_file(pid: u32) -> Result<()> {
    let program = fs::read_link(format!("/proc/{pid}/exe"))?;
    let (file, memory) = (File::open(&program)?, File::open(format!("/proc/{pid}/mem"))?);
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let mut compared = 0;
    for line in maps.lines().filter(|line| line.ends_with(&*program.to_string_lossy())) {
        let words: Vec<&str> = line.split_whitespace().collect(); // START-END PERMISSIONS OFFSET … (proc_pid_maps(5))
        let (start, end) = words[0].split_once('-').context("an address range")?;
        let number = |word| u64::from_str_radix(word, 16);
        let (start, end, offset) = (number(start)?, number(end)?, number(words[2])?);
        if !words[1].contains('x') {
            continue;
        }
        let in_file = end.min(start + file.metadata()?.len().saturating_sub(offset)) - start; // the rest of the page is zero
        let (mut is, mut was) = (vec![0; in_file as usize], vec![0; in_file as usize]);
        memory.read_exact_at(&mut is, start)?;
        file.read_exact_at(&mut was, offset)?;
        let changed = is.iter().zip(&was).position(|(is, was)| is != was);
        if let Some(at) = changed {
            anyhow::bail!("text changed: {:#x} instead of {:#x}", is[at], was[at]);
        }
        compared += in_file;
    }
    ensure!(compared > 0, "no text of {} is mapped", program.display());
    Ok(())
}

/// The byte at this address, without stopping anybody.
pub fn byte_at(pid: u32, address: u64) -> Result<u8> {
    let mut byte = [0];
    File::open(format!("/proc/{pid}/mem"))?.read_exact_at(&mut byte, address)?;
    Ok(byte[0])
}

/// Fails unless no thread of the process has a hardware breakpoint. Stops each of them for a moment.
pub fn expect_clear_debug_registers(pid: u32) -> Result<()> {
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let name = entry?.file_name();
        let tid = Pid::from_raw(name.to_string_lossy().parse()?);
        ptrace::seize(tid, ptrace::Options::empty()).context("PTRACE_SEIZE")?;
        ptrace::interrupt(tid).context("PTRACE_INTERRUPT")?;
        let stop = waitpid(tid, Some(WaitPidFlag::__WALL))?;
        let registers = [0, 1, 2, 3, 7].map(|number| debug_register(tid, number));
        let signal = match stop {
            WaitStatus::Stopped(_, signal) if signal != Signal::SIGTRAP => Some(signal),
            _ => None,
        };
        ptrace::detach(tid, signal).context("PTRACE_DETACH")?;
        for register in registers {
            let value = register?;
            ensure!(value == 0, "debug registers left behind");
        }
    }
    Ok(())
}

fn debug_register(tid: Pid, number: usize) -> nix::Result<i64> {
    ptrace::read_user(tid, without_provenance_mut(offset_of!(user, u_debugreg) + 8 * number))
}
