//! From a frame to its caller, and so on to the end: by unwind tables, frame pointers and code, whichever is there. Every
//! step must lead up the stack, so that no stack, however damaged, is followed for ever.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::tail_calls::TailCalls;
use super::{End, FoundBy, Frame, FrameKind, Limits, Stack, StackMemory};
use crate::addr::{LoadBias, RuntimeAddr};
use crate::kernel::maps::Mappings;
use crate::symbols::unwind::{self, FrameRegisters, RAX, RBP, RIP, RSP, Row, Scratch, StepError};
use crate::target::Modules;

/// More frames than this are never looked at, whatever is asked for. A stack of the usual 8 MiB that endless recursion has filled
/// has half as many at most: 16 bytes each.
pub fn depth_limit() -> usize {
    1_000_000
}

/// A stack may change to another memory so often; signal handlers on stacks of their own do.
const MOST_SWITCHES: usize = 64;

/// A caller as a step finds it.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Its registers.
    pub registers: FrameRegisters,
    /// The frame's address, of the frame whose caller it is.
    pub cfa: u64,
    /// Whether the frame is a signal's, so that its caller was interrupted and made no call.
    pub is_signal: bool,
    /// Whether the caller made no call, so that it stands at that very instruction.
    pub is_interrupted: bool,
    /// Whether the caller stands on another stack, which may lie anywhere.
    pub switches_stack: bool,
    /// How it was found.
    pub found_by: FoundBy,
}

/// What a [`Step`] may look at.
pub struct StepContext<'a> {
    /// The files of the process.
    pub modules: &'a Modules,
    /// Its mappings.
    pub mappings: &'a Mappings,
    /// Its memory.
    pub memory: &'a dyn StackMemory,
}

/// A language's own way from a frame to its caller, tried before unwind tables.
pub trait Step {
    /// `lookup`: the address by which the frame's function is known. `None`: it knows nothing of such a frame. An error ends the
    /// stack.
    fn step(
        &self,
        context: &StepContext<'_>,
        frame: &FrameRegisters,
        lookup: RuntimeAddr,
    ) -> Option<Result<Caller, End>>;
}

/// Walks stacks of one process. Rules that were found are kept: threads mostly stand at a few places.
pub struct Unwinder<'a> {
    context: StepContext<'a>,
    steps: Vec<Box<dyn Step + 'a>>,
    rows: FxHashMap<u64, Option<Rc<Found>>>,
    guesses: FxHashMap<(u64, bool), Option<Rc<Row>>>,
    tails: TailCalls,
    scratch: Scratch,
}

pub(super) struct Found {
    pub row: Row,
    pub bias: LoadBias,
}

