//! Goroutines as rows: of a table, of JSON, or heads of stacks. Asks nobody for them.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustc_hash::FxHashMap;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

use crate::addr::{RuntimeAddr, Tid};
use crate::session::duration;
use crate::session::frame_rows::{EndRow, SharedFrames};
use crate::session::goroutines::PlaceKind;
use crate::session::page::{Column, MadeRows, Page, Span, Style};
use crate::target::goroutines::Goroutine;
use crate::target::stacks::NamedFrame;

/// Goroutines whose rows are made when they are shown: a hundred thousand would take more memory than all else.
pub struct Rows {
    pub all: Arc<Vec<Goroutine>>,
    pub with_stacks: bool,
}

impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.all.iter().map(|one| GoroutineRow::new(one, self.with_stacks)))
    }
}

impl JsonSchema for Rows {
    fn schema_name() -> Cow<'static, str> {
        Vec::<GoroutineRow>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<GoroutineRow>::json_schema(generator)
    }

    fn inline_schema() -> bool {
        true
    }
}

/// One goroutine.
#[derive(Serialize, JsonSchema)]
pub struct GoroutineRow {
    pub id: u64,
    /// `runnable`, `running`, `syscall`, `waiting`, `copystack`, `preempted`, … as the runtime names it.
    status: &'static str,
    /// What it waits for, in the runtime's words.
    wait_reason: Option<&'static str>,
    /// About how long, seconds: the runtime notes the time when it first collects garbage after the wait's beginning.
    waiting_s: Option<f64>,
    /// Whether it is the runtime's own.
    system: bool,
    /// The thread that runs it.
    pub thread: Option<Tid>,
    /// Where it is in the program's own code.
    user: Option<PlaceRow>,
    /// Where it is.
    current: Option<PlaceRow>,
    /// The function that it began with.
    start: Option<PlaceRow>,
    /// Where it was made.
    creator: Option<PlaceRow>,
    /// The goroutine that made it; known since Go 1.21.
    parent: Option<u64>,
    labels: Option<Vec<LabelRow>>,
    /// Its stack, where it was asked for.
    frames: Option<SharedFrames>,
    /// Why that ends.
    end: Option<EndRow>,
}

/// A label (runtime/pprof).
#[derive(Serialize, JsonSchema)]
struct LabelRow {
    key: String,
    value: String,
}

/// A place in code.
#[derive(Clone, Serialize, JsonSchema)]
pub struct PlaceRow {
    pc: RuntimeAddr,
    function: Option<Arc<str>>,
    file: Option<Arc<str>>,
    line: Option<u32>,
}

impl PlaceRow {
    fn new(frame: &NamedFrame) -> PlaceRow {
        let spot = frame.spot.as_ref();
        PlaceRow {
            pc: frame.pc,
            function: frame.function.clone(),
            file: spot.map(|spot| spot.file.clone()),
            line: spot.map(|spot| spot.line).filter(|line| *line > 0),
        }
    }

    /// `main.worker at t/main.go:12`.
    fn words(&self) -> String {
        let mut words = self.function.as_deref().map_or_else(|| self.pc.to_string(), str::to_owned);
        if let Some(file) = &self.file {
            let begin = file.rmatch_indices('/').nth(1).map_or(0, |(at, _)| at + 1);
            let _ = write!(words, " at {}", &file[begin..]);
            if let Some(line) = self.line {
                let _ = write!(words, ":{line}");
            }
        }
        words
    }
}

impl GoroutineRow {
    pub fn new(one: &Goroutine, with_stack: bool) -> GoroutineRow {
        let place = |kind: PlaceKind| kind.frame(one).map(PlaceRow::new);
        let labels = one.labels.as_ref().map(|labels| {
            labels.iter().map(|(key, value)| LabelRow { key: key.clone(), value: value.clone() }).collect()
        });
        GoroutineRow {
            id: one.id,
            status: one.status.name(),
            wait_reason: one.wait_reason,
            waiting_s: one.waiting.map(|waiting| waiting.as_secs_f64()),
            system: one.is_system,
            thread: one.thread,
            user: place(PlaceKind::User),
            current: place(PlaceKind::Current),
            start: place(PlaceKind::Start),
            creator: place(PlaceKind::Go),
            parent: one.parent,
            labels,
            end: with_stack.then(|| one.stack.stack.end.into()),
            frames: with_stack.then(|| SharedFrames(one.stack.stack.clone())),
        }
    }

    fn state(&self) -> &'static str {
        self.wait_reason.unwrap_or(self.status)
    }

    fn labels(&self) -> String {
        let labels = self.labels.iter().flatten();
        labels.map(|label| format!("{}={}", label.key, label.value)).collect::<Vec<_>>().join(" ")
    }

    /// `goroutine 7 [chan receive, 2.0 min]`, as Go's own traces have it.
    fn head(&self) -> Vec<Span> {
        let waiting = self.waiting_s.map(|s| format!(", {}", duration::show(Duration::from_secs_f64(s))));
        let thread = self.thread.map(|tid| format!(", thread {tid}"));
        let labels = self.labels();
        let mut head = vec![
            Span::new(format!("goroutine {}", self.id), Style::Strong),
            format!(" [{}{}{}]", self.state(), waiting.unwrap_or_default(), thread.unwrap_or_default()).into(),
        ];
        if !labels.is_empty() {
            head.push(Span::new(format!(" {labels}"), Style::Dim));
        }
        head
    }

    pub fn show_whole(&self, page: &mut Page) {
        page.spans(self.head());
        self.show_stack(page);
    }

    fn show_stack(&self, page: &mut Page) {
        if let Some(frames) = &self.frames {
            frames.show(page);
        }
        if let Some(creator) = &self.creator {
            let parent = self.parent.map_or_else(String::new, |parent| format!(" in goroutine {parent}"));
            page.spans(vec![Span::new(format!("made by {}{parent}", creator.words()), Style::Dim)]);
        }
    }
}

