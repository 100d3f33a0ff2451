//! Splits what is expanded at blanks, while it is expanded (`wordsStruct`).
//!
//! Knows no quotes: the lexer says what is raw.

#[derive(Default)]
pub struct Words {
    done: Vec<String>,
    pub current: String,
    pub inside: bool,
}

impl Words {
    pub fn blank_or_char(&mut self, c: char) {
        if !c.is_whitespace() {
            self.raw(c);
        } else if self.inside && !self.current.is_empty() {
            self.done.push(std::mem::take(&mut self.current));
            self.inside = false;
        }
    }

    pub fn raw(&mut self, c: char) {
        self.current.push(c);
        self.inside = true;
    }

    pub fn finish(mut self) -> Vec<String> {
        if !self.current.is_empty() {
            self.done.push(self.current);
        }
        self.done
    }
}
