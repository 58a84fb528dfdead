//! `print`: the value of an expression, kept as `$1`, `$2`, ….

use schemars::JsonSchema;
use serde::Serialize;

use super::regs::{Lanes, float, hex, number};
use crate::addr::RuntimeAddr;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::locations::{self, Place, parse_expr};
use crate::session::numbers::{self, Format};
use crate::session::page::{Page, Span, Style};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words};
use crate::target::expr::{Assignment, Value};
use crate::target::{Number, RegisterId};

pub(super) const COMMAND: Command = Command {
    name: "print",
    aliases: &["p", "inspect", "output"],
    group: Group::Looking,
    summary: "Evaluate an expression: print/x $rsp+8, p *(u32*)($rdi+16)",
    needs: Needs::Nothing,
    words: Words::Raw,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Printed>,
    question: no_question,
    run,
};

/// Prints a value and keeps it as $1, $2, …: `$` is the last one, `$$` the one before. /FMT is a letter: x hexadecimal, z the
/// same with zeros, d decimal, u without a sign, o octal, t binary, a address, c character, f floating-point, s text in
/// memory. Without an expression it prints `$` again. `print $foo = 5` sets and prints.
#[derive(clap::Parser)]
struct Args {
    /// A format and an expression of numbers, registers and memory
    #[arg(value_name = "[/FMT] EXPR", allow_hyphen_values = true)]
    text: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Printed {
    /// Its number in the history, `N` of `$N`; null for what is not kept: vectors and floating-point registers.
    number: Option<usize>,
    /// The number, with its sign; null if it has more than 64 bits.
    value: Option<i128>,
    /// The type: `i64`, `u8`, `void*`, …; null for vectors and floating-point registers.
    r#type: Option<String>,
    /// The value as it was asked for.
    text: String,
    /// Where it points to, if it is an address and something is mapped there.
    place: Option<Place>,
    /// A vector register as numbers side by side.
    lanes: Option<Lanes>,
}

/// The longest text that is shown of memory, in bytes.
const LONGEST_TEXT: usize = 200;

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let text = args.text.unwrap_or_default();
    let (format, text) = take_format(&text)?;
    let text = if text.is_empty() { "$" } else { text };
    if let Some(register) = wide_register(text) {
        return Ok(Outcome::Reply(Reply::new(print_wide(cx, register)?)));
    }
    let value = evaluate(cx, text)?;
    let (shown, place) = show(cx, value, format)?;
    let number = cx.session.variables.add(value);
    Ok(Outcome::Reply(Reply::new(Printed {
        number: Some(number),
        value: Some(value.number()),
        r#type: Some(value.ty().to_string()),
        text: shown,
        place,
        lanes: None,
    })))
}

/// `/x` in front of an expression.
fn take_format(text: &str) -> Result<(Option<Format>, &str), Failure> {
    let Some(rest) = text.strip_prefix('/') else { return Ok((None, text.trim())) };
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let (letters, rest) = rest.split_at(end);
    let hint = "print/x EXPR; the formats are x z d u o t a c f s";
    let mut found = None;
    for letter in letters.chars() {
        let format = Format::of(letter).filter(|format| *format != Format::Instruction);
        let format =
            format.ok_or_else(|| Failure::usage(format!("print: {letter:?} is no format of a value"), hint))?;
        if found.replace(format).is_some() {
            return Err(Failure::usage(format!("print: /{letters} is more than one format"), hint));
        }
    }
    Ok((found, rest.trim()))
}

/// A register that is no integer: a vector, or a floating-point register or lane.
fn wide_register(text: &str) -> Option<RegisterId> {
    let register = RegisterId::parse(text.strip_prefix('$')?)?;
    matches!(register.number, Number::Vector | Number::Float).then_some(register)
}

