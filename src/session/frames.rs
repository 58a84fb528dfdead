//! The selected frame, and the stack of the selected thread. A selection holds as long as the thread stands where it stood when
//! the frame was selected. Shows nothing.

use anyhow::Context as _;

use super::{Failure, Session};
use crate::addr::{Pid, RuntimeAddr, Tid};
use crate::target::goroutines::ParkedGoroutine;
use crate::target::stacks::{FrameKind, Limits, NamedFrame, NamedStack, Namer, OuterFrame, Stack};
use crate::target::{Mappings, Modules, Return};

/// A frame that was selected.
#[derive(Clone, Debug)]
pub struct SelectedFrame {
    stand: Stand,
    outer: OuterFrame,
    lookup: RuntimeAddr,
    /// The goroutine whose frame it is, if that is on no thread.
    goroutine: Option<ParkedGoroutine>,
}

/// Where a thread stands: another stop, another thread, or a changed register make another of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stand {
    process: Pid,
    thread: Tid,
    pc: u64,
    sp: u64,
}

/// The stack of the selected thread of a held process, or of the selected goroutine.
pub struct Frames {
    /// The thread.
    pub thread: Tid,
    /// The goroutine, if it is on no thread.
    pub goroutine: Option<u64>,
    /// The frames as the unwinder found them.
    pub stack: Stack,
    /// The frames as people count them.
    pub named: NamedStack,
}

impl Session {
    /// The frames of the selected thread, at most so many, without their registers.
    pub fn frames(&mut self, most: usize) -> anyhow::Result<Frames> {
        self.frames_within(Limits { frames: most, registers: false })
    }

    fn frames_within(&mut self, limits: Limits) -> anyhow::Result<Frames> {
        let thread = self.selected().context("no thread is selected")?;
        let (modules, mappings) = self.modules_now();
        let goroutine = self.selected_parked();
        let process = self.process()?;
        let stack = match &goroutine {
            Some(goroutine) => process.stack_of_parked(goroutine, &modules, &mappings, limits),
            None => process.stack_of(thread, &modules, &mappings, limits),
        };
        let named = Namer::new(&modules, &mappings).name_all(&stack);
        Ok(Frames { thread, goroutine: goroutine.map(|goroutine| goroutine.id), stack, named })
    }

    /// The files of the current process and its mappings.
    pub(super) fn modules_now(&self) -> (Modules, Mappings) {
        let locations = self.locations();
        (locations.modules().clone(), locations.mappings().clone())
    }

    /// The number of the selected frame; 0 is the innermost.
    pub fn frame_number(&self) -> usize {
        self.outer_frame().map_or(0, |frame| frame.number)
    }

    /// The registers of the selected frame, if they are not those of the selected thread.
    pub fn outer_frame(&self) -> Option<OuterFrame> {
        self.current_frame().map(|frame| frame.outer.clone())
    }

    /// The address by which the selected frame is known, if it is not where the selected thread stands.
    pub fn frame_lookup(&self) -> Option<RuntimeAddr> {
        self.current_frame().map(|frame| frame.lookup)
    }

    /// The selected goroutine, if it is on no thread.
    pub fn parked_goroutine(&self) -> Option<u64> {
        self.selected_parked().map(|goroutine| goroutine.id)
    }

    fn selected_parked(&self) -> Option<ParkedGoroutine> {
        self.current_frame()?.goroutine
    }

    fn current_frame(&self) -> Option<&SelectedFrame> {
        self.frame.as_ref().filter(|frame| self.stand() == Some(frame.stand))
    }

    /// Selects the innermost frame of a goroutine that is on no thread.
    pub(super) fn select_parked(&mut self, goroutine: ParkedGoroutine) -> anyhow::Result<NamedFrame> {
        let stand = self.stand().context("no thread stands still")?;
        let before = self.kept_frame();
        let outer = OuterFrame::parked(0, &goroutine.registers);
        self.frame = Some(SelectedFrame { stand, outer, lookup: RuntimeAddr(0), goroutine: Some(goroutine) });
        self.select_frame(0).inspect_err(|_| self.frame = before)
    }

