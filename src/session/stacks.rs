//! Stacks as commands ask for them: of threads of a process that is held, or that runs and is held for a moment. Shows nothing.

use std::sync::Arc;
use std::time::Duration;

use super::{Failure, Session};
use crate::addr::{Pid, Tid};
use crate::target::goroutines::{Ahead, Depth, Goroutines};
use crate::target::stacks::{Limits, NamedStack};
use crate::target::{self, Mappings, Modules, Snapshot};

/// The stacks of threads.
pub struct Stacks {
    /// The process.
    pub process: Pid,
    /// How long it was held for this; `None`: it was held already.
    pub pause: Option<Duration>,
    /// The threads, by number.
    pub threads: Vec<ThreadStack>,
}

/// The stack of one thread.
pub struct ThreadStack {
    /// Its number.
    pub number: u32,
    /// Its tid.
    pub tid: Tid,
    /// Its name, any characters; `None`: it has ended since.
    pub name: Option<String>,
    /// Its frames.
    pub stack: Arc<NamedStack>,
}

impl Session {
    /// Copies what the stacks of these threads, or of all, are walked from. A process that runs is held for that alone.
    pub fn snapshot(&mut self, wanted: Option<&[Tid]>) -> anyhow::Result<Snapshot> {
        let each = self.settings.stack_copy;
        let (modules, _) = self.modules_now();
        let snapshot = self.process()?.snapshot(wanted, each, modules.go_runtime());
        self.pass_on_news();
        Ok(snapshot?)
    }

    /// The same of a process that is not attached: it is attached to for that alone, and let go.
    pub fn snapshot_of(&mut self, pid: Pid) -> anyhow::Result<Snapshot> {
        // What is slow to ask is asked before. An error: attaching says what it is.
        let mappings = Mappings::of(pid).unwrap_or_default();
        let each = self.settings.stack_copy;
        let modules = Modules::of(pid, &mappings, &self.symbols);
        let go = modules.go_runtime();
        let room = target::room_for(pid, each);
        self.attach(pid)?;
        let snapshot = self.process()?.snapshot_with(mappings, None, each, go, room);
        // Whatever came of it, the process is let go.
        let released = self.detach();
        let mut snapshot = snapshot?;
        snapshot.held = Some(released?.held);
        Ok(snapshot)
    }

    /// The goroutines that run on threads of the held process, in the threads' order; `None`: it runs, or is no Go program.
    pub fn goroutines_of(&self, tids: &[Tid]) -> Option<Vec<Option<u64>>> {
        let process = self.current()?;
        process.held()?;
        let (modules, _) = self.modules_now();
        let threads = process.go_threads(modules.go_runtime()?, tids);
        Some(threads.into_iter().map(|thread| thread.and_then(|thread| thread.id)).collect())
    }

    /// The goroutines of a process that is not attached: it is attached to while they are copied, and let go.
    pub fn goroutines_of_process(&mut self, pid: Pid, depth: Depth) -> anyhow::Result<Goroutines> {
        // What is slow to ask is asked before. An error: attaching says what it is.
        let mappings = Mappings::of(pid).unwrap_or_default();
        let modules = Modules::of(pid, &mappings, &self.symbols);
        let Some(runtime) = modules.go_runtime() else {
            let message = format!("stacks: process {pid} is no Go program: none of its files has Go's tables");
            return Err(Failure::hinted(message, "without --goroutines it shows the stacks of its threads").into());
        };
        let ahead = Ahead::of(pid, runtime, depth);
        self.attach(pid)?;
        let copied = self.process()?.unnamed_goroutines(runtime, depth, ahead);
        // Whatever came of it, the process is let go.
        let held = self.detach()?.held;
        Ok(Goroutines { held: Some(held), ..copied?.named(runtime, &modules, depth) })
    }

    /// Selects a goroutine of the held process: the thread that runs it, which is the answer, or the innermost frame of one that is
    /// on no thread.
    pub fn select_goroutine(&mut self, id: u64) -> anyhow::Result<Option<Tid>> {
        let least = Depth { frames: 1, only_user: true, bytes: 0, only: Some(id) };
        let found = self.goroutines("goroutine", least)?.all.pop();
        let missing = || Failure::hinted(format!("no goroutine {id}"), "goroutines lists their numbers");
        let found = found.ok_or_else(missing)?;
        if let Some(tid) = found.thread {
            self.select(tid);
            return Ok(Some(tid));
        }
        let (modules, _) = self.modules_now();
        let runtime = modules.go_runtime().ok_or_else(missing)?;
        let parked = self.process()?.parked(runtime, found.addr, id).ok_or_else(missing)?;
        self.select_parked(parked)?;
        Ok(None)
    }

    /// Walks and names what was copied.
    pub fn stacks_of(&self, mut snapshot: Snapshot, most: usize) -> Stacks {
        let modules = Modules::of(snapshot.pid, snapshot.mappings(), &self.symbols);
        let limits = Limits { frames: most, registers: false };
        let stacks = snapshot.stacks(&modules, limits);
        let threads = snapshot.threads.iter().zip(stacks);
        let threads =
            threads.map(|(copy, (name, stack))| ThreadStack { number: copy.number, tid: copy.tid, name, stack });
        Stacks { process: snapshot.pid, pause: snapshot.held, threads: threads.collect() }
    }
}
