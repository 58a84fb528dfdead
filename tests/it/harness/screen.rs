//! A terminal screen as small as the shell's line editor needs: what a person sees after all bytes were shown.

/// Rows without end; a cursor; the control sequences that line editors use.
#[derive(Default)]
pub struct Screen {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// Sequences that this screen does not know: a line editor has no use for them, a hostile name might.
    pub unknown: Vec<String>,
}

impl Screen {
    /// Shows everything from the first byte.
    pub fn of(bytes: &[u8]) -> Self {
        let mut screen = Self { rows: vec![Vec::new()], ..Self::default() };
        let text = String::from_utf8_lossy(bytes);
        let mut rest = text.chars();
        while let Some(char) = rest.next() {
            match char {
                '\r' => screen.column = 0,
                '\n' => screen.move_to(screen.row + 1, screen.column),
                '\u{8}' => screen.column = screen.column.saturating_sub(1),
                '\u{7}' => {}
                '\t' => screen.column = (screen.column / 8 + 1) * 8,
                '\u{1b}' => screen.escape(&mut rest),
                char if char.is_control() => screen.unknown.push(char.escape_unicode().to_string()),
                char => screen.put(char),
            }
        }
        screen
    }

    /// The rows from top to bottom, without the blanks at their ends.
    pub fn rows(&self) -> Vec<String> {
        self.rows.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned()).collect()
    }

    /// The row that the cursor is in, up to its last character.
    pub fn cursor_row(&self) -> String {
        self.rows()[self.row].clone()
    }

    /// Row and column, from 0.
    pub fn cursor_position(&self) -> (usize, usize) {
        (self.row, self.column)
    }

    fn move_to(&mut self, row: usize, column: usize) {
        while self.rows.len() <= row {
            self.rows.push(Vec::new());
        }
        (self.row, self.column) = (row, column);
    }

    fn put(&mut self, char: char) {
        let row = &mut self.rows[self.row];
        while row.len() <= self.column {
            row.push(' ');
        }
        row[self.column] = char;
        self.column += 1;
    }

    fn escape(&mut self, rest: &mut std::str::Chars<'_>) {
        let Some('[') = rest.next() else {
            self.unknown.push(format!("ESC {}", rest.as_str().chars().take(12).collect::<String>()));
            return;
        };
        let mut parameters = String::new();
        for char in rest.by_ref() {
            if ('@'..='~').contains(&char) {
                return self.control(&parameters, char);
            }
            parameters.push(char);
        }
    }

    fn control(&mut self, parameters: &str, last: char) {
        let number: usize = parameters.parse().unwrap_or(1);
        match last {
            'A' => self.row = self.row.saturating_sub(number),
            'B' => self.move_to(self.row + number, self.column),
            'C' => self.column += number,
            'D' => self.column = self.column.saturating_sub(number),
            'G' => self.column = number.saturating_sub(1),
            'J' => {
                // 2J with H is "clear the screen" (Ctrl-L); otherwise from the cursor down.
                self.rows.truncate(self.row + 1);
                self.rows[self.row].truncate(self.column);
                if parameters == "2" {
                    self.rows = vec![Vec::new()];
                    self.move_to(0, self.column);
                }
            }
            'H' => self.move_to(0, 0),
            'K' => self.rows[self.row].truncate(self.column),
            'm' => {}
            'h' | 'l' if parameters.starts_with('?') => {}
            _ => self.unknown.push(format!("CSI {parameters}{last}")),
        }
    }
}