impl<'a> Unwinder<'a> {
    /// Of a process whose files and mappings are known.
    pub fn new(modules: &'a Modules, mappings: &'a Mappings, memory: &'a dyn StackMemory) -> Unwinder<'a> {
        Unwinder {
            context: StepContext { modules, mappings, memory },
            steps: Vec::new(),
            rows: FxHashMap::default(),
            guesses: FxHashMap::default(),
            tails: TailCalls::default(),
            scratch: Scratch::default(),
        }
    }

    /// Adds a way to be tried first.
    pub fn with_step(mut self, step: impl Step + 'a) -> Unwinder<'a> {
        self.steps.push(Box::new(step));
        self
    }

    /// The stack of a thread that has these registers.
    pub fn unwind(&mut self, start: FrameRegisters, limits: Limits) -> Stack {
        self.unwind_from(start, true, limits)
    }

    /// The same of what is no thread. `interrupted`: it stands at that very instruction, and not behind a call.
    pub fn unwind_from(&mut self, start: FrameRegisters, interrupted: bool, limits: Limits) -> Stack {
        let (mut frames, mut registers) = (Vec::new(), start);
        let (mut found_by, mut interrupted) = (FoundBy::Registers, interrupted);
        let mut switches: Vec<(u64, u64)> = Vec::new();
        let most = limits.frames.min(depth_limit());
        let end = loop {
            let (Some(pc), Some(sp)) = (registers.pc(), registers.sp()) else { break End::NoThread };
            if frames.len() == most {
                break if most == depth_limit() { End::TooMany } else { End::Enough };
            }
            let lookup = if interrupted { pc } else { pc.wrapping_sub(1) };
            frames.push(Frame {
                pc: RuntimeAddr(pc),
                lookup: RuntimeAddr(lookup),
                sp: RuntimeAddr(sp),
                cfa: None,
                kind: FrameKind::Normal,
                found_by,
                registers: limits.registers.then(|| Box::new(registers)),
            });
            let caller = match self.caller(&registers, lookup, interrupted, frames.len() == 1) {
                Ok(caller) => caller,
                Err(end) => break end,
            };
            let frame = frames.last_mut().expect("just pushed");
            frame.cfa = Some(RuntimeAddr(caller.cfa));
            let next = (caller.registers.pc().unwrap_or(0), caller.registers.sp().unwrap_or(0));
            if caller.is_signal {
                frame.kind = FrameKind::SignalTrampoline;
                frame.lookup = frame.pc;
            }
            if caller.is_signal || caller.switches_stack {
                if switches.len() == MOST_SWITCHES || switches.contains(&next) {
                    break End::NoProgress;
                }
                switches.push(next);
            } else if next.1 <= sp {
                break End::NoProgress;
            }
            // `clone` and `_start` of old C libraries push a zero.
            if next.0 == 0 && !caller.is_signal {
                break End::Outermost;
            }
            if !caller.is_signal && !self.is_code(next.0) {
                break End::BadReturn(RuntimeAddr(next.0));
            }
            if caller.found_by == FoundBy::Cfi {
                let tails = self.tail_frames(lookup, &caller, limits);
                frames.extend(tails.into_iter().take(most.saturating_sub(frames.len())));
            }
            (registers, interrupted, found_by) = (caller.registers, caller.is_interrupted, caller.found_by);
        };
        Stack { frames, end }
    }

    fn caller(
        &mut self,
        registers: &FrameRegisters,
        lookup: u64,
        interrupted: bool,
        innermost: bool,
    ) -> Result<Caller, End> {
        for step in &self.steps {
            if let Some(done) = step.step(&self.context, registers, RuntimeAddr(lookup)) {
                return done;
            }
        }
        let pc = registers.pc().ok_or(End::NoThread)?;
        if let Some((found, is_signal)) = self.row(lookup, pc) {
            let by = if is_signal { FoundBy::Signal } else { FoundBy::Cfi };
            return self.apply(&found.row, found.bias, registers, by);
        }
        if !self.is_code(pc) {
            return if innermost || interrupted { self.wild_call(registers) } else { Err(End::NoRule) };
        }
        let memory = self.context.memory;
        if let Some(row) = unwind::is_signal_return(pc, &|at, buffer| memory.read(RuntimeAddr(at), buffer)) {
            return self.apply(&row, LoadBias(0), registers, FoundBy::Signal);
        }
        self.by_code(registers, pc, lookup, interrupted).or_else(|| self.by_frame_pointer(registers)).ok_or_else(|| {
            if innermost && self.is_newborn(registers) { End::Outermost } else { self.why_none(registers) }
        })
    }

    /// Whether a thread has just come out of the clone(2) that made it, where C libraries have no rules: glibc ends those of
    /// `clone` and `clone3` before the system call, because they would be wrong for the new thread. Nothing has called it.
    fn is_newborn(&self, registers: &FrameRegisters) -> bool {
        const SYSCALL: [u8; 2] = [0x0f, 0x05];
        // `test`, a jump to what handles errors, and one to where new threads begin.
        const NEAR: usize = 16;
        let mut before = [0; NEAR];
        let begin = registers.pc().and_then(|pc| pc.checked_sub(NEAR as u64));
        let got = begin.map_or(0, |begin| self.context.memory.read(RuntimeAddr(begin), &mut before));
        let is_behind = registers.get(RAX) == Some(0) && got == NEAR && before.windows(2).any(|two| two == SYSCALL);
        let symbol = || self.context.modules.symbol_at(RuntimeAddr(registers.pc()?));
        is_behind && symbol().is_none_or(|(symbol, _)| symbol.name.contains("clone"))
    }

    /// The rules of the tables at an address, and whether they are those of a signal's frame. A signal's frame may be looked
    /// up by its own pc: no call stands before it, and the byte before may belong to another function.
    fn row(&mut self, lookup: u64, pc: u64) -> Option<(Rc<Found>, bool)> {
        if lookup != pc
            && let Some(found) = self.table_row(pc).filter(|found| found.row.is_signal)
        {
            return Some((found, true));
        }
        // A function that a stack is made to begin with is returned to at its first instruction.
        let found = self.table_row(lookup).or_else(|| self.table_row(pc))?;
        let is_signal = found.row.is_signal;
        Some((found, is_signal))
    }

    fn table_row(&mut self, addr: u64) -> Option<Rc<Found>> {
        if let Some(known) = self.rows.get(&addr) {
            return known.clone();
        }
        let found = self.context.modules.find(RuntimeAddr(addr)).and_then(|module| module.module()).and_then(
            |(module, bias)| {
                let row = module.unwind_tables().row_at(bias.link(RuntimeAddr(addr)), &mut self.scratch)?;
                Some(Rc::new(Found { row, bias }))
            },
        );
        self.rows.insert(addr, found.clone());
        found
    }

    /// The functions between a frame and its caller that have left by a jump.
    fn tail_frames(&mut self, lookup: u64, caller: &Caller, limits: Limits) -> Vec<Frame> {
        let Some(back) = caller.registers.pc() else { return Vec::new() };
        let Some(start) = self.table_row(lookup).map(|found| found.bias.runtime(found.row.function.0).0) else {
            return Vec::new();
        };
        let (memory, mut tails) = (self.context.memory, std::mem::take(&mut self.tails));
        let ways = tails.between(start, back, memory, &mut |at| {
            let found = self.table_row(at)?;
            let (begin, end) = found.row.function;
            Some((found.bias.runtime(begin).0, found.bias.runtime(end).0, found))
        });
        self.tails = tails;
        let sp = caller.cfa.wrapping_sub(8);
        let frame = |pc: &u64| Frame {
            pc: RuntimeAddr(*pc),
            lookup: RuntimeAddr(pc.wrapping_sub(1)),
            sp: RuntimeAddr(sp),
            cfa: Some(RuntimeAddr(caller.cfa)),
            kind: FrameKind::Normal,
            found_by: FoundBy::TailCall,
            registers: limits.registers.then(|| Box::new(caller.registers.kept().with(RSP, sp).with(RIP, *pc))),
        };
        ways.iter().map(frame).collect()
    }

    fn apply(&self, row: &Row, bias: LoadBias, registers: &FrameRegisters, found_by: FoundBy) -> Result<Caller, End> {
        let memory = self.context.memory;
        match row.caller(registers, bias, &|at| memory.word(at)) {
            Ok(caller) => Ok(Caller {
                registers: caller.registers,
                cfa: caller.cfa,
                is_signal: row.is_signal,
                is_interrupted: row.is_signal,
                switches_stack: false,
                found_by,
            }),
            Err(StepError::Outermost) => Err(End::Outermost),
            Err(StepError::Memory(addr)) => Err(self.unreadable(addr)),
            Err(StepError::Register(number)) => Err(End::NoRegister(number)),
            Err(StepError::Malformed) => Err(End::NoRule),
        }
    }

    /// Something that is no code was called: the return address is on top of the stack.
    fn wild_call(&self, registers: &FrameRegisters) -> Result<Caller, End> {
        let sp = registers.sp().ok_or(End::NoThread)?;
        let to = self.context.memory.word(sp).ok_or_else(|| self.unreadable(sp))?;
        if !self.is_return_address(to) {
            return Err(End::BadReturn(registers.pc().map(RuntimeAddr).unwrap_or(RuntimeAddr(0))));
        }
        let mut caller = *registers;
        caller.set(RIP, Some(to));
        caller.set(RSP, Some(sp.wrapping_add(8)));
        Ok(Caller {
            registers: caller,
            cfa: sp.wrapping_add(8),
            is_signal: false,
            is_interrupted: false,
            switches_stack: false,
            found_by: FoundBy::WildCall,
        })
    }

    fn by_code(&mut self, registers: &FrameRegisters, pc: u64, lookup: u64, interrupted: bool) -> Option<Caller> {
        let (modules, memory) = (self.context.modules, self.context.memory);
        let known = self.guesses.entry((pc, interrupted)).or_insert_with(|| {
            let start = modules.symbol_at(RuntimeAddr(lookup)).map(|(_, start)| start.0);
            let read = |at: u64, buffer: &mut [u8]| memory.read(RuntimeAddr(at), buffer);
            unwind::row_by_code(pc, start, !interrupted, &read).map(Rc::new)
        });
        let row = known.clone()?;
        let caller = self.apply(&row, LoadBias(0), registers, FoundBy::Code).ok()?;
        self.is_plausible(&caller, registers).then_some(caller)
    }

    fn by_frame_pointer(&self, registers: &FrameRegisters) -> Option<Caller> {
        let (frame, sp) = (registers.get(RBP)?, registers.sp()?);
        if frame < sp || !frame.is_multiple_of(8) {
            return None;
        }
        let outer = self.context.memory.word(frame)?;
        let to = self.context.memory.word(frame.checked_add(8)?)?;
        let cfa = frame.checked_add(16)?;
        let mut caller = FrameRegisters::default().with(RSP, cfa).with(RIP, to);
        caller.set(RBP, Some(outer));
        let (is_signal, is_interrupted, switches_stack) = (false, false, false);
        let found_by = FoundBy::FramePointer;
        let caller = Caller { registers: caller, cfa, is_signal, is_interrupted, switches_stack, found_by };
        self.is_plausible(&caller, registers).then_some(caller)
    }

    /// Whether what was guessed can be: up the stack, and back to behind a call or to the end.
    fn is_plausible(&self, caller: &Caller, of: &FrameRegisters) -> bool {
        let (Some(to), Some(sp)) = (caller.registers.pc(), of.sp()) else { return false };
        caller.cfa > sp && self.is_return_address(to)
    }

    fn is_return_address(&self, addr: u64) -> bool {
        let memory = self.context.memory;
        let read = |at: u64, buffer: &mut [u8]| memory.read(RuntimeAddr(at), buffer);
        self.is_code(addr) && (unwind::is_behind_call(addr, &read) || unwind::is_signal_return(addr, &read).is_some())
    }

    fn is_code(&self, addr: u64) -> bool {
        self.context.mappings.find(RuntimeAddr(addr)).is_some_and(|mapping| mapping.execute)
    }

    /// Why guessing has found nothing: perhaps only because the stack is not at hand.
    fn why_none(&self, registers: &FrameRegisters) -> End {
        let missing = |addr: u64| self.context.memory.word(addr).is_none().then(|| self.unreadable(addr));
        registers.sp().and_then(missing).unwrap_or(End::NoRule)
    }

    fn unreadable(&self, addr: u64) -> End {
        let addr = RuntimeAddr(addr);
        if self.context.memory.is_beyond(addr) { End::NotCopied(addr) } else { End::NoMemory(addr) }
    }
}
