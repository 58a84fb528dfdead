//! ptrace(2) requests. They are methods of [`Tracer`], a token that cannot leave the thread that made it, because the
//! kernel answers ESRCH to a request from any other thread. Every request can answer ESRCH at any time: the tracee may
//! have been killed. Refuses to decide what to do about it.

use std::marker::PhantomData;
use std::{mem, ptr};

use nix::errno::Errno;
use nix::libc::{self, c_void};

use super::arch::Registers;
use super::own;
use super::signal::{Signal, SignalOrigin};
use crate::addr::{Pid, RuntimeAddr, Tid};

/// The right to make ptrace requests. All tracees belong to the thread that seized them.
///
/// ```compile_fail,E0277
/// let tracer = godbg::kernel::ptrace::Tracer::on_this_thread();
/// std::thread::spawn(move || tracer); // a tracer cannot be sent to another thread
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Tracer {
    not_send: PhantomData<*const ()>,
}

/// Whether the kernel ends the tracees when the tracer dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnTracerDeath {
    /// They go on running: the only right thing for a process that godbg did not start.
    LetRun,
    /// PTRACE_O_EXITKILL, for what godbg itself started.
    Kill,
}

impl Tracer {
    /// The token for the calling thread.
    pub fn on_this_thread() -> Tracer {
        Tracer { not_send: PhantomData }
    }

    /// The thread that `TracerPid:` names in the status of its tracees.
    pub fn tid(self) -> Tid {
        own::tid()
    }

    /// PTRACE_SEIZE: makes a thread a tracee without stopping it. New threads, children and exec are followed from then
    /// on. EPERM has many reasons: see [`access`](super::access).
    pub fn seize(self, tid: Tid, death: OnTracerDeath) -> Result<(), Errno> {
        request(libc::PTRACE_SEIZE, tid, 0, options(Follow::default(), death) as usize)
    }

    /// PTRACE_INTERRUPT: asks a running tracee to stop. No signal is sent. The stop that follows is the answer or an
    /// event that came first.
    pub fn interrupt(self, tid: Tid) -> Result<(), Errno> {
        request(libc::PTRACE_INTERRUPT, tid, 0, 0)
    }

    /// PTRACE_CONT: lets a stopped tracee run, passing on a signal only from a signal-delivery-stop.
    pub fn cont(self, tid: Tid, signal: Option<Signal>) -> Result<(), Errno> {
        request(libc::PTRACE_CONT, tid, 0, number(signal))
    }

    /// PTRACE_LISTEN: leaves a thread in its group-stop, but lets job control wake it.
    pub fn listen(self, tid: Tid) -> Result<(), Errno> {
        request(libc::PTRACE_LISTEN, tid, 0, 0)
    }

    /// PTRACE_DETACH: lets go of a *stopped* tracee; of a running one it answers ESRCH. A group-stop lasts.
    pub fn detach(self, tid: Tid, signal: Option<Signal>) -> Result<(), Errno> {
        request(libc::PTRACE_DETACH, tid, 0, number(signal))
    }

    /// PTRACE_SINGLESTEP: lets a stopped tracee make one instruction; the stop that follows is a SIGTRAP.
    pub fn step(self, tid: Tid, signal: Option<Signal>) -> Result<(), Errno> {
        request(libc::PTRACE_SINGLESTEP, tid, 0, number(signal))
    }

    /// PTRACE_SYSCALL: lets a stopped tracee run to the next entry to or return from a system call.
    pub fn cont_to_syscall(self, tid: Tid, signal: Option<Signal>) -> Result<(), Errno> {
        request(libc::PTRACE_SYSCALL, tid, 0, number(signal))
    }

