//! A small JSON reader for tests, and as much of JSON Schema as our schema uses.

/// A JSON value; members keep their order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Value {
    /// Reads a whole text.
    pub(super) fn parse(text: &str) -> Self {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value();
        reader.blank();
        assert_eq!(reader.at, text.len(), "something follows: {text}");
        value
    }

    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    pub(super) fn keys(&self) -> Vec<&str> {
        match self {
            Self::Object(members) => members.iter().map(|(name, _)| name.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn list(&self) -> &[Self] {
        match self {
            Self::List(values) => values,
            _ => &[],
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            _ => "",
        }
    }

    /// Says whether a value fits this schema.
    pub(super) fn accepts(&self, value: &Self) -> bool {
        let one_of_types = |types: &Self| match types {
            Self::List(types) => types.iter().any(|one| value.is_a(one.text())),
            one => value.is_a(one.text()),
        };
        let has = |key: &Self| value.get(key.text()).is_some();
        self.get("const").is_none_or(|wanted| wanted == value)
            && self.get("type").is_none_or(one_of_types)
            && self
                .get("anyOf")
                .is_none_or(|any| any.list().iter().any(|one| one.accepts(value)))
            && self
                .get("required")
                .is_none_or(|keys| keys.list().iter().all(has))
            && self
                .get("items")
                .is_none_or(|items| value.list().iter().all(|one| items.accepts(one)))
            && self.accepts_members(value)
    }

    fn accepts_members(&self, value: &Self) -> bool {
        let Some(Self::Object(properties)) = self.get("properties") else {
            return true;
        };
        properties
            .iter()
            .all(|(key, schema)| value.get(key).is_none_or(|member| schema.accepts(member)))
    }

    fn is_a(&self, word: &str) -> bool {
        match self {
            Self::Null => word == "null",
            Self::Bool(_) => word == "boolean",
            Self::Number(number) => word == "number" || word == "integer" && number.fract() == 0.0,
            Self::Text(_) => word == "string",
            Self::List(_) => word == "array",
            Self::Object(_) => word == "object",
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn blank(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn takes(&mut self, word: &str) -> bool {
        self.blank();
        let found = self.text[self.at..].starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn expect(&mut self, word: &str) {
        assert!(self.takes(word), "{word} at {} of {}", self.at, self.text);
    }

    fn value(&mut self) -> Value {
        for (word, value) in [
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
        ] {
            if self.takes(word) {
                return value;
            }
        }
        if self.takes("{") {
            return Value::Object(self.members());
        }
        if self.takes("[") {
            return Value::List(self.values());
        }
        match self.text[self.at..].starts_with('"') {
            true => Value::Text(self.string()),
            false => self.number(),
        }
    }

    fn members(&mut self) -> Vec<(String, Value)> {
        let mut members = Vec::new();
        while !self.takes("}") {
            if !members.is_empty() {
                self.expect(",");
                self.blank();
            }
            let name = self.string();
            self.expect(":");
            members.push((name, self.value()));
        }
        members
    }

    fn values(&mut self) -> Vec<Value> {
        let mut values = Vec::new();
        while !self.takes("]") {
            if !values.is_empty() {
                self.expect(",");
            }
            values.push(self.value());
        }
        values
    }

    fn number(&mut self) -> Value {
        let rest = &self.text[self.at..];
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && !"-+.eE".contains(c))
            .unwrap_or(rest.len());
        self.at += end;
        Value::Number(
            rest[..end]
                .parse()
                .unwrap_or_else(|_| panic!("a number: {rest}")),
        )
    }

    fn string(&mut self) -> String {
        self.expect("\"");
        let mut text = String::new();
        let mut characters = self.text[self.at..].char_indices();
        while let Some((offset, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += offset + 1;
                    return text;
                }
                '\\' => text.push(escaped(&mut characters)),
                control if u32::from(control) < 0x20 => {
                    panic!("a control character in {}", self.text)
                }
                other => text.push(other),
            }
        }
        panic!("a string without end in {}", self.text)
    }
}

fn escaped(characters: &mut std::str::CharIndices<'_>) -> char {
    match characters.next() {
        Some((_, 'n')) => '\n',
        Some((_, 'r')) => '\r',
        Some((_, 't')) => '\t',
        Some((_, 'u')) => {
            let digits: String = characters.take(4).map(|(_, digit)| digit).collect();
            let code = u32::from_str_radix(&digits, 16).unwrap_or_default();
            char::from_u32(code).unwrap_or('\u{fffd}')
        }
        Some((_, other)) => other,
        None => panic!("an escape at the end"),
    }
}
