//! Which servers are asked: addresses as DEBUGINFOD_URLS has them. Asks none.

/// So many servers are asked for a file at most.
const MOST_SERVERS: usize = 16;
/// No address is longer than this, bytes.
const LONGEST_URL: usize = 2000;

/// The addresses of DEBUGINFOD_URLS that can be asked, separated by blanks; empty if there are none. Other words of it
/// (`ima:enforcing`, `file://…`) are for libdebuginfod.
pub fn of_environment() -> String {
    let text = std::env::var("DEBUGINFOD_URLS").unwrap_or_default();
    let urls: Vec<&str> = text.split_whitespace().filter(|word| is_url(word)).take(MOST_SERVERS).collect();
    urls.join(" ")
}

/// The addresses in a text, without a slash at their ends; `None` if one is none.
pub fn parse_urls(text: &str) -> Option<Vec<String>> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let all = words.len() <= MOST_SERVERS && words.iter().all(|word| is_url(word));
    all.then(|| words.iter().map(|word| word.trim_end_matches('/').to_owned()).collect())
}

/// Whether a word is an address that HTTP can be spoken with.
pub(super) fn is_url(word: &str) -> bool {
    let rest = word.strip_prefix("https://").or_else(|| word.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let visible = word.bytes().all(|byte| byte.is_ascii_graphic());
    host.is_some_and(|host| !host.is_empty()) && visible && word.len() <= LONGEST_URL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_http() {
        let urls = parse_urls(" https://debuginfod.debian.net/  http://[::1]:8002 ").expect("two");
        assert_eq!(urls, ["https://debuginfod.debian.net", "http://[::1]:8002"]);
        assert_eq!(parse_urls(""), Some(Vec::new()));
        for wrong in ["file:///tmp", "https://", "http:///x", "ima:enforcing", "http://a\u{7}", "http://ä"] {
            assert_eq!(parse_urls(wrong), None, "{wrong}");
        }
        assert_eq!(parse_urls(&format!("http://{}", "a".repeat(LONGEST_URL))), None);
    }
}
