//! From the words of a location to addresses: all places of a function or a line in all files that are mapped. What cannot
//! be found is said with the names that are near. Changes nothing.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use regex::{Regex, RegexBuilder};

use super::spec::{Spec, is_name};
use super::{Locations, expressions, names};
use crate::addr::RuntimeAddr;
use crate::session::command::edits;
use crate::session::{Failure, Session};
use crate::symbols::{NameKind, NamePattern, SourceSpot};
use crate::target::expr::Expr;

/// A place that a location means.
#[derive(Clone, Debug)]
pub struct Spot {
    /// Where to stop: behind the prologue of a function.
    pub address: RuntimeAddr,
    /// Where its function begins; the address itself where nothing is known of a function.
    pub entry: RuntimeAddr,
    /// The address behind its function.
    pub end: RuntimeAddr,
    /// The function.
    pub function: Option<Arc<str>>,
    /// Where in the source `address` is.
    pub source: Option<SourceSpot>,
}

/// What a location means.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// Every place of it, by rising address, each once.
    pub spots: Vec<Spot>,
    /// The location with what the words left open filled in: the current file of a bare line.
    pub location: String,
    /// Whether more places can come with files that are still to be mapped.
    pub follows: bool,
    /// Why there is no place.
    pub missing: Option<Failure>,
}

const HINT: &str = "locations are FUNC, FILE:LINE, LINE, +N, *0x1234, *$pc+4, libc.so.6+0x1234";

/// A search for near names ends then: an answer that comes late is none.
const LONGEST_SEARCH: Duration = Duration::from_millis(150);

/// The addresses that a location means, at least one: all places of a function or a line.
pub fn resolve(session: &Session, text: &str) -> anyhow::Result<Vec<RuntimeAddr>> {
    let resolved = resolve_spots(session, &session.locations(), text)?;
    match resolved.missing {
        Some(missing) => Err(missing.into()),
        None => Ok(resolved.spots.into_iter().map(|spot| spot.address).collect()),
    }
}

/// All that a location means. Fails if its words make no sense now; that nothing has what they name is no failure yet.
pub fn resolve_spots(session: &Session, locations: &Locations, text: &str) -> Result<Resolved, Failure> {
    let text = text.trim();
    let spec = Spec::parse(text).ok_or_else(|| Failure::hinted("a location is missing", HINT))?;
    if let Some(address) = module_offset(locations, text.trim_start_matches('*')) {
        return Ok(Resolved::at(locations, text, address));
    }
    let spec = match spec {
        Spec::Line(line) => Spec::FileLine(session.current_line(locations)?.0, line),
        Spec::Relative(lines) => {
            // From where the thread stands, whatever was listed.
            let here = session.frame_pc().and_then(|pc| locations.source_at(pc));
            let (file, line) = match here {
                Some(spot) => (spot.file.to_string(), spot.line),
                None => session.current_line(locations)?,
            };
            Spec::FileLine(file, u32::try_from((i64::from(line) + lines).max(1)).unwrap_or(u32::MAX))
        }
        Spec::Address(inner) => return expression(session, locations, text, &inner, 1),
        spec => spec,
    };
    if let Spec::FileLine(_, 0) = spec {
        return Err(Failure::hinted("there is no line 0: lines are counted from 1", HINT));
    }
    let location = match &spec {
        Spec::FileLine(file, line) => format!("{file}:{line}"),
        _ => text.to_owned(),
    };
    if let Spec::Function(name) = &spec
        && !is_name(name)
        && !text.starts_with(['\'', '"'])
        // What is no expression may be a name as listings show it: `int f<int>(int)`.
        && !(name.contains(['(', '<']) && Expr::parse(text).is_err() && !locations.functions(name).is_empty())
    {
        return expression(session, locations, text, text, 0);
    }
    let mut spots = locations.spots(&spec);
    spots.sort_by_key(|spot| spot.address);
    spots.dedup_by_key(|spot| spot.address);
    let missing = spots.is_empty().then(|| locations.missing(&spec));
    Ok(Resolved { spots, location, follows: spec.follows_files(), missing })
}

impl Resolved {
    fn at(locations: &Locations, text: &str, address: RuntimeAddr) -> Resolved {
        let source = locations.source_at(address);
        let function = locations.function_at(address);
        let spot = Spot { address, entry: address, end: address, function, source };
        Resolved { spots: vec![spot], location: text.to_owned(), follows: false, missing: None }
    }
}

fn expression(
    session: &Session,
    locations: &Locations,
    text: &str,
    inner: &str,
    before: usize,
) -> Result<Resolved, Failure> {
    let expr = Expr::parse(inner).map_err(|error| expressions::not_understood(text, &error.moved(before)))?;
    let value = session.evaluate_with(&expr, Some(locations));
    let value = value.map_err(|error| expressions::failure("find", text, &error))?;
    Ok(Resolved::at(locations, text, RuntimeAddr(value.bits())))
}

