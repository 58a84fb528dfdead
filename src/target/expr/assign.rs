//! Assignments: `$rip = EXPR`, `$xmm0.v4_float[1] = 1.5`, `*(u32*)ADDR = EXPR`, `{u8[4]}ADDR = 1 2 3 4`, `$foo = EXPR`. Says
//! what is to be put where; puts nothing anywhere.

use super::error::SyntaxError;
use super::lexer::Token;
use super::parser::Parser;
use super::types::Type;
use super::{EvalError, Expr, Machine};
use crate::target::RegisterId;

/// An assignment.
#[derive(Clone, PartialEq, Debug)]
pub struct Assignment {
    /// What is set.
    pub place: Place,
    /// To what.
    pub source: Source,
}

/// What can be set.
#[derive(Clone, PartialEq, Debug)]
pub enum Place {
    /// A register or a lane of one.
    Register(RegisterId),
    /// A convenience variable, without its `$`.
    Variable(String),
    /// Memory.
    Memory {
        /// Where it begins.
        address: Expr,
        /// What one element is.
        element: Type,
        /// How many elements, where that is said.
        count: Option<usize>,
    },
}

/// What it is set to.
#[derive(Clone, PartialEq, Debug)]
pub enum Source {
    /// One number.
    Expr(Expr),
    /// Several elements.
    List(Vec<Expr>),
    /// The bytes of a text.
    Text(Vec<u8>),
    /// A floating-point number, for registers and lanes that are one.
    Float(f64),
}

/// So many elements can be set at once.
const MOST_ELEMENTS: usize = 4096;

impl Assignment {
    /// Compiles `PLACE = SOURCE`.
    pub fn parse(text: &str) -> Result<Assignment, SyntaxError> {
        let equals = equals_sign(text).ok_or_else(|| {
            SyntaxError::new(text.chars().count() + 1, "'=' and a value are expected behind what is to be set")
        })?;
        let place = Place::parse(text[..equals].trim_end())?;
        let characters = text[..=equals].chars().count();
        let source = Source::parse(&text[equals + 1..], &place).map_err(|error| error.moved(characters))?;
        Ok(Assignment { place, source })
    }

    /// Whether a text has the `=` of an assignment.
    pub fn is_one(text: &str) -> bool {
        equals_sign(text).is_some()
    }
}

