//! What a process is protected by for the case that godbg is killed, and what of its debug registers is in use. Changes
//! nothing.

use schemars::JsonSchema;
use serde::Serialize;

use super::process::{Origin, Process};

/// What would become of a process if godbg were killed now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(tag = "protection", rename_all = "snake_case")]
pub enum Protection {
    /// Nothing of godbg's is in it, and the kernel lets it go.
    NotNeeded,
    /// godbg started it: it ends with godbg.
    EndsWithGodbg,
    /// A guardian waits, and would take out what godbg has put in.
    Guarded,
    /// Breakpoints would be left in it.
    Unguarded {
        /// Why.
        why: String,
    },
}

impl Process {
    /// What would become of it if godbg were killed now.
    pub fn protection(&self) -> Protection {
        let steering = &self.steering;
        if self.origin == Origin::Started {
            return Protection::EndsWithGodbg;
        }
        if let Some(error) = &steering.no_shield
            && !steering.sites.is_empty()
        {
            return Protection::Unguarded { why: error.to_string() };
        }
        match (&steering.shield, &steering.guard) {
            (_, Some(_)) => Protection::Guarded,
            (Some(_), None) => Protection::Unguarded { why: "no guardian could be started".into() },
            (None, None) => Protection::NotNeeded,
        }
    }

    /// How many of each thread's debug registers hold a watchpoint or `hbreak`.
    pub fn debug_registers_in_use(&self) -> usize {
        self.steering.debug.0.iter().flatten().count()
    }
}