/// `redis-server+0x10`, `main+0x12`: a name that is mapped may hold any characters.
pub(super) fn module_offset(locations: &Locations, text: &str) -> Option<RuntimeAddr> {
    let (name, offset) = text.rsplit_once('+')?;
    let digits = offset.trim().strip_prefix("0x")?;
    let offset = u64::from_str_radix(digits, 16).ok()?;
    let base = locations.symbol(name.trim().trim_matches(['\'', '"']))?;
    Some(RuntimeAddr(base.0.wrapping_add(offset)))
}

/// A regular expression that a person wrote behind a command.
pub fn regex(command: &str, text: &str) -> Result<Regex, Failure> {
    let built = RegexBuilder::new(text.trim()).size_limit(1 << 20).build();
    built.map_err(|error| {
        let text = error.to_string();
        // The last line says what is wrong, those before show where.
        let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let hint = "a regular expression is meant: \\. is a dot, ^ and $ are the ends of a name";
        Failure::usage(format!("{command}: {why}"), hint)
    })
}

/// Whether a file's path is the one that is meant: the same, or its last parts are.
pub fn is_file(path: &str, wanted: &str) -> bool {
    let wanted = wanted.trim_start_matches("./");
    path.strip_suffix(wanted)
        .is_some_and(|before| before.is_empty() || before.ends_with('/') || wanted.starts_with('/'))
}

impl Locations {
    /// Every place of a function or a line that does not depend on where a thread stands.
    pub fn spots(&self, spec: &Spec) -> Vec<Spot> {
        match spec {
            Spec::Function(name) => self.functions(name),
            Spec::FileFunction(file, name) => {
                let here = |spot: &Spot| spot.source.as_ref().is_some_and(|source| is_file(&source.file, file));
                self.functions(name).into_iter().filter(here).collect()
            }
            Spec::FileLine(file, line) => self.line(file, *line),
            Spec::Address(_) | Spec::Line(_) | Spec::Relative(_) => Vec::new(),
        }
    }

    fn functions(&self, name: &str) -> Vec<Spot> {
        names::functions(self.modules(), &NamePattern::name(name))
    }

    fn line(&self, file: &str, line: u32) -> Vec<Spot> {
        let all = names::lines(self.modules(), file, line);
        // The same header may have code for the line itself in one file and only for a later line in another.
        let nearest = all.iter().map(|(line, _)| *line).min();
        all.into_iter().filter(|(line, _)| Some(*line) == nearest).flat_map(|(_, spots)| spots).collect()
    }

    /// Why nothing is there.
    fn missing(&self, spec: &Spec) -> Failure {
        let short = |name: &str| name.chars().take(80).collect::<String>();
        match spec {
            Spec::FileLine(file, line) => {
                let known = self.sources_named(file);
                if known.is_empty() {
                    let hint = "sources lists the files";
                    return Failure::hinted(format!("no source file is called {}", short(file)), hint);
                }
                let message = format!("line {line} of {} has no code, nor has any behind it", short(file));
                Failure::hinted(message, "list shows the file")
            }
            Spec::FileFunction(file, name) => {
                let message = format!("no function is called {} in {}", short(name), short(file));
                Failure::hinted(message, "functions REGEX lists them")
            }
            Spec::Function(name) | Spec::Address(name) => {
                let near = self.near(name);
                let hint = match near.as_slice() {
                    [] => "functions REGEX lists those that there are".to_owned(),
                    names => format!("did you mean {}?", names.join(" or ")),
                };
                Failure::hinted(format!("no function is called {}", short(name)), hint)
            }
            Spec::Line(_) | Spec::Relative(_) => Failure::plain("no line is there"),
        }
    }

    /// The source files of a name, in all that is mapped.
    pub fn sources_named(&self, file: &str) -> Vec<Arc<str>> {
        names::sources(self.modules()).into_iter().filter(|path| is_file(path, file)).collect()
    }

    /// The three functions whose names are nearest to one that there is not.
    fn near(&self, name: &str) -> Vec<String> {
        let wanted: String = name.chars().take(60).collect();
        let most = (wanted.chars().count() / 3).clamp(1, 3);
        let begin = Instant::now();
        let mut near: Vec<(usize, String)> = Vec::new();
        let mut count = 0u32;
        names::each_name(self.modules(), NameKind::Function, &mut |_, _, known| {
            count += 1;
            if count.is_multiple_of(256) && begin.elapsed() > LONGEST_SEARCH {
                return ControlFlow::Break(());
            }
            let known = known.name;
            if known.len().abs_diff(wanted.len()) <= most && known.len() <= 200 {
                let distance = edits(&wanted, known);
                if distance <= most && near.iter().all(|(_, name)| name != known) {
                    near.push((distance, known.to_owned()));
                }
            }
            ControlFlow::Continue(())
        });
        near.sort();
        near.truncate(3);
        near.into_iter().map(|(_, name)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_their_last_parts() {
        for (path, wanted, fits) in [
            ("/src/a/main.c", "main.c", true),
            ("/src/a/main.c", "a/main.c", true),
            ("/src/a/main.c", "/src/a/main.c", true),
            ("/src/a/main.c", "./main.c", true),
            ("/src/a/domain.c", "main.c", false),
            ("main.c", "src/main.c", false),
        ] {
            assert_eq!(is_file(path, wanted), fits, "{path} {wanted}");
        }
    }
}
