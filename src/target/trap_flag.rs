//! The trap flag by which the processor makes single steps, kept from the program's eyes: where an instruction has stored it, and
//! where the kernel takes it for the program's own. Makes no steps itself.

use super::process::{Phase, Process};
use super::{Error, Result, Why};
use crate::addr::{RuntimeAddr, Tid};
use crate::kernel::Errno;
use crate::kernel::arch::{FLAGS_IN_FRAME, FlagUse, R11_IN_FRAME, Registers};
use crate::kernel::wait::{self, Report};

impl Process {
    /// Instructions that store the flags have stored the trap flag as well.
    pub(super) fn hide_trap_flag(&mut self, tid: Tid, before: &Registers, flags: FlagUse) {
        if flags == FlagUse::None || before.has_trap_flag() {
            return;
        }
        let Ok(after) = self.tracer.registers(tid) else { return };
        match flags {
            FlagUse::None | FlagUse::Set => {}
            FlagUse::Pushed => {
                let mut word = [0; 2];
                let at = after.sp();
                if self.read_memory(at, &mut word).is_ok() {
                    let clear = (u16::from_le_bytes(word) & !(Registers::TRAP_FLAG as u16)).to_le_bytes();
                    // The page was written by the instruction itself a moment ago.
                    let _ = self.write_memory(at, &clear);
                }
            }
            // What rt_sigreturn has put into it is the program's.
            FlagUse::InR11 if after.r11 != before.eflags | Registers::TRAP_FLAG => {}
            FlagUse::InR11 => {
                let clear = Registers { r11: after.r11 & !Registers::TRAP_FLAG, ..after };
                // ESRCH: it was killed.
                let _ = self.tracer.set_registers(tid, &clear);
            }
        }
    }

    /// A handler was entered instead of the instruction: what will be given back when it returns holds the trap flag where the
    /// instruction was one that sets the flags, and r11 does where it was a system call that the signal has ended.
    pub(super) fn hide_in_frame(&mut self, tid: Tid, before: &Registers) {
        let Ok(now) = self.tracer.registers(tid) else { return };
        if before.has_trap_flag() || !now.is_64_bit() {
            return;
        }
        self.clear_trap_flag(now.sp().0.wrapping_add(FLAGS_IN_FRAME), |_| true);
        let stored = before.eflags | Registers::TRAP_FLAG;
        self.clear_trap_flag(now.sp().0.wrapping_add(R11_IN_FRAME), |word| word == stored);
    }

    fn clear_trap_flag(&mut self, at: u64, is_stored: impl Fn(u64) -> bool) {
        let (at, mut word) = (RuntimeAddr(at), [0; 8]);
        if self.read_memory(at, &mut word).is_err() {
            return;
        }
        let value = u64::from_le_bytes(word);
        if value & Registers::TRAP_FLAG != 0 && is_stored(value) {
            // The kernel has just written the page itself.
            let _ = self.write_memory(at, &(value & !Registers::TRAP_FLAG).to_le_bytes());
        }
    }

    /// A step of an instruction that sets the flags makes the kernel take its own trap flag for the program's from the next
    /// step on, and leave it set when the thread is let go (`enable_single_step`, arch/x86/kernel/step.c: TIF_SINGLESTEP is
    /// set and TIF_FORCED_TF is not). It forgets the former when a thread is let on without a step; that it is interrupted
    /// already keeps it from making an instruction.
    pub(super) fn forget_step(&mut self, tid: Tid) -> Result<()> {
        // ESRCH: it was killed, and its end comes next.
        if self.tracer.interrupt(tid).is_err() || self.tracer.cont(tid, None).is_err() {
            return Ok(());
        }
        loop {
            match wait::look_until_beat(tid) {
                Ok(Some(Report::Stopped(stop, _))) => {
                    let origin = self.origin_of(tid, stop);
                    self.note_stop(tid, stop, origin, Why::Interrupt);
                    return Ok(());
                }
                Ok(Some(Report::Ended(..))) => {
                    self.note_end(tid);
                    return if matches!(self.phase, Phase::Ended { .. }) {
                        Err(Error::Ended(self.pid))
                    } else {
                        Ok(())
                    };
                }
                Ok(None) | Err(Errno::EINTR) => {}
                Err(_) => return Err(Error::Ended(self.pid)),
            }
        }
    }
}
