//! From a frame of Go to its caller: by Go's own frame sizes, and by what the runtime keeps where it changes stacks
//! (runtime/traceback.go, asm_amd64.s, cgocall.go). Knows no frames of C, and reads nothing but stacks.

use std::cell::{Cell, RefCell};

use rustc_hash::FxHashMap;

use super::unwinder::{Caller, Step, StepContext};
use super::{End, FoundBy, FrameRegisters};
use crate::addr::{LoadBias, RuntimeAddr};
use crate::symbols::unwind::{self, RBP, RBX, RIP, RSP};
use crate::target::goroutines::GoThread;

/// The step of one unwinder.
#[derive(Default)]
pub struct GoStep {
    thread: Cell<Option<GoThread>>,
    /// The stack pointer of the next call from C to Go on the thread's own stack, once one was met.
    callback: Cell<Option<u64>>,
    rules: RefCell<FxHashMap<u64, Option<Rule>>>,
}

/// What is known of an address in Go's code.
#[derive(Clone, Copy, Debug)]
struct Rule {
    kind: Kind,
    size: u64,
    is_entry: bool,
    /// The release, of one that is not known the newest.
    minor: u32,
}

/// Functions of the runtime that leave a stack in a way of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Plain,
    /// Nothing has called it.
    Top,
    /// Runs a function on the thread's own stack and comes back.
    SystemStack,
    /// Leaves the goroutine for the scheduler, or to give it a larger stack: it goes on where the runtime has noted.
    Leaves,
    /// Enters a goroutine where the runtime has noted, by a jump.
    Enters,
    /// Go calls C.
    CallsC,
    /// C has called Go: goes over to the goroutine's stack.
    CalledByC,
    /// Keeps C's registers (`PUSH_REGS_HOST_TO_ABI0`, runtime/cgo/abi_amd64.h).
    KeepsC,
    /// Where the kernel has a handler return to.
    SignalReturn,
    /// Calls the vDSO on the thread's own stack, with the old stack pointer in r12.
    CallsVdso,
    /// What it returns to has not called it.
    Injected,
}

impl Kind {
    fn of(name: &str, is_top: bool) -> Kind {
        match name.strip_suffix(".abi0").unwrap_or(name) {
            "runtime.systemstack" => Kind::SystemStack,
            "runtime.mcall" | "runtime.morestack" => Kind::Leaves,
            "gogo" | "runtime.gogo" => Kind::Enters,
            "runtime.asmcgocall" => Kind::CallsC,
            "runtime.cgocallback" => Kind::CalledByC,
            "crosscall2" | "runtime.sigtramp" | "runtime.cgoSigtramp" => Kind::KeepsC,
            "runtime.sigreturn" | "runtime.sigreturn__sigaction" => Kind::SignalReturn,
            "runtime.nanotime1" | "runtime.walltime" | "runtime.vgetrandom1" | "time.now" => Kind::CallsVdso,
            "runtime.asyncPreempt" | "runtime.sigpanic" => Kind::Injected,
            _ if is_top => Kind::Top,
            _ => Kind::Plain,
        }
    }
}

impl GoStep {
    /// The thread whose stack is walked next; `None`: no thread, or one that the runtime does not know.
    pub fn begin(&self, thread: Option<GoThread>) {
        self.thread.set(thread);
        self.callback.set(None);
    }

    fn rule(&self, context: &StepContext<'_>, addr: u64) -> Option<Rule> {
        *self.rules.borrow_mut().entry(addr).or_insert_with(|| {
            let (module, bias) = context.modules.find(RuntimeAddr(addr))?.module()?;
            let tables = module.go()?;
            let link = bias.link(RuntimeAddr(addr));
            let rule = tables.stack_rule(link)?;
            Some(Rule {
                kind: Kind::of(&rule.name, rule.is_top),
                size: u64::from(rule.size?),
                is_entry: rule.entry == link,
                minor: tables.build().minor.unwrap_or(u32::MAX),
            })
        })
    }
}

impl GoStep {
    /// A thread of C that has called Go, where it waits until its goroutine goes on: the runtime uses the stack below C's frames, from
    /// where `cgocallback` has left it. That has been called by `crosscall2`, and by nothing else.
    fn called_by_c(&self, walk: &Walk<'_>, sp: u64) -> Result<Caller, End> {
        /// How much may stand between the scheduler and `cgocallback`'s frame, and how large that may be, bytes.
        const NEAR: u64 = 256;
        let (context, memory) = (walk.context, walk.context.memory);
        let left = walk.thread.filter(|thread| thread.calls_c).map_or(0, |thread| thread.system_sp);
        if left.checked_sub(sp).is_none_or(|distance| distance > NEAR) {
            return Err(End::Outermost);
        }
        let kind_at = |addr: u64| self.rule(context, addr).map(|rule| rule.kind);
        let read = |at: u64, buffer: &mut [u8]| memory.read(RuntimeAddr(at), buffer);
        let is_it = |slot: &u64| {
            let Some(back) = memory.word(*slot).filter(|back| kind_at(*back) == Some(Kind::KeepsC)) else {
                return false;
            };
            unwind::called_before(back, &read).and_then(kind_at) == Some(Kind::CalledByC)
        };
        let slot = (left..=left.saturating_add(NEAR)).step_by(8).find(is_it).ok_or(End::Outermost)?;
        let mut registers = FrameRegisters::default().with(RSP, slot + 8);
        registers.set(RIP, memory.word(slot));
        // Right below the return address, as in every frame of Go's.
        registers.set(RBP, memory.word(slot.wrapping_sub(8)));
        let (is_signal, is_interrupted, switches_stack) = (false, false, false);
        Ok(Caller { registers, cfa: slot + 8, is_signal, is_interrupted, switches_stack, found_by: FoundBy::Runtime })
    }
}