/// A register's value in words.
pub(super) fn register_text(cx: &Context<'_>, register: RegisterId) -> anyhow::Result<String> {
    let bytes = cx.session.read_register(register)?;
    Ok(match register.number {
        Number::Vector => hex(&bytes),
        Number::Float => numbers::float64(float(&bytes)),
        Number::Signed => Format::Decimal.show(number(&bytes), register.size),
        Number::Unsigned => Format::Hex.show(number(&bytes), register.size),
        Number::Address => show(cx, Value::address(number(&bytes)), None)?.0,
    })
}

fn print_wide(cx: &Context<'_>, register: RegisterId) -> anyhow::Result<Printed> {
    let bytes = cx.session.read_register(register)?;
    let lanes = (register.number == Number::Vector).then(|| Lanes::of(&bytes));
    let text = register_text(cx, register)?;
    Ok(Printed { number: None, value: None, r#type: None, text, place: None, lanes })
}

/// The value of an expression, or of the assignment that it is.
fn evaluate(cx: &mut Context<'_>, text: &str) -> anyhow::Result<Value> {
    if !Assignment::is_one(text) {
        return cx.session.evaluate(text);
    }
    let assignment = Assignment::parse(text).map_err(|error| locations::not_understood(text, &error))?;
    cx.session.assign(&assignment, text)?;
    let place = text.split_once('=').map_or(text, |(place, _)| place);
    Ok(cx.session.evaluate_expr(&parse_expr(place)?)?)
}

/// The value in words, and its place if it is an address.
pub(super) fn show(cx: &Context<'_>, value: Value, format: Option<Format>) -> anyhow::Result<(String, Option<Place>)> {
    let is_pointer = value.ty().is_pointer();
    let size = value.ty().size().max(1);
    let default = match value.ty().is_signed() {
        _ if is_pointer => Format::Address,
        true => Format::Decimal,
        false => Format::Unsigned,
    };
    let format = format.unwrap_or(default);
    let mut text = format.show(value.bits(), size);
    match format {
        Format::Address => {
            let locations = cx.session.locations();
            let address = RuntimeAddr(value.bits());
            if let Some(words) = locations.words(address) {
                text = format!("{text} {words}");
            }
            return Ok((text, locations.place(address)));
        }
        Format::Text => text = format!("{text} {}", memory_text(cx, RuntimeAddr(value.bits()))?),
        _ => {}
    }
    Ok((text, None))
}

/// The bytes at an address up to a NUL, as C's string literal.
fn memory_text(cx: &Context<'_>, addr: RuntimeAddr) -> anyhow::Result<String> {
    let Some(process) = cx.session.current() else {
        return Err(Failure::plain(format!("cannot read memory at {addr}: no process is attached")).into());
    };
    let mut bytes = [0; LONGEST_TEXT];
    let got = process.read_memory_partly(addr, &mut bytes)?;
    let end = bytes[..got].iter().position(|byte| *byte == 0);
    if got == 0 {
        process.read_memory(addr, &mut bytes[..1])?;
    }
    let text = bytes[..end.unwrap_or(got)].escape_ascii().to_string();
    Ok(format!("\"{text}\"{}", if end.is_some() { "" } else { "…" }))
}

impl Show for Printed {
    fn show(&self, page: &mut Page) {
        let number = self.number.map_or(String::new(), |number| format!("${number} = "));
        page.spans(vec![Span::new(number, Style::Dim), Span::new(&self.text, Style::Plain)]);
        if let Some(lanes) = &self.lanes {
            lanes.show(page);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_stand_in_front() {
        assert_eq!(take_format("/x 5"), Ok((Some(Format::Hex), "5")));
        assert_eq!(take_format("/ 5"), Ok((None, "5")));
        assert_eq!(take_format(" -5 "), Ok((None, "-5")));
        assert_eq!(take_format("/c"), Ok((Some(Format::Char), "")));
        for wrong in ["/i 5", "/xd 5", "/4x 5", "/q"] {
            assert!(take_format(wrong).is_err(), "{wrong}");
        }
    }
}
