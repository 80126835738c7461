//! The fields of a dialog: params to give, and words to type as proof that one means it.

use tui_input::{Input, InputRequest};

use crate::catalog::{ParamKind, ParamSpec};

/// Fields, one of which has the cursor.
#[derive(Clone, Debug, Default)]
pub struct Form {
    /// In order.
    pub fields: Vec<Field>,
    /// The one with the cursor.
    pub focus: usize,
    /// What has happened while it was open, to be read before it is sent.
    pub news: Option<String>,
    /// Why it cannot be sent as it is.
    pub problem: Option<String>,
    /// Whether it was sent and the answer is still out.
    pub sending: bool,
}

/// One field.
#[derive(Clone, Debug)]
pub struct Field {
    /// What it is called.
    pub name: String,
    /// What it takes, for people.
    pub hint: String,
    /// How it is filled in.
    pub kind: FieldKind,
}

/// See [`Field`].
#[derive(Clone, Debug)]
pub enum FieldKind {
    /// Text.
    Text {
        /// What was typed.
        input: Input,
        /// Whether it is masked.
        secret: bool,
    },
    /// One of several.
    Choice {
        /// The choices.
        options: Vec<String>,
        /// The chosen one, if any.
        chosen: Option<usize>,
    },
    /// A word to type, exactly.
    Proof {
        /// What was typed.
        input: Input,
        /// What must be typed.
        expected: String,
    },
}

impl Field {
    /// The field for a param, filled in with its default.
    #[must_use]
    pub fn of_param(spec: &ParamSpec) -> Self {
        let default = spec.default.as_ref();
        let shown = default.filter(|value| !value.is_secret()).map(|value| value.display().to_owned());
        let choice = |options: Vec<String>| {
            let chosen = default.and_then(|value| options.iter().position(|option| option == value.expose()));
            FieldKind::Choice { options, chosen }
        };
        let (takes, kind) = match &spec.kind {
            ParamKind::Choice(options) => ("", choice(options.clone())),
            ParamKind::Boolean => ("", choice(vec!["false".to_owned(), "true".to_owned()])),
            ParamKind::Integer => (
                "a whole number",
                FieldKind::Text { input: Input::new(shown.unwrap_or_default()), secret: spec.secret },
            ),
            ParamKind::String => {
                ("", FieldKind::Text { input: Input::new(shown.unwrap_or_default()), secret: spec.secret })
            }
        };
        let need = match default {
            Some(value) if value.is_secret() => "empty: its default",
            Some(_) => "",
            None if spec.required => "required",
            None => "optional",
        };
        let secret = if spec.secret { "secret" } else { "" };
        let hint = [spec.description.as_str(), takes, secret, need];
        let hint = hint.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ");
        Self { name: spec.name.clone(), hint, kind }
    }

    /// A word to type as proof.
    #[must_use]
    pub fn proof(expected: impl Into<String>) -> Self {
        let kind = FieldKind::Proof { input: Input::default(), expected: expected.into() };
        Self { name: String::new(), hint: String::new(), kind }
    }

    /// What was filled in; `None` for nothing.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        let value = match &self.kind {
            FieldKind::Text { input, .. } | FieldKind::Proof { input, .. } => input.value(),
            FieldKind::Choice { options, chosen } => chosen.map_or("", |index| &options[index]),
        };
        (!value.is_empty()).then_some(value)
    }

    fn input(&mut self) -> Option<&mut Input> {
        match &mut self.kind {
            FieldKind::Text { input, .. } | FieldKind::Proof { input, .. } => Some(input),
            FieldKind::Choice { .. } => None,
        }
    }
}

impl Form {
    /// A form with these fields, the cursor in the first.
    #[must_use]
    pub fn new(fields: Vec<Field>) -> Self {
        Self { fields, ..Self::default() }
    }

    /// What was filled in, by name; words of proof left out.
    #[must_use]
    pub fn given(&self) -> Vec<(String, String)> {
        self.fields
            .iter()
            .filter(|field| !matches!(field.kind, FieldKind::Proof { .. }))
            .filter_map(|field| Some((field.name.clone(), field.value()?.to_owned())))
            .collect()
    }

