//! The stacks of goroutines that were copied: by Go's frame sizes alone, each place looked up once. Goroutines mostly stand in
//! a few stacks, so that each of those is named once.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::copy::GoroutineCopy;
use super::raw::RawG;
use crate::addr::RuntimeAddr;
use crate::kernel::maps::Mappings;
use crate::target::Modules;
use crate::target::stacks::{End, FoundBy, Frame, FrameKind, NamedFrame, NamedStack, Namer};

/// Walks the stacks of one copy.
pub(super) struct Walker<'a> {
    copy: &'a GoroutineCopy,
    modules: &'a Modules,
    namer: Namer<'a>,
    rules: FxHashMap<u64, Rule>,
    stacks: FxHashMap<Box<[u64]>, Arc<Walked>>,
    pcs: Vec<u64>,
    /// So many frames at most.
    most: usize,
    /// Whether it is enough to come to the first frame of the program's own.
    only_user: bool,
}

/// A stack with its names.
#[derive(Debug)]
pub struct Walked {
    /// Its frames.
    pub stack: Arc<NamedStack>,
    /// Which of them is the first of the program's own; the innermost where there is none.
    pub user: usize,
    /// Whether one is the program's own.
    pub has_user: bool,
}

impl Walked {
    /// Of a stack that has names.
    pub(super) fn of(stack: Arc<NamedStack>) -> Walked {
        let own = |frame: &NamedFrame| frame.function.as_deref().is_some_and(is_user_function);
        let user = stack.frames.iter().position(own);
        Walked { user: user.unwrap_or(0), has_user: user.is_some(), stack }
    }
}

/// What is known of an address on a stack.
#[derive(Clone, Copy)]
struct Rule {
    /// The address by which it is named.
    lookup: u64,
    /// How many bytes above the stack pointer its return address is; `None`: it is no Go function.
    size: Option<u32>,
    /// Whether the stack ends here.
    is_top: bool,
    /// Whether its caller was interrupted, so that the address is the very instruction.
    interrupts: bool,
    /// Whether it is the program's own function.
    is_user: bool,
}

impl<'a> Walker<'a> {
    pub(super) fn new(
        copy: &'a GoroutineCopy,
        modules: &'a Modules,
        mappings: &'a Mappings,
        most: usize,
        only_user: bool,
    ) -> Self {
        let namer = Namer::new(modules, mappings);
        let (rules, stacks) = (FxHashMap::default(), FxHashMap::default());
        Walker { copy, modules, namer, rules, stacks, pcs: Vec::new(), most, only_user }
    }

    /// The stack of a goroutine.
    pub(super) fn stack(&mut self, g: &RawG) -> Arc<Walked> {
        let end = self.walk(g);
        // The end belongs to what makes stacks equal; an address in it is a detail of the first.
        self.pcs.push(end.name().len() as u64);
        if let Some(known) = self.stacks.get(&self.pcs[..]) {
            return known.clone();
        }
        let key: Box<[u64]> = self.pcs.as_slice().into();
        let walked = Arc::new(self.name(&key[..key.len() - 1], end));
        self.stacks.insert(key, walked.clone());
        walked
    }

    /// Fills `pcs`: of each frame its address and the one that it is named by.
    fn walk(&mut self, g: &RawG) -> End {
        self.pcs.clear();
        let bytes = self.copy.stack(g);
        let (mut pc, mut at, mut exact) = (g.pc, 0usize, g.is_exact);
        loop {
            if self.pcs.len() / 2 == self.most {
                return End::Enough;
            }
            let rule = self.rule(pc, exact);
            self.pcs.extend([pc, rule.lookup]);
            if rule.is_top {
                return End::Outermost;
            }
            if self.only_user && rule.is_user {
                return End::Enough;
            }
            let Some(size) = rule.size else { return End::NoRule };
            let sp = g.sp.wrapping_add(at as u64);
            let missing = End::NotCopied(RuntimeAddr(sp.wrapping_add(u64::from(size))));
            let Some(next) = at.checked_add(size as usize) else { return missing };
            let Some(word) = bytes.get(next..next + 8).and_then(|word| word.try_into().ok()) else { return missing };
            (pc, at, exact) = (u64::from_le_bytes(word), next + 8, rule.interrupts);
            if pc == 0 {
                return End::Outermost;
            }
        }
    }