/// The table of goroutines.
struct GoroutineTable {
    all: Arc<Vec<Goroutine>>,
    with_labels: bool,
    drawn: OnceLock<Drawn>,
}

/// The texts of a table, and which of them each row has: state, wait, where it is, began and was made.
struct Drawn {
    texts: Vec<Span>,
    rows: Vec<[u32; 5]>,
}

/// Texts that many rows have, each made once: by where the frame is in memory that the goroutines share.
struct Texts {
    all: Vec<Span>,
    places: FxHashMap<(*const NamedFrame, Style), u32>,
    starts: FxHashMap<*const NamedFrame, u32>,
    states: FxHashMap<(*const str, Style), u32>,
    /// The runtime notes one time for all that a collection finds.
    waits: FxHashMap<Duration, u32>,
}

/// Which of the texts is empty.
const NOTHING: u32 = 0;

impl Texts {
    fn new() -> Texts {
        let (places, starts) = (FxHashMap::default(), FxHashMap::default());
        let (states, waits) = (FxHashMap::default(), FxHashMap::default());
        Texts { all: vec![Span::default()], places, starts, states, waits }
    }

    fn place(&mut self, frame: Option<&NamedFrame>, style: Style) -> u32 {
        let Some(frame) = frame else { return NOTHING };
        let make = || {
            self.all.push(Span::new(PlaceRow::new(frame).words(), style));
            self.all.len() as u32 - 1
        };
        *self.places.entry((frame, style)).or_insert_with(make)
    }

    fn start(&mut self, frame: Option<&NamedFrame>) -> u32 {
        let Some(frame) = frame else { return NOTHING };
        let make = || {
            self.all.push(frame.function.as_deref().unwrap_or_default().into());
            self.all.len() as u32 - 1
        };
        *self.starts.entry(frame).or_insert_with(make)
    }

    fn state(&mut self, one: &Goroutine) -> u32 {
        let state: &'static str = one.wait_reason.unwrap_or(one.status.name());
        let style = if one.thread.is_some() { Style::Good } else { Style::Plain };
        let make = || {
            self.all.push(Span::new(state, style));
            self.all.len() as u32 - 1
        };
        *self.states.entry((state, style)).or_insert_with(make)
    }

    fn waiting(&mut self, one: &Goroutine) -> u32 {
        let Some(waiting) = one.waiting else { return NOTHING };
        let make = || {
            self.all.push(duration::show(waiting).into());
            self.all.len() as u32 - 1
        };
        *self.waits.entry(waiting).or_insert_with(make)
    }
}

impl fmt::Debug for GoroutineTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a table of {} goroutines", self.all.len())
    }
}

impl GoroutineTable {
    fn draw(&self) -> Drawn {
        let mut texts = Texts::new();
        let row = |one: &Goroutine| {
            [
                texts.state(one),
                texts.waiting(one),
                texts.place(PlaceKind::User.frame(one), Style::Name),
                texts.start(PlaceKind::Start.frame(one)),
                texts.place(PlaceKind::Go.frame(one), Style::Plain),
            ]
        };
        let rows = self.all.iter().map(row).collect();
        Drawn { texts: texts.all, rows }
    }
}

impl MadeRows for GoroutineTable {
    fn visit(&self, show: &mut dyn FnMut(&[&Span])) {
        let Drawn { texts, rows } = self.drawn.get_or_init(|| self.draw());
        let (mut id, mut thread, mut labels) = (Span::default(), Span::default(), Span::default());
        for (one, row) in self.all.iter().zip(rows) {
            id.set_number(one.id);
            match one.thread {
                Some(tid) => thread = tid.to_string().into(),
                None => thread.clear(),
            }
            if self.with_labels {
                labels = GoroutineRow::new(one, false).labels().into();
            }
            let [state, waiting, user, start, creator] = row.map(|at| &texts[at as usize]);
            let cells = [&id, state, waiting, &thread, user, start, creator, &labels];
            show(&cells[..cells.len() - usize::from(!self.with_labels)]);
        }
    }
}

impl Rows {
    pub fn show(&self, page: &mut Page) {
        if self.with_stacks { self.show_stacks(page) } else { self.show_table(page) }
    }

    /// Stacks that many have are one part of the page.
    fn show_stacks(&self, page: &mut Page) {
        let mut known = FxHashMap::default();
        for one in self.all.iter() {
            let row = GoroutineRow::new(one, true);
            page.spans(row.head());
            let key = (Arc::as_ptr(&one.stack), PlaceKind::Go.frame(one).map(std::ptr::from_ref), one.parent);
            let make = || {
                let mut stack = Page::default();
                row.show_stack(&mut stack);
                stack.line("");
                Arc::new(stack)
            };
            page.share(known.entry(key).or_insert_with(make).clone());
        }
    }

    fn show_table(&self, page: &mut Page) {
        let with_labels = self.all.iter().any(|one| one.labels.is_some());
        let mut columns = vec![
            Column::right("ID"),
            Column::left("STATE"),
            Column::right("FOR"),
            Column::left("THREAD"),
            Column::shrinking("WHERE", 1),
            Column::shrinking("BEGAN AS", 2),
            Column::shrinking("MADE BY", 3),
        ];
        if with_labels {
            columns.push(Column::shrinking("LABELS", 2));
        }
        let rows = GoroutineTable { all: self.all.clone(), with_labels, drawn: OnceLock::new() };
        page.made_table(columns, Arc::new(rows));
    }
}
