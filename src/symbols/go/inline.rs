//! Go's inlined calls: the functions at an address, the innermost first (runtime/symtabinl.go). Knows no names' rules.

use super::GoTables;
use super::pcln::{Func, Pcln};
use super::read::{i32_at, u32_at};

/// PCDATA_InlTreeIndex and FUNCDATA_InlTree (internal/abi/symtab.go); the same since Go 1.12.
const INLINE_INDEX: u32 = 2;
const INLINE_TREE: u8 = 3;
/// No compiler inlines deeper.
const DEEPEST: usize = 256;

/// One call at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    /// The file and line where it is.
    pub(super) line: Option<(&'a str, u32)>,
    /// Its place in the inline tree; `None` for the function that has the code.
    pub(super) index: Option<i32>,
}

/// The inlined calls of one function.
pub(super) struct Tree<'a> {
    pcln: Pcln<'a>,
    bytes: &'a [u8],
}

/// One node: a call that was inlined.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    pub(super) name: &'a str,
    /// An address in the caller whose line is that of the call, from the function's entry.
    parent_pc: u64,
}

impl<'a> Tree<'a> {
    /// The tree of a function that has one.
    pub(super) fn of(tables: &'a GoTables, func: &Func<'a>) -> Option<Tree<'a>> {
        let pcln = tables.pcln();
        let data = func.funcdata(INLINE_TREE)?;
        let bytes = if pcln.layout.form >= super::pcln::Form::Go118 {
            tables.function_data()?.get(usize::try_from(data).ok()?..)?
        } else {
            tables.old_function_data(data)?
        };
        Some(Tree { pcln, bytes })
    }

    pub(super) fn node(&self, index: i32) -> Option<Node<'a>> {
        let index = usize::try_from(index).ok()?;
        let is_new = self.pcln.layout.form >= super::pcln::Form::Go120;
        // 1.20: id, name, pc, line. Before: parent and id, file, line, name, pc.
        let (size, name, parent_pc) = if is_new { (16, 4, 8) } else { (20, 12, 16) };
        let node = self.bytes.get(index.checked_mul(size)?..)?;
        let parent_pc = u64::from(u32_at(node, parent_pc)?);
        Some(Node { name: self.pcln.name(i32_at(node, name)?)?, parent_pc })
    }
}

impl GoTables {
    /// The calls at an address in a function.
    pub(super) fn calls<'a>(&'a self, func: &Func<'a>, pc: u64) -> Vec<Call<'a>> {
        let mut calls = Vec::new();
        let mut at = pc;
        if let Some(tree) = Tree::of(self, func) {
            while calls.len() < DEEPEST {
                let index = func.pcdata(INLINE_INDEX).value_at(at - func.entry).filter(|index| *index >= 0);
                let Some(node) = index.and_then(|index| tree.node(index)) else { break };
                calls.push(Call { name: node.name, line: func.line_at(at), index });
                let outer = func.entry.wrapping_add(node.parent_pc);
                if outer < func.entry || outer >= func.end {
                    return calls;
                }
                at = outer;
            }
        }
        if let Some(name) = func.name() {
            calls.push(Call { name, line: func.line_at(at), index: None });
        }
        calls
    }

    /// The stretches of a function that were inlined into it: offsets from its entry, and which call.
    pub(super) fn inlined<'a>(
        &'a self,
        func: &Func<'a>,
    ) -> Option<(Tree<'a>, impl Iterator<Item = super::pctab::Run>)> {
        let tree = Tree::of(self, func)?;
        Some((tree, func.pcdata(INLINE_INDEX).filter(|run| run.value >= 0)))
    }
}
