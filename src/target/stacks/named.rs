//! Frames with names: the functions of each, calls that the compiler has inlined as frames of their own. Each place is
//! looked up once.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{End, FoundBy, Frame, FrameKind, Stack};
use crate::addr::RuntimeAddr;
use crate::kernel::maps::Mappings;
use crate::symbols::{SourceFrame, SourceSpot};
use crate::target::Modules;

/// One frame as people count them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NamedFrame {
    /// Which of the stack's frames it belongs to; several where calls were inlined.
    pub frame: usize,
    /// Where it is, or comes back to.
    pub pc: RuntimeAddr,
    /// The function.
    pub function: Option<Arc<str>>,
    /// How far `pc` is behind the function's beginning.
    pub offset: Option<u64>,
    /// The line.
    pub spot: Option<SourceSpot>,
    /// The file or kernel object that is mapped there.
    pub module: Option<Arc<str>>,
    /// How far `pc` is from the beginning of that.
    pub module_offset: Option<u64>,
    /// Whether it is inlined into the next.
    pub inlined: bool,
    /// Whether it is a signal's frame.
    pub is_signal: bool,
    /// How its registers were found.
    pub found_by: FoundBy,
}

/// A stack as people count it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NamedStack {
    /// The frames, the innermost first.
    pub frames: Vec<NamedFrame>,
    /// Why it ends.
    pub end: End,
}

/// Names frames of one process.
pub struct Namer<'a> {
    modules: &'a Modules,
    mappings: &'a Mappings,
    known: FxHashMap<(RuntimeAddr, RuntimeAddr), Arc<[NamedFrame]>>,
}

/// So many inlined calls at one place are shown.
const MOST_INLINED: usize = 64;

impl<'a> Namer<'a> {
    /// Of a process.
    pub fn new(modules: &'a Modules, mappings: &'a Mappings) -> Namer<'a> {
        Namer { modules, mappings, known: FxHashMap::default() }
    }

    /// The frames that one frame is for people, the innermost first; at least one.
    pub fn name(&mut self, frame: &Frame) -> Arc<[NamedFrame]> {
        let key = (frame.pc, frame.lookup);
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let named: Arc<[NamedFrame]> = self.find(frame).into();
        self.known.insert(key, named.clone());
        named
    }

    /// All frames of a stack.
    pub fn name_all(&mut self, stack: &Stack) -> NamedStack {
        let mut frames = Vec::with_capacity(stack.frames.len());
        for (index, frame) in stack.frames.iter().enumerate() {
            let named = self.name(frame);
            frames.extend(named.iter().map(|one| NamedFrame { frame: index, found_by: frame.found_by, ..one.clone() }));
        }
        NamedStack { frames, end: stack.end }
    }

    fn find(&self, frame: &Frame) -> Vec<NamedFrame> {
        let mapping = self.mappings.find(frame.pc);
        let name = mapping.and_then(|mapping| mapping.name.as_deref());
        let base = mapping.filter(|_| name.is_some()).map(|mapping| self.mappings.base_of(mapping));
        let bare = NamedFrame {
            frame: 0,
            pc: frame.pc,
            function: None,
            offset: None,
            spot: None,
            module: name.map(Arc::from),
            module_offset: base.map(|base| frame.pc.0 - base.0),
            inlined: false,
            is_signal: frame.kind == FrameKind::SignalTrampoline,
            found_by: frame.found_by,
        };
        let bias = self.modules.find(frame.lookup).and_then(|module| module.module()).map(|(_, bias)| bias);
        let sources = self.modules.frames_at(frame.lookup);
        if sources.is_empty() {
            return vec![bare];
        }
        let named = |source: SourceFrame| NamedFrame {
            offset: source.start.zip(bias).map(|(start, bias)| frame.pc.0.wrapping_sub(bias.runtime(start).0)),
            function: source.function,
            spot: source.spot,
            inlined: source.inlined,
            ..bare.clone()
        };
        sources.into_iter().take(MOST_INLINED).map(named).collect()
    }
}