    /// PTRACE_GET_SYSCALL_INFO: whether a thread in a syscall-stop enters or leaves its call. `None`: it is in neither.
    pub fn syscall_stop(self, tid: Tid) -> Result<Option<SyscallStop>, Errno> {
        let mut info = SyscallInfo::default();
        request(libc::PTRACE_GET_SYSCALL_INFO, tid, mem::size_of::<SyscallInfo>(), &raw mut info as usize)?;
        let [number, args @ ..] = info.words;
        Ok(match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => {
                Some(SyscallStop::Entry { number, args, native: info.arch == AUDIT_ARCH_NATIVE })
            }
            libc::PTRACE_SYSCALL_INFO_EXIT => {
                Some(SyscallStop::Exit { result: number as i64, is_error: args[0] & 0xff != 0 })
            }
            _ => None,
        })
    }

    /// PTRACE_GETEVENTMSG: the new tid of a clone, fork or vfork, the former tid of an exec.
    pub fn event_message(self, tid: Tid) -> Result<u64, Errno> {
        let mut message: libc::c_ulong = 0;
        request(libc::PTRACE_GETEVENTMSG, tid, 0, &raw mut message as usize)?;
        Ok(message)
    }

    /// PTRACE_GETSIGINFO of a signal-delivery-stop: who sent the signal.
    pub fn signal_origin(self, tid: Tid) -> Result<SignalOrigin, Errno> {
        // SAFETY: plain data for which all zeroes is a value.
        let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
        request(libc::PTRACE_GETSIGINFO, tid, 0, &raw mut info as usize)?;
        Ok(SignalOrigin::from_siginfo(&info))
    }

    /// PTRACE_GETSIGINFO: the whole `siginfo_t` of a signal-delivery-stop.
    pub fn signal_info(self, tid: Tid) -> Result<SignalInfo, Errno> {
        let mut info = SignalInfo([0; SIGINFO_WORDS]);
        request(libc::PTRACE_GETSIGINFO, tid, 0, &raw mut info as usize)?;
        Ok(info)
    }

    /// PTRACE_SETSIGINFO: what the thread is told of the signal that it gets next.
    pub fn set_signal_info(self, tid: Tid, info: &SignalInfo) -> Result<(), Errno> {
        request(libc::PTRACE_SETSIGINFO, tid, 0, &raw const *info as usize)
    }

    /// PTRACE_PEEKSIGINFO of the thread's own queue: whether a SIGTRAP of the kernel's making waits there, to be met when the
    /// thread goes on.
    pub fn has_pending_trap(self, tid: Tid) -> Result<bool, Errno> {
        const AT_ONCE: usize = 16;
        let mut infos = [SignalInfo([0; SIGINFO_WORDS]); AT_ONCE];
        let mut from = 0;
        loop {
            let what = libc::ptrace_peeksiginfo_args { off: from, flags: 0, nr: AT_ONCE as i32 };
            // SAFETY: the kernel writes at most `nr` siginfos into live memory, and reads `what`.
            let got = unsafe {
                libc::ptrace(libc::PTRACE_PEEKSIGINFO, tid.0, (&raw const what).cast_mut(), infos.as_mut_ptr())
            };
            let got = Errno::result(got)? as usize;
            if infos[..got].iter().any(|info| info.signal() == libc::SIGTRAP && info.code() > 0) {
                return Ok(true);
            }
            if got < AT_ONCE {
                return Ok(false);
            }
            from += got as u64;
        }
    }

    /// PTRACE_GETSIGMASK: the signals that a thread blocks, bit N-1 for signal N.
    pub fn signal_mask(self, tid: Tid) -> Result<u64, Errno> {
        let mut mask = 0u64;
        request(libc::PTRACE_GETSIGMASK, tid, mem::size_of::<u64>(), &raw mut mask as usize)?;
        Ok(mask)
    }

    /// PTRACE_SETSIGMASK: see [`Tracer::signal_mask`].
    pub fn set_signal_mask(self, tid: Tid, mask: u64) -> Result<(), Errno> {
        request(libc::PTRACE_SETSIGMASK, tid, mem::size_of::<u64>(), &raw const mask as usize)
    }

    /// Lets an endless wait that this stop has broken off go on as if nothing had been: see [`Registers::restart`].
    pub fn mend_interrupted_call(self, tid: Tid) -> Result<(), Errno> {
        match self.registers(tid)?.restart() {
            Some((offset, value)) => request(libc::PTRACE_POKEUSER, tid, offset, value as usize),
            None => Ok(()),
        }
    }

    /// PTRACE_GETREGSET NT_PRSTATUS: the general registers of a stopped tracee, in one request.
    pub fn registers(self, tid: Tid) -> Result<Registers, Errno> {
        let mut registers = Registers::default();
        let mut slot =
            libc::iovec { iov_base: (&raw mut registers).cast::<c_void>(), iov_len: mem::size_of::<Registers>() };
        request(libc::PTRACE_GETREGSET, tid, libc::NT_PRSTATUS as usize, &raw mut slot as usize)?;
        Ok(registers)
    }

    /// PTRACE_SETREGSET NT_PRSTATUS: all general registers of a stopped tracee.
    pub fn set_registers(self, tid: Tid, registers: &Registers) -> Result<(), Errno> {
        let slot = libc::iovec {
            iov_base: (&raw const *registers).cast::<c_void>().cast_mut(),
            iov_len: mem::size_of::<Registers>(),
        };
        request(libc::PTRACE_SETREGSET, tid, libc::NT_PRSTATUS as usize, &raw const slot as usize)
    }

    /// PTRACE_GETREGSET NT_X86_XSTATE: x87, SSE, AVX and what else the processor has, in XSAVE's standard layout (Intel
    /// SDM volume 1, chapter 13). ENODEV: no XSAVE.
    pub fn extended_registers(self, tid: Tid) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0u8; LARGEST_XSAVE];
        let mut slot = libc::iovec { iov_base: bytes.as_mut_ptr().cast::<c_void>(), iov_len: bytes.len() };
        request(libc::PTRACE_GETREGSET, tid, NT_X86_XSTATE, &raw mut slot as usize)?;
        bytes.truncate(slot.iov_len);
        Ok(bytes)
    }

    /// PTRACE_SETREGSET NT_X86_XSTATE: what [`Tracer::extended_registers`] gave, changed.
    pub fn set_extended_registers(self, tid: Tid, bytes: &[u8]) -> Result<(), Errno> {
        let slot = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast::<c_void>(), iov_len: bytes.len() };
        request(libc::PTRACE_SETREGSET, tid, NT_X86_XSTATE, &raw const slot as usize)
    }

    /// PTRACE_GETREGSET NT_PRFPREG: x87 and SSE as FXSAVE lays them out, `struct user_fpregs_struct`.
    pub fn float_registers(self, tid: Tid) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0u8; mem::size_of::<libc::user_fpregs_struct>()];
        let mut slot = libc::iovec { iov_base: bytes.as_mut_ptr().cast::<c_void>(), iov_len: bytes.len() };
        request(libc::PTRACE_GETREGSET, tid, NT_PRFPREG, &raw mut slot as usize)?;
        Ok(bytes)
    }

    /// PTRACE_GET_RSEQ_CONFIGURATION: where the thread has registered its restartable sequences (rseq(2)). `None`: it has
    /// not, or the kernel is older than 5.13.
    pub fn rseq_area(self, tid: Tid) -> Option<RuntimeAddr> {
        // struct ptrace_rseq_configuration: pointer, size, signature, flags, pad.
        let mut answer = [0u64; 3];
        request(PTRACE_GET_RSEQ_CONFIGURATION, tid, mem::size_of_val(&answer), &raw mut answer as usize).ok()?;
        (answer[0] != 0).then_some(RuntimeAddr(answer[0]))
    }

    /// PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG: whether the thread has its own system calls turned into signals (prctl(2),
    /// PR_SET_SYSCALL_USER_DISPATCH). A kernel older than 6.4 does not tell: then no.
    pub fn dispatches_syscalls(self, tid: Tid) -> bool {
        // struct ptrace_sud_config: mode, selector, offset, length.
        let mut answer = [0u64; 4];
        let size = mem::size_of_val(&answer);
        request(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, tid, size, &raw mut answer as usize).is_ok() && answer[0] != 0
    }

    /// PTRACE_PEEKUSER of debug register `index`, 0 to 7.
    pub fn debug_register(self, tid: Tid, index: usize) -> Result<u64, Errno> {
        let mut value: libc::c_long = 0;
        // The system call itself writes the word through its data argument; libc's wrapper would return it.
        // SAFETY: `value` is live and writable.
        let answer = unsafe {
            libc::syscall(libc::SYS_ptrace, libc::PTRACE_PEEKUSER, tid.0, debug_register_offset(index), &raw mut value)
        };
        Errno::result(answer).map(|_| value as u64)
    }

    /// PTRACE_POKEUSER of debug register `index`. EINVAL: an address or a length that the processor cannot watch.
    pub fn set_debug_register(self, tid: Tid, index: usize, value: u64) -> Result<(), Errno> {
        request(libc::PTRACE_POKEUSER, tid, debug_register_offset(index), value as usize)
    }

    /// PTRACE_SETOPTIONS: see [`Follow`].
    pub fn follow(self, tid: Tid, follow: Follow, death: OnTracerDeath) -> Result<(), Errno> {
        request(libc::PTRACE_SETOPTIONS, tid, 0, options(follow, death) as usize)
    }
}

