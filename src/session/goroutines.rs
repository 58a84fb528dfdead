//! Goroutines as commands ask for them: all, those that filters leave, in groups. Shows nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;

use super::{Failure, Session};
use crate::target::goroutines::{Depth, GoRuntime, Goroutine, Goroutines};
use crate::target::stacks::NamedFrame;

/// What a goroutine must be, or must not be, to be listed.
#[derive(Clone, Debug)]
pub enum Filter {
    /// It runs on a thread, in a system call or not.
    Running,
    /// It waits.
    Waiting,
    /// It is the program's own.
    User,
    /// It is the runtime's.
    System,
    /// It has a label, with this value if one is given.
    Label(String, Option<String>),
    /// A function on its stack, as far as that is walked, is called so.
    Function(Regex),
    /// One of its places, as `FUNCTION at FILE:LINE`, has this in it.
    Place(PlaceKind, Regex),
}

/// A place of a goroutine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlaceKind {
    /// Where it stands in the program's own code.
    User,
    /// Where it stands.
    Current,
    /// Where it was made (its `go` statement).
    Go,
    /// The function that it began with.
    Start,
}

impl PlaceKind {
    /// By Delve's words, with and without `loc`.
    pub fn of(word: &str) -> Option<PlaceKind> {
        Some(match word {
            "userloc" | "user" => PlaceKind::User,
            "curloc" | "current" => PlaceKind::Current,
            "goloc" | "go" => PlaceKind::Go,
            "startloc" | "start" => PlaceKind::Start,
            _ => return None,
        })
    }

    /// The frame of a goroutine that is this place.
    pub fn frame(self, goroutine: &Goroutine) -> Option<&NamedFrame> {
        let frames = &goroutine.stack.stack.frames;
        match self {
            PlaceKind::User => frames.get(goroutine.stack.user),
            PlaceKind::Current => frames.first(),
            PlaceKind::Go => goroutine.creator.as_deref()?.first(),
            PlaceKind::Start => goroutine.start.as_deref()?.last(),
        }
    }
}

/// The words of filters that have a word of their own behind them.
const WITH_WORD: [&str; 7] = ["label", "func", "userloc", "curloc", "goloc", "startloc", "loc"];

impl Filter {
    /// Whether a filter of this name is followed by a word.
    pub fn takes_word(name: &str) -> bool {
        WITH_WORD.contains(&name)
    }

    /// From its words: `running`, `label K=V`.
    pub fn parse(text: &str) -> Result<Filter, String> {
        let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
        let regex =
            || Regex::new(rest).map_err(|error| format!("{rest:?} is no regular expression: {}", first_line(&error)));
        Ok(match name {
            name if Filter::takes_word(name) && rest.is_empty() => {
                return Err(format!("a word is missing behind {name}"));
            }
            "running" => Filter::Running,
            "waiting" => Filter::Waiting,
            "user" => Filter::User,
            "system" => Filter::System,
            "label" => match rest.split_once('=') {
                Some((key, value)) => Filter::Label(key.into(), Some(value.into())),
                None => Filter::Label(rest.into(), None),
            },
            "func" => Filter::Function(regex()?),
            "loc" => Filter::Place(PlaceKind::User, regex()?),
            name => match PlaceKind::of(name) {
                Some(kind) if name.ends_with("loc") => Filter::Place(kind, regex()?),
                _ => return Err(format!("no filter {name:?}: they are {FILTERS}")),
            },
        })
    }

    fn fits(&self, goroutine: &Goroutine) -> bool {
        match self {
            // As Delve has it: on a thread.
            Filter::Running => goroutine.thread.is_some() || matches!(goroutine.status.name(), "running" | "syscall"),
            Filter::Waiting => goroutine.status.name() == "waiting",
            Filter::User => !goroutine.is_system,
            Filter::System => goroutine.is_system,
            Filter::Label(key, value) => {
                let found = goroutine.labels.as_ref().and_then(|labels| labels.get(key));
                found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
            }
            Filter::Function(regex) => {
                let names = goroutine.stack.stack.frames.iter().filter_map(|frame| frame.function.as_deref());
                names.into_iter().any(|name| regex.is_match(name))
            }
            Filter::Place(kind, regex) => {
                kind.frame(goroutine).is_some_and(|frame| regex.is_match(&place_words(frame)))
            }
        }
    }
}

