//! Text into tokens, each with its column. Knows no grammar but what tells a name from an operator.

use super::error::SyntaxError;
use crate::target::RegisterId;

/// The longest name that is taken: no symbol that a person types is longer.
const LONGEST_NAME: usize = 4096;

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Token {
    Number(u64),
    Register(RegisterId),
    /// A convenience variable, without its `$`.
    Variable(String),
    /// A word: a type, a module or a symbol.
    Name(String),
    /// A quoted name or text: its bytes.
    Quoted(Vec<u8>),
    /// An operator or bracket.
    Sign(&'static str),
    End,
}

impl Token {
    /// The token as messages name it.
    pub fn describe(&self) -> String {
        match self {
            Token::Number(number) => format!("the number {number}"),
            Token::Register(register) => format!("${register}"),
            Token::Variable(name) => format!("${name}"),
            Token::Name(name) => format!("{:?}", short(name)),
            Token::Quoted(text) => format!("{:?}", short(&String::from_utf8_lossy(text))),
            Token::Sign(sign) => format!("'{sign}'"),
            Token::End => "the end".into(),
        }
    }
}

/// The beginning of a text, for messages.
fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

/// A token and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At {
    pub token: Token,
    /// In characters, counted from 1.
    pub column: usize,
    /// Where it begins and ends in the text, in bytes.
    pub begin: usize,
    pub end: usize,
}

/// The longer ones first.
const SIGNS: [&str; 32] = [
    "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "+", "-", "*", "/", "%", "&", "|", "^", "~", "!", "<", ">", "=",
    "(", ")", "[", "]", "{", "}", "?", ":", ",", "@", ";",
];