    fn rule(&mut self, pc: u64, exact: bool) -> Rule {
        let key = pc << 1 | u64::from(exact);
        if let Some(rule) = self.rules.get(&key) {
            return *rule;
        }
        let rule = self.find_rule(pc, exact);
        self.rules.insert(key, rule);
        rule
    }

    fn find_rule(&mut self, pc: u64, exact: bool) -> Rule {
        let unknown = Rule { lookup: pc, size: None, is_top: false, interrupts: false, is_user: false };
        let find = |addr: u64| {
            let (module, bias) = self.modules.find(RuntimeAddr(addr))?.module()?;
            let rule = module.go()?.stack_rule(bias.link(RuntimeAddr(addr)))?;
            let entry = bias.runtime(rule.entry).0;
            Some((rule, entry))
        };
        // One that has not begun yet stands at its entry, all others behind a call.
        let at_entry = find(pc).filter(|(_, entry)| *entry == pc || exact);
        let lookup = if at_entry.is_some() { pc } else { pc.wrapping_sub(1) };
        let Some((rule, _)) = at_entry.or_else(|| find(lookup)) else { return unknown };
        let interrupts = matches!(&*rule.name, "runtime.asyncPreempt" | "runtime.sigpanic");
        let (pc, lookup) = (RuntimeAddr(pc), RuntimeAddr(lookup));
        let named = self.namer.name(&frame(pc, lookup));
        let is_user = named.iter().any(|frame| frame.function.as_deref().is_some_and(is_user_function));
        Rule { lookup: lookup.0, size: rule.size, is_top: rule.is_top, interrupts, is_user }
    }

    fn name(&mut self, pcs: &[u64], end: End) -> Walked {
        let frames = pcs.chunks_exact(2).map(|pair| frame(RuntimeAddr(pair[0]), RuntimeAddr(pair[1]))).collect();
        let stack = self.namer.name_all(&crate::target::stacks::Stack { frames, end });
        Walked::of(Arc::new(stack))
    }

    /// The first line of a function, or of an address behind a call.
    pub(super) fn place(&mut self, pc: u64, is_call: bool) -> Option<Arc<[NamedFrame]>> {
        let lookup = if is_call { pc.wrapping_sub(1) } else { pc };
        (pc != 0).then(|| self.namer.name(&frame(RuntimeAddr(pc), RuntimeAddr(lookup))))
    }
}

fn frame(pc: RuntimeAddr, lookup: RuntimeAddr) -> Frame {
    let sp = RuntimeAddr(0);
    Frame { pc, lookup, sp, cfa: None, kind: FrameKind::Normal, found_by: FoundBy::Runtime, registers: None }
}

/// Delve's rule (`G.UserCurrent`): not the runtime's and not of `internal/`, but what the runtime exports counts.
pub(super) fn is_user_function(name: &str) -> bool {
    if let Some(rest) = name.strip_prefix("runtime.") {
        return rest.starts_with(|c: char| c.is_ascii_uppercase());
    }
    let hidden = ["internal/", "runtime/internal/", "iter."];
    name.contains('.') && !hidden.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtimes_own_functions_are_not_the_programs() {
        for name in ["main.main", "runtime.GC", "net/http.(*conn).serve", "runtime/pprof.Do", "sync.(*Mutex).Lock"] {
            assert!(is_user_function(name), "{name}");
        }
        for name in
            ["runtime.gopark", "runtime.main", "internal/poll.(*FD).Read", "gogo", "runtime/internal/sys.Bswap64"]
        {
            assert!(!is_user_function(name), "{name}");
        }
    }
}