    /// Whether every word of proof is typed as it must be.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.fields.iter().all(|field| match &field.kind {
            FieldKind::Proof { input, expected } => input.value().trim() == expected,
            _ => true,
        })
    }

    /// Whether a word of proof is asked for.
    #[must_use]
    pub fn asks_for_proof(&self) -> bool {
        self.fields.iter().any(|field| matches!(field.kind, FieldKind::Proof { .. }))
    }

    /// Takes over what was filled in elsewhere under the same names; words of proof must be typed anew.
    pub fn take_over(&mut self, earlier: Self) {
        for field in earlier.fields {
            let same = self.fields.iter_mut().find(|own| {
                own.name == field.name
                    && !matches!((&own.kind, &field.kind), (FieldKind::Proof { .. }, _) | (_, FieldKind::Proof { .. }))
            });
            if let Some(own) = same {
                *own = field;
            }
        }
        self.focus = earlier.focus.min(self.fields.len().saturating_sub(1));
    }

    /// Moves the cursor to the next or the previous field, round about.
    pub fn turn(&mut self, by: isize) {
        let fields = self.fields.len().max(1);
        self.focus = (self.focus + fields).wrapping_add_signed(by) % fields;
    }

    /// Left or right: another choice, or the cursor within the text.
    pub fn sideways(&mut self, by: isize) {
        let Some(field) = self.fields.get_mut(self.focus) else { return };
        if let FieldKind::Choice { options, chosen } = &mut field.kind {
            let options = options.len().max(1);
            *chosen = Some(match *chosen {
                Some(index) => (index + options).wrapping_add_signed(by) % options,
                None => 0,
            });
        } else if let Some(input) = field.input() {
            input.handle(if by < 0 { InputRequest::GoToPrevChar } else { InputRequest::GoToNextChar });
        }
        self.problem = None;
    }

    /// Edits the field with the cursor.
    pub fn edit(&mut self, request: InputRequest) {
        let Some(field) = self.fields.get_mut(self.focus) else { return };
        match field.input() {
            Some(input) => {
                input.handle(request);
            }
            None if request == InputRequest::InsertChar(' ') => return self.sideways(1),
            None => return,
        }
        self.problem = None;
    }

    /// Types text into the field with the cursor; of several lines the first.
    pub fn paste(&mut self, text: &str) {
        if let Some(input) = self.fields.get_mut(self.focus).and_then(Field::input) {
            insert_line(input, text);
            self.problem = None;
        }
    }
}

/// Inserts the first line of a text at the cursor, without control characters.
pub(super) fn insert_line(input: &mut Input, text: &str) {
    // At once, not by characters: a text may be long.
    let line: String = text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
    let cursor = input.cursor() + line.chars().count();
    let at = input.value().char_indices().nth(input.cursor()).map_or(input.value().len(), |(at, _)| at);
    let (before, after) = input.value().split_at(at);
    *input = Input::new(format!("{before}{line}{after}")).with_cursor(cursor);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ParamValue;

    fn spec(name: &str, kind: ParamKind, default: Option<&str>) -> ParamSpec {
        ParamSpec {
            name: name.to_owned(),
            kind,
            default: default.map(|text| ParamValue::Plain(text.to_owned())),
            required: default.is_none(),
            secret: false,
            description: String::new(),
        }
    }

    #[test]
    fn defaults_are_filled_in_and_choices_go_round() {
        let region = ParamKind::Choice(vec!["BR".to_owned(), "MX".to_owned()]);
        let mut form = Form::new(vec![
            Field::of_param(&spec("region", region, Some("BR"))),
            Field::of_param(&spec("limit", ParamKind::Integer, None)),
        ]);
        form.sideways(1);
        assert_eq!(form.given(), [("region".to_owned(), "MX".to_owned())]);
        form.sideways(1);
        assert_eq!(form.given(), [("region".to_owned(), "BR".to_owned())]);
        form.turn(1);
        form.paste("12\n99");
        assert_eq!(form.given()[1], ("limit".to_owned(), "12".to_owned()));
        form.sideways(-1);
        form.paste("支\t\u{1b}4\u{7}");
        assert_eq!(form.given()[1], ("limit".to_owned(), "1支42".to_owned()));
    }

    #[test]
    fn a_text_with_spaces_pasted_at_a_choice_changes_nothing() {
        let choices = ParamKind::Choice(vec!["BR".to_owned(), "MX".to_owned()]);
        let mut form = Form::new(vec![Field::of_param(&spec("region", choices, Some("BR")))]);
        form.paste("one two three four");
        assert_eq!(form.given(), [("region".to_owned(), "BR".to_owned())]);
    }

    #[test]
    fn a_proof_must_be_typed_exactly_and_is_not_a_param() {
        let mut form = Form::new(vec![Field::proof("20261104_x")]);
        assert!(!form.is_proven());
        form.paste("20261104_x");
        assert!(form.is_proven());
        assert!(form.given().is_empty());
        form.edit(InputRequest::DeletePrevChar);
        assert!(!form.is_proven());
    }
}