/// Takes a text apart. `lenient`: what cannot be a token ends the text instead of failing it.
pub(super) fn tokens(text: &str, lenient: bool) -> Result<Vec<At>, SyntaxError> {
    let mut lexer = Lexer { text, at: 0, column: 1, column_at: 0 };
    let mut all: Vec<At> = Vec::new();
    loop {
        lexer.skip_blanks();
        let (begin, column) = (lexer.at, lexer.column());
        // A `[` where a value is expected begins the name of a mapping.
        let wants_value = !matches!(
            all.last().map(|at| &at.token),
            Some(Token::Number(_) | Token::Register(_) | Token::Variable(_) | Token::Name(_) | Token::Quoted(_))
                | Some(Token::Sign(")" | "]" | "}"))
        );
        let token = match lexer.next(wants_value) {
            Ok(token) => token,
            Err(_) if lenient => {
                lexer.at = begin;
                Token::End
            }
            Err(error) => return Err(error),
        };
        let is_end = token == Token::End;
        all.push(At { token, column, begin, end: lexer.at });
        if is_end {
            return Ok(all);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// The column of byte `column_at`, so that columns are counted once.
    column: usize,
    column_at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn column(&mut self) -> usize {
        self.column += self.text[self.column_at..self.at].chars().count();
        self.column_at = self.at;
        self.column
    }

    fn skip_blanks(&mut self) {
        self.take_while(char::is_whitespace);
    }

    fn take_while(&mut self, mut wanted: impl FnMut(char) -> bool) -> String {
        let rest = self.rest();
        let taken = &rest[..rest.find(|c| !wanted(c)).unwrap_or(rest.len())];
        let taken = taken.to_owned();
        self.at += taken.len();
        taken
    }

    fn next(&mut self, wants_value: bool) -> Result<Token, SyntaxError> {
        let column = self.column();
        let token = match self.peek() {
            None => Token::End,
            Some('0'..='9') => self.number(column)?,
            Some('$') => self.dollar(column)?,
            Some('\'' | '"') => self.quoted(column)?,
            Some('[') if wants_value => self.bracketed(column)?,
            Some(c) if is_name_start(c) => self.name(),
            Some(c) => {
                let sign = SIGNS.iter().find(|sign| self.rest().starts_with(**sign));
                let sign = sign.ok_or_else(|| SyntaxError::new(column, format!("{c:?} has no meaning here")))?;
                self.at += sign.len();
                Token::Sign(sign)
            }
        };
        match &token {
            Token::Name(name) | Token::Variable(name) if name.len() > LONGEST_NAME => {
                Err(SyntaxError::new(column, format!("a name of {} bytes is too long", name.len())))
            }
            _ => Ok(token),
        }
    }

    /// Decimal, `0x`, `0b`, `0o`, or octal by a leading 0, with `_` between digits and C's suffixes behind them.
    fn number(&mut self, column: usize) -> Result<Token, SyntaxError> {
        let word = self.take_while(|c| c.is_alphanumeric() || c == '_');
        if self.peek() == Some('.') && self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) {
            return Err(SyntaxError::new(column, "a whole number is wanted here, not one with a fraction"));
        }
        let lower = word.to_ascii_lowercase();
        let (radix, digits, kind) = match lower.get(..2) {
            Some("0x") => (16, &lower[2..], "a hexadecimal number"),
            Some("0b") => (2, &lower[2..], "a binary number"),
            Some("0o") => (8, &lower[2..], "an octal number"),
            _ if lower.len() > 1 && lower.starts_with('0') => (8, &lower[1..], "an octal number (it begins with 0)"),
            _ => (10, lower.as_str(), "a decimal number"),
        };
        let digits: String = digits.trim_end_matches(['u', 'l']).chars().filter(|c| *c != '_').collect();
        if let Some(bad) = digits.chars().find(|c| !c.is_digit(radix)) {
            let message = format!("{bad:?} is no digit of {kind}");
            return Err(SyntaxError::new(column, message));
        }
        if digits.is_empty() && !(radix == 8 && lower.trim_end_matches(['u', 'l', '_']) == "0") {
            return Err(SyntaxError::new(column, format!("{:?} has no digits", short(&word))));
        }
        let number = if digits.is_empty() { Ok(0) } else { u64::from_str_radix(&digits, radix) };
        let number =
            number.map_err(|_| SyntaxError::new(column, format!("{} does not fit into 64 bits", short(&word))))?;
        Ok(Token::Number(number))
    }

    /// A register, a lane of one, or a convenience variable.
    fn dollar(&mut self, column: usize) -> Result<Token, SyntaxError> {
        self.at += 1;
        let mut name = self.take_while(|c| c == '$');
        name += &self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
        if !self.rest().starts_with('.') {
            return Ok(RegisterId::parse(&name).map_or(Token::Variable(name), Token::Register));
        }
        name += &self.take_while(|c| c == '.' || c.is_ascii_alphanumeric() || c == '_');
        if self.peek() == Some('[') {
            name += &self.take_while(|c| c != ']');
            name += &self.take_while(|c| c == ']');
        }
        RegisterId::parse(&name).map(Token::Register).ok_or_else(|| {
            let message = format!("${} is no lane of a vector register, as $xmm0.v4_int32[1] is", short(&name));
            SyntaxError::new(column, message)
        })
    }

    /// `'a'` and `'\n'` are characters; anything longer, and what stands between double quotes, is a name or text.
    fn quoted(&mut self, column: usize) -> Result<Token, SyntaxError> {
        let quote = self.peek().unwrap_or('\'');
        self.at += 1;
        let (mut bytes, mut count, mut first) = (Vec::new(), 0, 0);
        loop {
            let c = self.peek().ok_or_else(|| SyntaxError::new(column, format!("the quote {quote} is not closed")))?;
            self.at += c.len_utf8();
            let code = match c {
                c if c == quote => break,
                '\\' => {
                    let byte = self.escape(column)?;
                    bytes.push(byte);
                    u32::from(byte)
                }
                c => {
                    bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
                    u32::from(c)
                }
            };
            count += 1;
            first = if count == 1 { code } else { first };
        }
        match (quote, count) {
            ('\'', 1) => Ok(Token::Number(first.into())),
            ('\'', 0) => Err(SyntaxError::new(column, "there is no character between the quotes")),
            _ => Ok(Token::Quoted(bytes)),
        }
    }

    fn escape(&mut self, column: usize) -> Result<u8, SyntaxError> {
        let unknown =
            || SyntaxError::new(column, "an escape is one of \\n \\t \\r \\0 \\a \\b \\e \\f \\v \\\\ \\' \\\" \\xNN");
        let c = self.peek().ok_or_else(unknown)?;
        self.at += c.len_utf8();
        Ok(match c {
            'n' => b'\n',
            't' => b'\t',
            'r' => b'\r',
            '0' => 0,
            'a' => 7,
            'b' => 8,
            'e' => 0x1b,
            'f' => 0x0c,
            'v' => 0x0b,
            '\\' => b'\\',
            '\'' => b'\'',
            '"' => b'"',
            'x' => {
                let digits = self.rest().get(..2).filter(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()));
                let byte = u8::from_str_radix(digits.ok_or_else(unknown)?, 16).map_err(|_| unknown())?;
                self.at += 2;
                byte
            }
            _ => return Err(unknown()),
        })
    }

    /// `[stack]`: the kernel's name of a mapping.
    fn bracketed(&mut self, column: usize) -> Result<Token, SyntaxError> {
        let name = self.take_while(|c| c != ']');
        if self.peek().is_none() {
            return Err(SyntaxError::new(
                column,
                "a value is wanted here, and '[' begins the name of a mapping, as in [stack]",
            ));
        }
        self.at += 1;
        Ok(Token::Name(name + "]"))
    }

    /// A word. The signs in `ld-linux-x86-64.so.2`, `libstdc++.so.6` and `redis-server` belong to it, if no blank stands
    /// beside them: where there is no such name, it is a difference after all.
    fn name(&mut self) -> Token {
        if let Some(length) = shared_object(self.rest()) {
            let name = self.rest()[..length].to_owned();
            self.at += length;
            return Token::Name(name);
        }
        let mut name = self.take_while(is_name_part);
        loop {
            let rest = self.rest();
            let after = |sign: &str| rest.strip_prefix(sign).is_some_and(|rest| rest.starts_with(is_name_start));
            let sign = ["::", "-"].into_iter().find(|sign| after(sign));
            let Some(sign) = sign else { return Token::Name(name) };
            self.at += sign.len();
            name += sign;
            name += &self.take_while(is_name_part);
        }
    }
}

/// The length of the name of a shared object that a text begins with: its end is `.so` and perhaps a version.
fn shared_object(text: &str) -> Option<usize> {
    let is_part = |c: char| is_name_part(c) || matches!(c, '+' | '-');
    let run = &text[..text.find(|c| !is_part(c)).unwrap_or(text.len())];
    let mut end = run.find(".so").map(|at| at + 3)?;
    if run[end..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        return None;
    }
    loop {
        let version = run[end..].strip_prefix('.').unwrap_or_default();
        let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
        if digits == 0 {
            return Some(end);
        }
        end += 1 + digits;
    }
}

fn is_name_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_name_part(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.')
}