/// What else than births and exec a tracee is to report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Follow {
    /// PTRACE_O_TRACEEXIT: a thread is about to end.
    pub exit: bool,
}

/// A syscall-stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyscallStop {
    /// The call is about to begin.
    Entry {
        /// Its number.
        number: u64,
        /// All six argument registers.
        args: [u64; 6],
        /// Whether the number is of this machine's own convention: 32-bit programs have another.
        native: bool,
    },
    /// The call returns.
    Exit {
        /// What it returns, a negative error number if it failed.
        result: i64,
        /// Whether it failed.
        is_error: bool,
    },
}

/// `struct ptrace_syscall_info` (include/uapi/linux/ptrace.h). At an exit the second of the words begins with `is_error`.
#[derive(Default)]
#[repr(C)]
struct SyscallInfo {
    op: u8,
    padding: [u8; 3],
    arch: u32,
    instruction_pointer: u64,
    stack_pointer: u64,
    words: [u64; 7],
}

/// `AUDIT_ARCH_X86_64` (include/uapi/linux/audit.h).
const AUDIT_ARCH_NATIVE: u32 = 0xc000_003e;

/// A raw `siginfo_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C, align(8))]
pub struct SignalInfo(pub [u64; SIGINFO_WORDS]);

impl SignalInfo {
    /// `si_signo`.
    pub fn signal(&self) -> i32 {
        self.0[0] as i32
    }

