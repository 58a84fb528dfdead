//! Grammar: tokens into operations. Recursion and the stack of the evaluation are bounded here.

use super::Expr;
use super::error::SyntaxError;
use super::eval::{Binary, DEEPEST, Op};
use super::lexer::{At, Token, tokens};
use super::types::{Type, Value};
use crate::target::{Number, RegisterId};

/// How deep expressions may be nested.
const MOST_NESTED: usize = 100;

/// The operators by binding strength, the loosest first.
const LEVELS: [&[(&str, Binary)]; 8] = [
    &[("|", Binary::Or)],
    &[("^", Binary::Xor)],
    &[("&", Binary::And)],
    &[("==", Binary::Equal), ("!=", Binary::Unequal)],
    &[("<=", Binary::LessOrEqual), (">=", Binary::GreaterOrEqual), ("<", Binary::Less), (">", Binary::Greater)],
    &[("<<", Binary::ShiftLeft), (">>", Binary::ShiftRight)],
    &[("+", Binary::Add), ("-", Binary::Subtract)],
    &[("*", Binary::Multiply), ("/", Binary::Divide), ("%", Binary::Remainder)],
];

/// Compiles all of a text.
pub(super) fn parse(text: &str) -> Result<Expr, SyntaxError> {
    let mut parser = Parser::new(text, false)?;
    let expr = parser.whole()?;
    match parser.peek() {
        Token::End => Ok(expr),
        other => Err(parser.error(format!("an operator is expected here, not {}", other.describe()))),
    }
}

/// Compiles what a text begins with and gives the rest.
pub(super) fn parse_prefix(text: &str) -> Result<(Expr, &str), SyntaxError> {
    let mut parser = Parser::new(text, true)?;
    let expr = parser.whole()?;
    let rest = &text[parser.tokens[parser.at].begin..];
    Ok((expr, rest))
}

/// Reads a token at a time. `assign` uses it for what stands around expressions.
pub(super) struct Parser<'a> {
    text: &'a str,
    tokens: Vec<At>,
    at: usize,
    ops: Vec<Op>,
    names: Vec<Box<str>>,
    depth: usize,
    /// How many values the stack holds now.
    held: isize,
}