/// Where the first `=` stands that is no part of another operator nor of a quotation.
fn equals_sign(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut quote = None;
    for (at, byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b'=') => {
                let before = at.checked_sub(1).map_or(b' ', |before| bytes[before]);
                let after = bytes.get(at + 1).copied().unwrap_or(b' ');
                if !b"=!<>".contains(&before) && after != b'=' {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

impl Place {
    fn parse(text: &str) -> Result<Place, SyntaxError> {
        let mut parser = Parser::new(text, false)?;
        let place = match parser.peek() {
            Token::Register(register) => {
                parser.advance();
                Place::Register(register)
            }
            Token::Variable(name) => {
                parser.advance();
                Place::Variable(name)
            }
            Token::Sign("*") => {
                parser.advance();
                Place::starred(&mut parser)?
            }
            Token::Sign("{") => {
                parser.advance();
                let (element, count) = Place::element(&mut parser)?;
                parser.expect("}")?;
                Place::Memory { address: parser.whole()?, element, count }
            }
            other => {
                let message = format!(
                    "a register, a $variable, *(TYPE*)ADDRESS or {{TYPE}}ADDRESS can be set, not {}",
                    other.describe()
                );
                return Err(parser.error(message));
            }
        };
        match parser.peek() {
            Token::End => Ok(place),
            other => Err(parser.error(format!("'=' is expected here, not {}", other.describe()))),
        }
    }

    /// Behind `*`: `(TYPE*)ADDR`, `(TYPE[N]*)ADDR` or an address of 8 bytes.
    fn starred(parser: &mut Parser<'_>) -> Result<Place, SyntaxError> {
        let begin = parser.position();
        if parser.takes("(") && parser.type_name().is_some() {
            let mut count = None;
            if parser.takes("[") {
                count = Some(Place::count(parser)?);
                parser.expect("*")?;
            }
            parser.expect(")")?;
            let end = parser.position();
            // The type once more, now that its shape is known to be right.
            parser.back_to(begin + 1);
            let ty = parser.type_name().unwrap_or(Type::U64);
            let element = if count.is_some() { ty } else { ty.pointee() };
            let typed = count.is_some() || ty.is_pointer();
            if typed {
                parser.back_to(end);
                return Ok(Place::Memory { address: parser.whole()?, element: sized(parser, element)?, count });
            }
        }
        parser.back_to(begin);
        Ok(Place::Memory { address: parser.whole()?, element: Type::U64, count: None })
    }

    /// `TYPE` or `TYPE[N]`.
    fn element(parser: &mut Parser<'_>) -> Result<(Type, Option<usize>), SyntaxError> {
        let ty = parser.type_name();
        let ty = ty.ok_or_else(|| {
            parser.error(format!("a type such as u8 or u8[4] is expected here, not {}", parser.peek().describe()))
        })?;
        let count = if parser.takes("[") { Some(Place::count(parser)?) } else { None };
        Ok((sized(parser, ty)?, count))
    }

    /// Behind `[`: a number of elements and `]`.
    fn count(parser: &mut Parser<'_>) -> Result<usize, SyntaxError> {
        let Token::Number(number) = parser.peek() else {
            return Err(
                parser.error(format!("a number of elements is expected here, not {}", parser.peek().describe()))
            );
        };
        let count = usize::try_from(number).ok().filter(|count| (1..=MOST_ELEMENTS).contains(count));
        let count = count.ok_or_else(|| parser.error(format!("1 to {MOST_ELEMENTS} elements can be set at once")))?;
        parser.advance();
        parser.expect("]")?;
        Ok(count)
    }
}

fn sized(parser: &Parser<'_>, ty: Type) -> Result<Type, SyntaxError> {
    if ty.size() > 0 { Ok(ty) } else { Err(parser.error("void has no size: nothing can be set there")) }
}

impl Source {
    fn parse(text: &str, place: &Place) -> Result<Source, SyntaxError> {
        let is_number = |number: &f64| number.is_finite() || text.contains("inf") || text.contains("nan");
        if let Place::Register(register) = place
            && register.number == crate::target::Number::Float
        {
            let number = text.trim().parse::<f64>().ok().filter(is_number);
            let message = format!("${register} takes a floating-point number such as 1.5");
            return number.map(Source::Float).ok_or_else(|| SyntaxError::new(1 + blanks(text), message));
        }
        let mut parser = Parser::new(text, false)?;
        let source = match parser.peek() {
            Token::Quoted(quoted) if text.trim_start().starts_with('"') => {
                parser.advance();
                Source::Text(quoted)
            }
            Token::Sign("{") => Source::braced(&mut parser)?,
            _ => {
                let mut list = vec![parser.whole()?];
                while parser.peek() != Token::End && takes_several(place) {
                    parser.takes(",");
                    list.push(Source::element(&mut parser, list.len())?);
                }
                if list.len() > 1 { Source::List(list) } else { Source::Expr(list.swap_remove(0)) }
            }
        };
        match parser.peek() {
            Token::End => Ok(source),
            other => Err(parser.error(format!("the end is expected here, not {}", other.describe()))),
        }
    }

    /// `{1, 2, 3}`, where that is not `{TYPE}ADDRESS`.
    fn braced(parser: &mut Parser<'_>) -> Result<Source, SyntaxError> {
        let begin = parser.position();
        parser.advance();
        if parser.type_name().is_some() {
            parser.back_to(begin);
            return Ok(Source::Expr(parser.whole()?));
        }
        let mut list = vec![parser.whole()?];
        while parser.takes(",") {
            list.push(Source::element(parser, list.len())?);
        }
        parser.expect("}")?;
        Ok(Source::List(list))
    }

    fn element(parser: &mut Parser<'_>, before: usize) -> Result<Expr, SyntaxError> {
        if before >= MOST_ELEMENTS {
            return Err(parser.error(format!("at most {MOST_ELEMENTS} elements can be set at once")));
        }
        parser.whole()
    }

    /// The values of a number or list.
    pub fn values(&self, machine: &mut dyn Machine) -> Result<Vec<u64>, EvalError> {
        match self {
            Source::Expr(expr) => Ok(vec![expr.eval(machine)?.bits()]),
            Source::List(list) => list.iter().map(|expr| Ok(expr.eval(machine)?.bits())).collect(),
            Source::Text(bytes) => Ok(bytes.iter().copied().map(u64::from).collect()),
            Source::Float(number) => Ok(vec![number.to_bits()]),
        }
    }
}

fn blanks(text: &str) -> usize {
    text.chars().take_while(|c| c.is_whitespace()).count()
}

/// Elements may stand behind each other without commas where so many are known to be wanted.
fn takes_several(place: &Place) -> bool {
    match place {
        Place::Memory { count, .. } => count.is_some(),
        Place::Register(register) => register.number == crate::target::Number::Vector,
        Place::Variable(_) => false,
    }
}
