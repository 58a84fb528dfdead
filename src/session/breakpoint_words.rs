//! The words of `break` and its kin: a location or an expression, `if EXPR`, `thread N`, `-t`, `-H`, `-p`. Pure; knows no process.

use super::Failure;
use crate::target::expr::Expr;

/// What stands behind `break`, cut into its parts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BreakWords {
    /// The location, as it was written.
    pub location: String,
    /// What stands behind `if`.
    pub condition: Option<String>,
    /// What stands behind `thread`.
    pub thread: Option<String>,
    /// `-t`.
    pub temporary: bool,
    /// `-H`.
    pub hardware: bool,
    /// `-p`: it may wait for what it names.
    pub pending: bool,
}

/// Cuts the words. `usage` is the hint of a complaint.
pub fn parse(text: &str, usage: &str) -> Result<BreakWords, Failure> {
    let mut words = BreakWords::default();
    let mut rest = without_options(text, &mut words);
    // A condition reaches to the end, but for `thread N` behind it.
    if let Some((before, condition)) = split_at_word(&rest, "if") {
        let (condition, thread) = without_thread(&condition);
        if condition.is_empty() {
            return Err(Failure::usage("an expression is missing behind if", usage));
        }
        words.condition = Some(condition);
        words.thread = thread;
        rest = before;
    }
    // Options may stand on either side of `thread N`.
    rest = without_options(&rest, &mut words);
    let (location, thread) = without_thread(&rest);
    if words.thread.is_some() && thread.is_some() {
        return Err(Failure::usage("thread is said twice", usage));
    }
    words.thread = words.thread.or(thread);
    words.location = without_options(&location, &mut words);
    if words.location.is_empty() {
        return Err(Failure::usage("a location is missing", usage));
    }
    Ok(words)
}

/// Takes the words of a tracepoint apart: the location, the expressions, and what stands behind them from `if` or `thread N` on.
pub fn parse_trace(text: &str) -> (&str, &str, &str) {
    let text = text.trim();
    let first = text.find([' ', ',']).unwrap_or(text.len());
    // `*$pc + 4, $rdi`: an expression may have blanks.
    let starred = text.strip_prefix('*').and_then(|inner| Expr::parse_prefix(inner).ok());
    let end = starred.map_or(first, |(_, rest)| text.len() - rest.len());
    let (location, rest) = text.split_at(end);
    let rest = rest.trim_start_matches([' ', ',']);
    let is_number = |word: &str| word.split_whitespace().next().is_some_and(digits);
    let condition = find_word(rest, "if");
    let thread = find_word(rest, "thread").filter(|(_, end)| is_number(&rest[*end..]));
    let tail = [condition, thread].into_iter().flatten().map(|(begin, _)| begin).min().unwrap_or(rest.len());
    let (wanted, tail) = rest.split_at(tail);
    (location.trim(), wanted.trim(), tail)
}

/// Options stand before everything or behind everything.
fn without_options(text: &str, words: &mut BreakWords) -> String {
    let mut rest = text.trim();
    loop {
        let (first, tail) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let (head, last) = rest.rsplit_once(char::is_whitespace).unwrap_or(("", rest));
        if take_option(first, words) {
            rest = tail.trim();
        } else if take_option(last, words) {
            rest = head.trim();
        } else {
            return rest.to_owned();
        }
    }
}

fn take_option(word: &str, words: &mut BreakWords) -> bool {
    match word {
        "-t" => words.temporary = true,
        "-H" => words.hardware = true,
        "-p" => words.pending = true,
        _ => return false,
    }
    true
}

/// What stands before and behind a word.
fn split_at_word(text: &str, word: &str) -> Option<(String, String)> {
    let (begin, end) = find_word(text, word)?;
    Some((text[..begin].trim().to_owned(), text[end..].trim().to_owned()))
}

/// Where a word begins and ends that stands by itself.
fn find_word(text: &str, word: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(at) = text[from..].find(word).map(|at| at + from) {
        let end = at + word.len();
        let begins = text[..at].chars().next_back().is_none_or(|c| c.is_whitespace() || c == ',');
        let ends = text[end..].chars().next().is_none_or(|c| c.is_whitespace() || c == '(');
        if begins && ends {
            return Some((at, end));
        }
        from = end;
    }
    None
}

fn digits(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Takes a `thread N` from the end.
fn without_thread(text: &str) -> (String, Option<String>) {
    let words: Vec<&str> = text.split_whitespace().collect();
    if let [before @ .., "thread", number] = words.as_slice()
        && digits(number)
    {
        return (before.join(" "), Some((*number).to_owned()));
    }
    (text.trim().to_owned(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_stand_in_any_order_that_makes_sense() {
        let words = |location: &str, condition: Option<&str>, thread: Option<&str>, temporary, hardware| BreakWords {
            location: location.into(),
            condition: condition.map(Into::into),
            thread: thread.map(Into::into),
            temporary,
            hardware,
            pending: false,
        };
        for (text, expected) in [
            ("*0x401000", words("*0x401000", None, None, false, false)),
            ("*$pc + 4 if $rdi == 3", words("*$pc + 4", Some("$rdi == 3"), None, false, false)),
            ("-t *1 if(1)", words("*1", Some("(1)"), None, true, false)),
            ("*1 if $rax thread 3 -H", words("*1", Some("$rax"), Some("3"), false, true)),
            ("*1 thread 3 if $rax", words("*1", Some("$rax"), Some("3"), false, false)),
            ("*1 -H if $rax thread 3 -t", words("*1", Some("$rax"), Some("3"), true, true)),
            ("*1 -H thread 3 -t if $rax", words("*1", Some("$rax"), Some("3"), true, true)),
            ("*1 thread 3 -t", words("*1", None, Some("3"), true, false)),
            ("notify+0x10", words("notify+0x10", None, None, false, false)),
            ("threadfn", words("threadfn", None, None, false, false)),
        ] {
            assert_eq!(parse(text, "").ok().as_ref(), Some(&expected), "{text}");
        }
        for (text, complaint) in [
            ("", "a location is missing"),
            ("if 1", "a location is missing"),
            ("*1 if", "an expression is missing behind if"),
        ] {
            assert_eq!(parse(text, "").expect_err("a complaint").message, complaint, "{text}");
        }
        assert!(parse("*1 thread 2 if 1 thread 3", "").is_err());
    }

    #[test]
    fn tracepoints_have_expressions_in_between() {
        for (text, expected) in [
            ("work", ("work", "", "")),
            ("work $rdi, $rsi", ("work", "$rdi, $rsi", "")),
            ("work, $rdi", ("work", "$rdi", "")),
            ("*$pc + 4 $rdi", ("*$pc + 4", "$rdi", "")),
            ("*($pc + 4), $rdi if $rsi", ("*($pc + 4)", "$rdi", "if $rsi")),
            ("work if $rdi", ("work", "", "if $rdi")),
            ("work thread 3", ("work", "", "thread 3")),
            ("work $rdi thread 3", ("work", "$rdi", "thread 3")),
            ("work thread 3 if(1)", ("work", "", "thread 3 if(1)")),
            ("work thread+1, notify", ("work", "thread+1, notify", "")),
            ("", ("", "", "")),
            ("*", ("*", "", "")),
        ] {
            assert_eq!(parse_trace(text), expected, "{text}");
        }
    }
}