    /// Forgets a goroutine that is on no thread: the process is about to run.
    pub(super) fn leave_parked(&mut self) {
        if self.frame.as_ref().is_some_and(|frame| frame.goroutine.is_some()) {
            self.frame = None;
        }
    }

    fn stand(&self) -> Option<Stand> {
        let (process, thread) = (self.current()?, self.selected()?);
        let registers = process.stopped_thread(thread)?.registers().ok()?;
        Some(Stand { process: process.pid(), thread, pc: registers.rip, sp: registers.rsp })
    }

    /// Selects a frame by its number: that frame.
    pub fn select_frame(&mut self, number: usize) -> anyhow::Result<NamedFrame> {
        let frames = self.frames_within(Limits { frames: number.saturating_add(1), registers: true })?;
        let count = frames.named.frames.len();
        let Some(found) = frames.named.frames.get(number) else {
            let whose = match frames.goroutine {
                Some(id) => format!("goroutine {id}"),
                None => format!("thread {}", frames.thread),
            };
            let noun = if count == 1 { "frame" } else { "frames" };
            let message = format!("no frame {number}: the stack of {whose} has {count} {noun}");
            let why = frames.named.end;
            let hint = if why.is_good() { "bt shows them".into() } else { format!("bt shows them; {why}") };
            return Err(Failure::hinted(message, hint).into());
        };
        let found = found.clone();
        let goroutine = self.selected_parked();
        self.frame = None;
        // A listing begins around the new frame.
        self.looking.listed = None;
        let frame = &frames.stack.frames[found.frame];
        let (registers, lookup) = (frame.registers.as_deref().copied().unwrap_or_default(), frame.lookup);
        if goroutine.is_some() {
            let stand = self.stand().context("the thread does not stand still")?;
            let outer = OuterFrame::parked(number, &registers);
            self.frame = Some(SelectedFrame { stand, outer, lookup, goroutine });
        } else if number > 0 {
            let thread = self.process()?.registers_at(frames.thread).with_context(|| {
                format!(
                    "frame {number}: thread {} sleeps in the kernel and its registers cannot be read",
                    frames.thread
                )
            })?;
            let stand = self.stand().context("the thread does not stand still")?;
            let outer = OuterFrame::new(number, &thread, &registers);
            self.frame = Some(SelectedFrame { stand, outer, lookup, goroutine });
        }
        Ok(found)
    }

    /// Where a frame's function returns to: the next frame that is no part of the same function. `None`: the stack ends there, or
    /// the frame was found by a guess that says nothing of where it ends.
    pub fn return_of_frame(&mut self, number: usize) -> anyhow::Result<Option<Return>> {
        let frames = self.frames(number.saturating_add(2))?;
        if let Some(id) = frames.goroutine {
            let message =
                format!("goroutine {id} is on no thread: there is nothing that could run to the end of its frame");
            return Err(Failure::hinted(message, "thread N selects a thread").into());
        }
        let Some(named) = frames.named.frames.get(number) else { return Ok(None) };
        let callee = frames.stack.frames.get(named.frame);
        let caller = frames.stack.frames.get(named.frame + 1);
        Ok(callee.zip(caller).and_then(|(callee, caller)| {
            // The return address lies right below the frame's address, and is gone once the stack pointer is above it.
            let above = RuntimeAddr(callee.cfa?.0.checked_sub(8)?);
            (callee.kind == FrameKind::Normal).then_some(Return { addr: caller.pc, above })
        }))
    }

    /// What is selected, to be selected again later.
    pub fn kept_frame(&self) -> Option<SelectedFrame> {
        self.frame.clone()
    }

    /// Selects what was kept.
    pub fn restore_frame(&mut self, frame: Option<SelectedFrame>) {
        self.frame = frame;
    }

    /// Runs something with a frame selected, and selects the one before again.
    pub fn in_frame<T>(&mut self, number: usize, run: impl FnOnce(&mut Session) -> T) -> anyhow::Result<T> {
        let before = self.kept_frame();
        self.select_frame(number)?;
        let done = run(self);
        self.restore_frame(before);
        Ok(done)
    }
}