impl<'a> Parser<'a> {
    pub fn new(text: &'a str, lenient: bool) -> Result<Parser<'a>, SyntaxError> {
        let tokens = tokens(text, lenient)?;
        Ok(Parser { text, tokens, at: 0, ops: Vec::new(), names: Vec::new(), depth: 0, held: 0 })
    }

    pub fn peek(&self) -> Token {
        self.tokens[self.at].token.clone()
    }

    fn peek_after(&self, count: usize) -> &Token {
        let last = self.tokens.len() - 1;
        &self.tokens[(self.at + count).min(last)].token
    }

    pub fn advance(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    pub fn position(&self) -> usize {
        self.at
    }

    /// Goes back to a position that was noted before.
    pub fn back_to(&mut self, position: usize) {
        self.at = position;
    }

    pub fn takes(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens[self.at].token, Token::Sign(known) if known == sign);
        if found {
            self.advance();
        }
        found
    }

    pub fn expect(&mut self, sign: &str) -> Result<(), SyntaxError> {
        if self.takes(sign) {
            return Ok(());
        }
        Err(self.error(format!("'{sign}' is expected here, not {}", self.peek().describe())))
    }

    pub fn error(&self, message: impl Into<String>) -> SyntaxError {
        SyntaxError::new(self.tokens[self.at].column, message)
    }

    /// One expression, as a value of its own.
    pub fn whole(&mut self) -> Result<Expr, SyntaxError> {
        (self.ops, self.names, self.depth, self.held) = (Vec::new(), Vec::new(), 0, 0);
        let first = self.at;
        self.conditional()?;
        let (begin, end) = (self.tokens[first].begin, self.tokens[self.at - 1].end);
        let ops = std::mem::take(&mut self.ops).into();
        let names = std::mem::take(&mut self.names).into();
        Ok(Expr { ops, names, text: self.text[begin..end].into() })
    }

    fn emit(&mut self, op: Op) -> Result<usize, SyntaxError> {
        self.held += op.growth();
        if self.held > DEEPEST as isize {
            return Err(self.error("the expression is nested too deeply"));
        }
        self.ops.push(op);
        Ok(self.ops.len() - 1)
    }

    /// Makes a jump go to what comes next.
    fn land(&mut self, jump: usize) {
        let here = self.ops.len() as u32;
        match &mut self.ops[jump] {
            Op::Jump(target) | Op::JumpIfFalse(target) => *target = here,
            Op::JumpIfStillFalse(target) | Op::JumpIfStillTrue(target) => *target = here,
            _ => {}
        }
    }

    fn nested(&mut self, parse: impl FnOnce(&mut Self) -> Result<(), SyntaxError>) -> Result<(), SyntaxError> {
        self.depth += 1;
        if self.depth > MOST_NESTED {
            return Err(self.error("the expression is nested too deeply"));
        }
        parse(self)?;
        self.depth -= 1;
        Ok(())
    }

    /// `A ? B : C`
    fn conditional(&mut self) -> Result<(), SyntaxError> {
        self.nested(|parser| {
            parser.either()?;
            if !parser.takes("?") {
                return Ok(());
            }
            let otherwise = parser.emit(Op::JumpIfFalse(0))?;
            parser.conditional()?;
            let end = parser.emit(Op::Jump(0))?;
            parser.expect(":")?;
            parser.land(otherwise);
            // Only one of the two values is there.
            parser.held -= 1;
            parser.conditional()?;
            parser.land(end);
            Ok(())
        })
    }

    fn either(&mut self) -> Result<(), SyntaxError> {
        self.logical("||", Op::JumpIfStillTrue(0), |parser| {
            parser.logical("&&", Op::JumpIfStillFalse(0), |parser| parser.level(0))
        })
    }

    /// What is left of the sign decides whether the right side is evaluated at all.
    fn logical(
        &mut self,
        sign: &str,
        jump: Op,
        operand: impl Fn(&mut Self) -> Result<(), SyntaxError>,
    ) -> Result<(), SyntaxError> {
        operand(self)?;
        while self.takes(sign) {
            let short = self.emit(jump)?;
            self.emit(Op::Drop)?;
            operand(self)?;
            self.land(short);
            self.emit(Op::Truth)?;
        }
        Ok(())
    }

    fn level(&mut self, level: usize) -> Result<(), SyntaxError> {
        let Some(operators) = LEVELS.get(level) else { return self.prefix() };
        self.level(level + 1)?;
        loop {
            let column = self.tokens[self.at].column as u32;
            let Some((_, operator)) = operators.iter().find(|(sign, _)| self.takes(sign)) else { return Ok(()) };
            self.level(level + 1)?;
            self.emit(Op::Binary(*operator, column))?;
        }
    }

    fn prefix(&mut self) -> Result<(), SyntaxError> {
        self.nested(|parser| {
            for (sign, op) in
                [("-", Op::Negate), ("+", Op::Promote), ("!", Op::Not), ("~", Op::Complement), ("*", Op::Load)]
            {
                if parser.takes(sign) {
                    parser.prefix()?;
                    return parser.emit(op).map(drop);
                }
            }
            // A symbol's value is its address already.
            if matches!(parser.peek_after(1), Token::Name(_) | Token::Quoted(_)) && parser.takes("&") {
                return parser.primary();
            }
            let begin = parser.at;
            if parser.takes("(") {
                if let Some(ty) = parser.type_name() {
                    parser.expect(")")?;
                    parser.prefix()?;
                    return parser.emit(Op::Cast(ty)).map(drop);
                }
                parser.at = begin;
            }
            if parser.takes("{") {
                let ty = parser.braced_type()?;
                parser.prefix()?;
                parser.emit(Op::Cast(ty))?;
                return parser.emit(Op::Load).map(drop);
            }
            parser.postfix()
        })
    }

    /// `{TYPE}` behind its first brace, as the pointer through which memory is read.
    pub fn braced_type(&mut self) -> Result<Type, SyntaxError> {
        let ty = self.type_name().filter(|ty| ty.size() > 0);
        let ty = ty.and_then(Type::pointer).ok_or_else(|| {
            self.error(format!("a type such as u32 is expected here, not {}", self.peek().describe()))
        })?;
        self.expect("}")?;
        Ok(ty)
    }

    /// A type and its stars, if one stands here.
    pub fn type_name(&mut self) -> Option<Type> {
        let mut count = 0;
        while matches!(self.peek_after(count), Token::Name(_)) {
            count += 1;
        }
        let named = (1..=count.min(5)).rev().find_map(|count| {
            let words: Vec<&str> = self.tokens[self.at..self.at + count]
                .iter()
                .map(|at| if let Token::Name(name) = &at.token { name.as_str() } else { "" })
                .collect();
            Some((Type::named(&words)?, count))
        });
        let (mut ty, taken) = named?;
        self.at += taken;
        while self.takes("*") {
            ty = ty.pointer()?;
        }
        Some(ty)
    }

    fn postfix(&mut self) -> Result<(), SyntaxError> {
        self.primary()?;
        loop {
            let column = self.tokens[self.at].column as u32;
            if !self.takes("[") {
                return Ok(());
            }
            self.conditional()?;
            self.expect("]")?;
            self.emit(Op::Binary(Binary::Add, column))?;
            self.emit(Op::Load)?;
        }
    }

    fn primary(&mut self) -> Result<(), SyntaxError> {
        let op = match self.peek() {
            // As in C: what fits into a signed number is one.
            Token::Number(number) => {
                Op::Push(Value::new(number, if number > i64::MAX as u64 { Type::U64 } else { Type::I64 }))
            }
            Token::Register(register) => self.register(register)?,
            Token::Variable(name) => Op::Variable(self.name(name)),
            Token::Name(name) => Op::Symbol(self.name(name)),
            Token::Quoted(name) => Op::Symbol(self.name(String::from_utf8_lossy(&name).into_owned())),
            Token::Sign("(") => {
                self.advance();
                self.conditional()?;
                return self.expect(")");
            }
            other => {
                let message = format!("a number, a register, a name or '(' is expected here, not {}", other.describe());
                return Err(self.error(message));
            }
        };
        self.advance();
        self.emit(op).map(drop)
    }

    fn register(&self, register: RegisterId) -> Result<Op, SyntaxError> {
        let ty = match register.number {
            Number::Signed => Type::int(register.size, true),
            Number::Unsigned => Type::int(register.size, false),
            Number::Address => Type::ADDRESS,
            Number::Vector => {
                let lanes = register.size / 4;
                let message =
                    format!("${register} is a vector: name a lane of it, such as ${register}.v{lanes}_int32[0]");
                return Err(self.error(message));
            }
            Number::Float => {
                let message = format!("${register} is a floating-point number, and this is an integer expression");
                return Err(self.error(message));
            }
        };
        Ok(Op::Register(register, ty))
    }

    fn name(&mut self, name: String) -> u32 {
        self.names.push(name.into());
        (self.names.len() - 1) as u32
    }
}