impl Step for &GoStep {
    fn step(
        &self,
        context: &StepContext<'_>,
        frame: &FrameRegisters,
        lookup: RuntimeAddr,
    ) -> Option<Result<Caller, End>> {
        let (pc, sp) = (frame.pc()?, frame.sp()?);
        // A handler returns to the very beginning of a function that nothing has called.
        let entered = self.rule(context, pc).filter(|rule| rule.is_entry && rule.kind == Kind::SignalReturn);
        let rule = entered.or_else(|| self.rule(context, lookup.0))?;
        let walk = Walk { context, frame, rule, thread: self.thread.get() };
        Some(match rule.kind {
            Kind::Top => Err(End::Outermost),
            Kind::Plain => walk.at(sp, frame.get(RBP)),
            Kind::SystemStack => match walk.left_goroutine(sp) {
                Some(left) if walk.is_away(sp) => walk.switched(left.sp, Some(left.bp)),
                _ if walk.is_away(sp) => Err(End::Outermost),
                _ => walk.at(sp, frame.get(RBP)),
            },
            Kind::Leaves => match walk.left_goroutine(sp) {
                Some(left) if walk.is_away(sp) => Ok(left.caller(sp)),
                // The scheduler has put the goroutine away, and its stack is nobody's here.
                _ if walk.is_away(sp) => self.called_by_c(&walk, sp),
                _ => walk.at(sp, frame.get(RBP)),
            },
            Kind::Enters => walk.entered(sp, |pc| self.rule(context, pc).is_some_and(|rule| rule.is_entry)),
            Kind::CallsC => walk.back_from_c(sp),
            Kind::CalledByC => match self.thread.get() {
                Some(thread) if thread.holds(sp) => {
                    let outer = self.callback.get().unwrap_or(thread.system_sp);
                    // What the one before has saved (`g0.sched.sp`) is at the top of its frame.
                    self.callback.set(context.memory.word(outer));
                    walk.switched(outer, frame.get(RBP))
                }
                _ => walk.at(sp, frame.get(RBP)),
            },
            Kind::KeepsC => walk.at(sp, frame.get(RBP)).map(|caller| walk.with_kept(caller)),
            Kind::SignalReturn => return walk.signal(pc),
            Kind::CallsVdso => match frame.get(12) {
                Some(old) if walk.is_away(sp) && walk.thread.is_some_and(|thread| thread.holds(old)) => {
                    walk.switched(old, frame.get(RBP))
                }
                Some(old) if lookup.0 != pc && old > sp && old - sp < 256 => walk.at(old, frame.get(RBP)),
                _ => walk.at(sp, frame.get(RBP)),
            },
            Kind::Injected => walk.at(sp, frame.get(RBP)).map(|caller| Caller { is_interrupted: true, ..caller }),
        })
    }
}

/// Where a goroutine goes on.
#[derive(Clone, Copy)]
struct Left {
    pc: u64,
    sp: u64,
    bp: u64,
}

impl Left {
    fn caller(self, cfa: u64) -> Caller {
        let registers = FrameRegisters::default().with(RIP, self.pc).with(RSP, self.sp).with(RBP, self.bp);
        Caller {
            registers,
            cfa,
            is_signal: false,
            is_interrupted: false,
            switches_stack: true,
            found_by: FoundBy::Runtime,
        }
    }
}

/// One step.
struct Walk<'a> {
    context: &'a StepContext<'a>,
    frame: &'a FrameRegisters,
    rule: Rule,
    thread: Option<GoThread>,
}

