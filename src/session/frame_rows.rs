//! Frames as commands show them: one row each for scripts, one line each for people. Finds nothing itself.

use std::borrow::Cow;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::locations::file_name;
use super::page::{Line, Page, Span, Style};
use crate::addr::RuntimeAddr;
use crate::target::stacks::{End, FoundBy, NamedFrame, NamedStack};

/// One frame.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FrameRow {
    /// Its number; 0 is the innermost.
    pub frame: usize,
    /// Where it is, or comes back to. An inlined frame has that of the function that it is part of.
    pub pc: RuntimeAddr,
    /// The function.
    pub function: Option<Arc<str>>,
    /// How far `pc` is behind the function's beginning.
    pub offset: Option<u64>,
    /// The source file, as the compiler wrote it.
    pub file: Option<Arc<str>>,
    /// The line, counted from 1; of a caller that of the call.
    pub line: Option<u32>,
    /// The column, counted from 1.
    pub column: Option<u32>,
    /// The file or kernel object that is mapped there.
    pub module: Option<Arc<str>>,
    /// How far `pc` is from the module's lowest mapping.
    pub module_offset: Option<u64>,
    /// Whether its code is part of the next frame's function.
    pub inlined: bool,
    /// Whether it is the frame that the kernel has made for a signal's handler.
    pub signal: bool,
    /// How its registers were found: `registers`, `cfi`, `frame_pointer`, `code`, `signal`, `wild_call`, `runtime`,
    /// `tail_call`: it has jumped to what is further in, and its frame is gone.
    pub found_by: &'static str,
}

impl FrameRow {
    /// A frame and its number.
    pub fn new(number: usize, frame: &NamedFrame) -> FrameRow {
        let spot = frame.spot.as_ref();
        FrameRow {
            frame: number,
            pc: frame.pc,
            function: frame.function.clone(),
            offset: frame.offset,
            file: spot.map(|spot| spot.file.clone()),
            line: spot.map(|spot| spot.line).filter(|line| *line > 0),
            column: spot.map(|spot| spot.column).filter(|column| *column > 0),
            module: frame.module.clone(),
            module_offset: frame.module_offset,
            inlined: frame.inlined,
            signal: frame.is_signal,
            found_by: found_by(frame.found_by),
        }
    }

    /// Its line: `#1  0x000055d8c3a0b1c2 main+0x1f2 at src/ae.c:421`. `whole`: the source's path as the compiler wrote it.
    pub fn line(&self, selected: bool, whole: bool) -> Line {
        let number = format!("{:<3} ", format!("#{}", self.frame));
        let mut line = vec![Span::new(number, if selected { Style::Strong } else { Style::Plain })];
        // A function that is inlined has no place of its own: a person's eye finds the frames by their addresses.
        line.push(match self.inlined {
            true => Span::new(format!("{:18} ", "(inlined)"), Style::Dim),
            false => Span::new(format!("{:#018x} ", self.pc.0), Style::Address),
        });
        match &self.function {
            Some(function) => line.push(Span::new(function, Style::Name)),
            None => line.push("??".into()),
        }
        if let Some(offset) = self.offset.filter(|offset| !self.inlined && *offset > 0 && self.function.is_some()) {
            line.push(Span::new(format!("+{offset:#x}"), Style::Dim));
        }
        if self.signal {
            line.push(Span::new(" <signal handler called>", Style::Warn));
        }
        if self.found_by == TAIL_CALL {
            line.push(Span::new(" (tail call)", Style::Dim));
        }
        match (&self.file, &self.module) {
            (Some(file), _) => {
                let place = self.line.map_or_else(String::new, |line| format!(":{line}"));
                line.push(Span::new(" at ", Style::Dim));
                line.push(format!("{}{place}", if whole { Cow::from(&**file) } else { short_path(file) }).into());
            }
            (None, Some(module)) => {
                let offset = self.module_offset.filter(|_| self.function.is_none());
                let offset = offset.map_or_else(String::new, |offset| format!("+{offset:#x}"));
                line.push(Span::new(format!(" in {}{offset}", file_name(module)), Style::Dim));
            }
            (None, None) => {}
        }
        line
    }
}

/// The last two parts of a path: most sources are told apart by them.
fn short_path(path: &str) -> Cow<'_, str> {
    let mut parts = path.rsplit('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(last), Some(folder), Some(_)) => Cow::from(format!("{folder}/{last}")),
        _ => Cow::from(path),
    }
}

/// The word for a function that has left by a jump.
const TAIL_CALL: &str = "tail_call";

fn found_by(how: FoundBy) -> &'static str {
    match how {
        FoundBy::Registers => "registers",
        FoundBy::Cfi => "cfi",
        FoundBy::FramePointer => "frame_pointer",
        FoundBy::Code => "code",
        FoundBy::Signal => "signal",
        FoundBy::WildCall => "wild_call",
        FoundBy::Runtime => "runtime",
        FoundBy::TailCall => TAIL_CALL,
    }
}

/// Why a stack ends where it does.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EndRow {
    /// `outermost`: it is whole; `enough`: so many frames were asked for; else why not: `too_many`, `bad_return_address`,
    /// `unreadable_memory`, `not_copied`, `no_progress`, `no_rule`, `unknown_register`, `no_registers`.
    pub reason: &'static str,
    /// The same in words.
    pub text: String,
    /// The address that is bad.
    pub address: Option<RuntimeAddr>,
}

impl From<End> for EndRow {
    fn from(end: End) -> EndRow {
        let address = match end {
            End::BadReturn(addr) | End::NoMemory(addr) | End::NotCopied(addr) => Some(addr),
            _ => None,
        };
        EndRow { reason: end.name(), text: end.to_string(), address }
    }
}

/// A stack whose rows are made when it is shown: thousands of threads may share it.
#[derive(Clone, Debug)]
pub struct SharedFrames(pub Arc<NamedStack>);

impl SharedFrames {
    /// Its frames.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = FrameRow> + '_ {
        self.0.frames.iter().enumerate().map(|(number, frame)| FrameRow::new(number, frame))
    }

    /// A line a frame, and why it ends where that is no matter of course.
    pub fn show(&self, page: &mut Page) {
        self.rows().for_each(|row| page.spans(row.line(false, false)));
        show_end(page, self.0.end);
    }
}

impl Serialize for SharedFrames {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.0.frames.len()))?;
        self.rows().try_for_each(|row| rows.serialize_element(&row))?;
        rows.end()
    }
}

impl JsonSchema for SharedFrames {
    fn schema_name() -> Cow<'static, str> {
        Vec::<FrameRow>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<FrameRow>::json_schema(generator)
    }

    fn inline_schema() -> bool {
        true
    }
}

/// Says why a stack ends, where it is not whole.
pub fn show_end(page: &mut Page, end: End) {
    match end {
        End::Outermost => {}
        End::Enough => page.spans(vec![Span::new("     (there are more frames)", Style::Dim)]),
        end => page.spans(vec![Span::new(format!("     the stack ends here: {end}"), Style::Warn)]),
    }
}