/// The filters' words.
pub const FILTERS: &str =
    "running, waiting, user, system, label K[=V], func REGEX, userloc REGEX, curloc REGEX, goloc REGEX, startloc REGEX";

fn first_line(error: &regex::Error) -> String {
    error.to_string().lines().last().unwrap_or_default().trim().to_owned()
}

/// `FUNCTION at FILE:LINE`.
pub fn place_words(frame: &NamedFrame) -> String {
    let function = frame.function.as_deref().unwrap_or("??");
    match &frame.spot {
        Some(spot) => format!("{function} at {}:{}", spot.file, spot.line),
        None => function.to_owned(),
    }
}

/// What goroutines are grouped by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupBy {
    /// One of their places.
    Place(PlaceKind),
    /// What they do, or wait for.
    State,
    /// The value of a label.
    Label(String),
}

impl GroupBy {
    /// From its words.
    pub fn parse(text: &str) -> Result<GroupBy, String> {
        let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
        match (name, PlaceKind::of(name)) {
            ("label", _) if rest.is_empty() => Err("a key is missing behind label".into()),
            ("label", _) => Ok(GroupBy::Label(rest.into())),
            ("state", _) => Ok(GroupBy::State),
            (_, Some(kind)) => Ok(GroupBy::Place(kind)),
            _ => Err(format!("no group {name:?}: they are userloc, curloc, go, start, state, label KEY")),
        }
    }

    fn key(&self, goroutine: &Goroutine) -> String {
        match self {
            GroupBy::Place(kind) => kind.frame(goroutine).map_or_else(|| "??".into(), place_words),
            GroupBy::State => goroutine.wait_reason.unwrap_or(goroutine.status.name()).into(),
            GroupBy::Label(key) => goroutine
                .labels
                .as_ref()
                .and_then(|labels| labels.get(key))
                .map_or_else(|| "(none)".into(), Clone::clone),
        }
    }

    /// The groups, the largest first.
    pub fn groups(&self, all: Vec<Goroutine>) -> Vec<(String, Vec<Goroutine>)> {
        let mut groups: BTreeMap<String, Vec<Goroutine>> = BTreeMap::new();
        for goroutine in all {
            groups.entry(self.key(&goroutine)).or_default().push(goroutine);
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by_key(|(_, members)| std::cmp::Reverse(members.len()));
        groups
    }
}

/// Leaves those that fit all of `with` and none of `without`.
pub fn filtered(mut all: Vec<Goroutine>, with: &[Filter], without: &[Filter]) -> Vec<Goroutine> {
    if with.is_empty() && without.is_empty() {
        return all;
    }
    let fits = |goroutine: &Goroutine| {
        with.iter().all(|filter| filter.fits(goroutine)) && !without.iter().any(|filter| filter.fits(goroutine))
    };
    all.retain(fits);
    all
}

impl Session {
    /// The runtime of the current process, which must be a Go program or have one in it.
    pub fn go_runtime(&mut self, verb: &str) -> anyhow::Result<Arc<GoRuntime>> {
        let (modules, _) = self.modules_now();
        let process = self.process()?;
        let (pid, name) = (process.pid(), process.name().to_owned());
        let missing = || {
            Failure::hinted(
                format!("{verb}: process {pid} ({name}) is no Go program: none of its files has Go's tables"),
                "threads lists its threads",
            )
        };
        Ok(Arc::new(GoRuntime::find(&modules).ok_or_else(missing)?))
    }

    /// All goroutines of the current process. One that runs is held while they are copied.
    pub fn goroutines(&mut self, verb: &str, depth: Depth) -> anyhow::Result<Goroutines> {
        let runtime = self.go_runtime(verb)?;
        let (modules, _) = self.modules_now();
        let found = self.process()?.goroutines(&runtime, &modules, depth);
        self.pass_on_news();
        Ok(found?)
    }
}