impl Walk<'_> {
    /// Whether a stack pointer is not on the thread's goroutine's stack.
    fn is_away(&self, sp: u64) -> bool {
        self.thread.is_none_or(|thread| !thread.holds(sp))
    }

    /// Where the thread's goroutine stood when the runtime left its stack.
    fn left_goroutine(&self, sp: u64) -> Option<Left> {
        let thread = self.thread.filter(|thread| !thread.holds(sp) && thread.holds(thread.sp))?;
        Some(Left { pc: thread.pc, sp: thread.sp, bp: thread.bp })
    }

    /// Where the goroutine goes on whose stack `gogo` has taken already, or is about to take.
    fn entered(&self, sp: u64, is_entry: impl Fn(u64) -> bool) -> Result<Caller, End> {
        let thread = self.thread.ok_or(End::Outermost)?;
        let left = match self.left_goroutine(sp) {
            Some(left) => left,
            None if thread.holds(sp) => Left { pc: thread.pc, sp, bp: thread.bp },
            None => return Err(End::Outermost),
        };
        Ok(Caller { is_interrupted: is_entry(left.pc), ..left.caller(sp) })
    }

    /// The caller of this function with its stack pointer here.
    fn at(&self, sp: u64, bp: Option<u64>) -> Result<Caller, End> {
        let word = |addr: u64| self.context.memory.word(addr).ok_or_else(|| self.unreadable(addr));
        let size = self.rule.size;
        let cfa = sp.checked_add(size).and_then(|at| at.checked_add(8)).ok_or(End::NoRule)?;
        let to = word(cfa - 8)?;
        // Right below the return address, once the frame is there: then it points at where it was saved.
        let saved = (size >= 8).then(|| cfa.wrapping_sub(16));
        let outer = match (bp, saved) {
            (Some(bp), Some(saved)) if bp == saved => Some(word(saved)?),
            (None, Some(saved)) if self.rule.kind == Kind::Plain => Some(word(saved)?),
            _ => bp,
        };
        let mut registers = FrameRegisters::default().with(RIP, to).with(RSP, cfa);
        registers.set(RBP, outer);
        let (is_signal, is_interrupted, switches_stack) = (false, false, false);
        Ok(Caller { registers, cfa, is_signal, is_interrupted, switches_stack, found_by: FoundBy::Runtime })
    }

    /// The same with the stack pointer on another stack.
    fn switched(&self, sp: u64, bp: Option<u64>) -> Result<Caller, End> {
        self.at(sp, bp).map(|caller| Caller { switches_stack: true, ..caller })
    }

    /// `asmcgocall` keeps the goroutine and how deep its stack was; where it has changed no stack, no goroutine and the old
    /// stack pointer.
    fn back_from_c(&self, sp: u64) -> Result<Caller, End> {
        let bp = self.frame.get(RBP);
        if !self.is_away(sp) {
            return self.at(sp, bp);
        }
        // Windows' calling convention had its space below until Go 1.21.
        let places = if self.rule.minor < ROOM_UNTIL { [40, 0] } else { [0, 40] };
        let word = |at: u64| self.context.memory.word(sp.wrapping_add(at));
        for place in places {
            let (Some(kept), Some(owner)) = (word(place), word(place + 8)) else { continue };
            let goroutine = self.thread.filter(|thread| thread.addr == owner && owner != 0);
            if let Some(thread) = goroutine
                && let Some(old) = thread.hi.checked_sub(kept).filter(|old| thread.holds(*old))
            {
                return self.switched(old, bp);
            }
            if owner == 0 && kept > sp && kept - sp < 256 {
                return self.at(kept, bp);
            }
        }
        Err(End::NoRule)
    }

    /// C's registers as they were before.
    fn with_kept(&self, mut caller: Caller) -> Caller {
        const SPACE: u64 = 28 * 8 + 8;
        if self.rule.size < SPACE {
            return caller;
        }
        let base = caller.cfa.wrapping_sub(8 + SPACE);
        for (index, number) in [RBP, RBX, 12, 13, 14, 15].into_iter().enumerate() {
            caller.registers.set(number, self.context.memory.word(base.wrapping_add(16 + 8 * index as u64)));
        }
        caller
    }

    fn signal(&self, pc: u64) -> Option<Result<Caller, End>> {
        let memory = self.context.memory;
        let row = unwind::is_signal_return(pc, &|at, buffer| memory.read(RuntimeAddr(at), buffer))?;
        let found = row.caller(self.frame, LoadBias(0), &|at| memory.word(at)).ok()?;
        let (is_signal, is_interrupted, switches_stack) = (true, true, false);
        let (registers, cfa) = (found.registers, found.cfa);
        Some(Ok(Caller { registers, cfa, is_signal, is_interrupted, switches_stack, found_by: FoundBy::Signal }))
    }

    fn unreadable(&self, addr: u64) -> End {
        let addr = RuntimeAddr(addr);
        if self.context.memory.is_beyond(addr) { End::NotCopied(addr) } else { End::NoMemory(addr) }
    }
}

/// The first release in which `asmcgocall` makes no room for Windows.
const ROOM_UNTIL: u32 = 22;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_leave_a_stack_are_known_in_every_spelling() {
        for (name, is_top, expected) in [
            ("runtime.goexit", true, Kind::Top),
            ("runtime.mstart.abi0", true, Kind::Top),
            ("runtime.sigtramp", true, Kind::KeepsC),
            ("runtime.sigtramp.abi0", true, Kind::KeepsC),
            ("runtime.asmcgocall.abi0", false, Kind::CallsC),
            ("gogo", false, Kind::Enters),
            ("runtime.systemstack_switch", false, Kind::Plain),
            ("main.systemstack", false, Kind::Plain),
        ] {
            assert_eq!(Kind::of(name, is_top), expected, "{name}");
        }
    }
}