    /// `si_code`: positive for what the kernel itself has raised, sigaction(2).
    pub fn code(&self) -> i32 {
        self.0[1] as i32
    }

    /// `si_addr`: the instruction or memory of a fault.
    pub fn address(&self) -> RuntimeAddr {
        RuntimeAddr(self.0[2])
    }

    /// Gives it another `si_code`, and `si_addr`.
    pub fn mark(&mut self, code: i32, addr: RuntimeAddr) {
        self.0[1] = u64::from(code as u32);
        self.0[2] = addr.0;
    }
}

/// The kernel's siginfo_t has 128 bytes.
const SIGINFO_WORDS: usize = 16;

/// `include/uapi/linux/ptrace.h`; libc has neither.
const PTRACE_GET_RSEQ_CONFIGURATION: libc::c_uint = 0x420f;
const PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG: libc::c_uint = 0x4211;

/// `NT_PRFPREG` (include/uapi/linux/elf.h).
const NT_PRFPREG: usize = 2;

/// `NT_X86_XSTATE` (include/uapi/linux/elf.h).
const NT_X86_XSTATE: usize = 0x202;

/// The largest XSAVE area there is: AMX's tiles alone take 8 KiB.
const LARGEST_XSAVE: usize = 16 << 10;

fn debug_register_offset(index: usize) -> usize {
    mem::offset_of!(libc::user, u_debugreg) + index * mem::size_of::<u64>()
}

fn options(follow: Follow, death: OnTracerDeath) -> i32 {
    let mut options = libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_TRACEVFORKDONE;
    for (wanted, option) in
        [(follow.exit, libc::PTRACE_O_TRACEEXIT), (death == OnTracerDeath::Kill, libc::PTRACE_O_EXITKILL)]
    {
        options |= if wanted { option } else { 0 };
    }
    options
}

fn number(signal: Option<Signal>) -> usize {
    signal.map_or(0, |signal| signal.0 as usize)
}

fn request(request: libc::c_uint, tid: Tid, addr: usize, data: usize) -> Result<(), Errno> {
    // SAFETY: requests made here write at most through `data`, which then points to live memory of the right size.
    let answer = unsafe { libc::ptrace(request, tid.0, addr as *mut c_void, data as *mut c_void) };
    Errno::result(answer).map(drop)
}

/// Whether the ptrace system call itself is refused (a seccomp filter): a request on a process that cannot exist is
/// answered ESRCH by the kernel and anything else by a filter.
pub fn is_filtered() -> bool {
    // SAFETY: no memory is involved; the pid is above any `pid_max` (at most 2^22, proc_sys_kernel(5)).
    let answer =
        unsafe { libc::ptrace(libc::PTRACE_SEIZE, i32::MAX, ptr::null_mut::<c_void>(), ptr::null_mut::<c_void>()) };
    answer == -1 && Errno::last() != Errno::ESRCH
}

/// Sends a signal to a process, kill(2).
pub fn kill(pid: Pid, signal: Signal) -> Result<(), Errno> {
    // SAFETY: no memory is involved.
    Errno::result(unsafe { libc::kill(pid.0, signal.0) }).map(drop)
}

/// Sends a signal to one thread of a process, tgkill(2). Its `si_code` is SI_TKILL and its sender godbg.
pub fn tgkill(pid: Pid, tid: Tid, signal: Signal) -> Result<(), Errno> {
    // SAFETY: no memory is involved.
    Errno::result(unsafe { libc::syscall(libc::SYS_tgkill, pid.0, tid.0, signal.0) }).map(drop)
}
